"""When a rule's answer may change by time alone.

What a rule says of a customer is a function of the rows and of the moment it is asked at. Between two changes of the
rows it can only change where a time of some row meets an edge that moves with the clock: the edges of windows, and
instants such as ``{"days_ago": 60}``. `flip_statements` finds the next such meeting of each customer in SQL.

A time ``v`` meets the edge "D days before now" at ``v + D``, days counted by the wall clock of the tenant's zone as
`AsOf.back` counts them, hours exactly. Windows are half-open, comparisons strict or not, so the answer may differ
before ``v + D``, at it, and after it: the meeting itself and the microsecond after it are both moments to look again.

Where the clocks change, the wall clock runs twice through one hour and jumps over another, and a row near such an
hour may come, go and come again. Within three hours of a change on either side the next moment is the next minute.

The moment found is never later than the change, and may be earlier: other leaves of the rule may not let it count.

Leaves that look at days rather than instants (ages, stages, birthdays, dates relative to today) can change whenever a
day begins, for anybody: `looks_at_days` tells whether a rule has one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, assert_never
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, DateTime, FromClause, Interval, Select, Text, Uuid, case, func, select

from crm_api.core.rules import (
    AggregateTest,
    Ago,
    All,
    AnyOf,
    AsOf,
    BucketTest,
    FieldTest,
    Node,
    Not,
    Rule,
    RuleCollection,
    RuleType,
    SequenceTest,
    Window,
)
from crm_api.db.rule_values import Predicate, bind
from crm_api.db.rules import Compiler, SqlCollection, SqlField, SqlRules

_INSTANT = DateTime(timezone=True)
_INTERVAL = Interval()
_TICK = timedelta(microseconds=1)
"""Resolution of PostgreSQL's instants."""
_MINUTE = timedelta(minutes=1)
_SHIFT = timedelta(hours=3)
"""More than any clock was ever put forward or back."""


def looks_at_days(rule: Rule, rules: SqlRules) -> bool:
    """Tell whether the beginning of a day may change what the rule says."""
    return any(_by_day(*each) for each in _every_leaf(rule.root, rules))


def flip_statements(
    rule: Rule, rules: SqlRules, row: FromClause, as_of: AsOf, tenant: UUID, scope: Sequence[Predicate]
) -> list[Select[tuple[UUID, datetime]]]:
    """Return statements that together select, for customers in scope, moments after ``as_of`` to look at them again.

    A customer may occur often; the earliest moment counts. No statement: time alone changes nothing, days apart.

    Args:
        rule: checked against these rules.
        rules: the catalogue with its SQL.
        row: alias of the table that the rule speaks about.
        as_of: when the rule was evaluated.
        tenant: whose rows.
        scope: conditions on ``row``.

    """
    finder = _Finder(as_of, bind(tenant, Uuid()))
    place = _Place(row, row, (row.c.tenant_id == finder.tenant, *scope))
    return list(finder.node(rule.root, rules, place))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a node looks: the customer's row, the row it speaks about, and how the two are joined."""

    subject: FromClause
    row: FromClause
    conditions: tuple[Predicate, ...]
    beside: tuple[FromClause, ...] = ()

    def joined(self, other: FromClause, *conditions: Predicate) -> "_Place":
        return replace(self, row=other, conditions=(*self.conditions, *conditions), beside=(*self.beside, other))


class _Finder:
    def __init__(self, as_of: AsOf, tenant: ColumnElement[Any]) -> None:
        self.as_of = as_of
        self.tenant = tenant

    def node(self, node: Node, rules: SqlRules, place: _Place) -> Iterator[Select[Any]]:
        match node:
            case All(parts) | AnyOf(parts):
                for part in parts:
                    yield from self.node(part, rules, place)
            case Not(part):
                yield from self.node(part, rules, place)
            case FieldTest():
                field = rules.fields[node.field.name]
                if _is_instant(field):
                    yield from self._meetings(node.value, field, place)
            case AggregateTest():
                sql = rules.collections[node.collection.name]
                measured = None if node.measured is None else sql.rules.fields[node.measured.name]
                yield from self._rows(sql, place, node.where, node.window, (node.value, measured))
            case SequenceTest():
                for step in node.steps:
                    sql = rules.collections[step.collection.name]
                    yield from self._rows(sql, place, step.where, node.window)
            case BucketTest():
                return
            case _ as never:
                assert_never(never)

    def _rows(
        self,
        sql: SqlCollection,
        place: _Place,
        where: Node | None,
        window: Window | None,
        measured: tuple[Any, SqlField | None] = (None, None),
    ) -> Iterator[Select[Any]]:
        """Yield when rows of a collection meet the edges of a window, or their measured instant that of a value."""
        rows = sql.table.alias()
        inside = place.joined(rows, rows.c.tenant_id == self.tenant, sql.on(place.row, rows))
        counted = self._counted(where, sql, inside)
        if window is not None and sql.collection.time is not None:
            yield from self._meetings(window, sql.rules.fields[sql.collection.time], counted)
        value, field = measured
        if field is not None and _is_instant(field):
            yield from self._meetings(value, field, counted)
        if where is not None:
            yield from self.node(where, sql.rules, inside)

    def _counted(self, where: Node | None, sql: SqlCollection, inside: _Place) -> _Place:
        """Leave out rows that ``where`` leaves out, unless time may let them in."""
        if where is None or any(_moves(*each) for each in _every_leaf(where, sql.rules)):
            return inside
        compiler = Compiler(self.as_of, self.tenant)
        chosen = compiler.node(where, sql.rules, inside.row, negated=False)
        return replace(inside, conditions=(*inside.conditions, chosen))

    def _meetings(self, value: Any, field: SqlField, place: _Place) -> Iterator[Select[Any]]:
        """Yield the moments at which the field's value meets each moving edge."""
        edges = list(dict.fromkeys(_moving(value)))
        if not edges:
            return
        if field.side is not None:
            other = field.side.table.alias()
            place = place.joined(other, other.c.tenant_id == self.tenant, field.side.on(place.row, other))
        time = field.expr(place.row)
        for edge in edges:
            yield self._meeting(time, edge, place)

    def _meeting(self, time: ColumnElement[Any], edge: Ago, place: _Place) -> Select[Any]:
        now, uneven = bind(self.as_of.instant, _INSTANT), _uneven(self.as_of, edge)
        slack = 2 * _SHIFT if uneven else timedelta()
        begin = bind(self.as_of.back(days=edge.days, hours=edge.hours) - slack, _INSTANT)
        if uneven:
            met = self._shifted(time, edge)
            soon = func.greatest(met - bind(_SHIFT, _INTERVAL), bind(self.as_of.instant + _MINUTE, _INSTANT))
            watched = case((met + bind(_SHIFT, _INTERVAL) > now, soon))
            near = self._near_change(met) | self._near_change(time)
            after: ColumnElement[Any] = func.min(case((near, watched), else_=self._after(met, now)))
        else:
            # The earliest time is the first to be met: one shift for each customer, not for each row.
            after = self._after(self._shifted(func.min(time, type_=_INSTANT), edge), now)
        statement = select(place.subject.c.id.label("customer_id"), after.label("at"))
        met_later = statement.select_from(place.subject, *place.beside).where(*place.conditions, time >= begin)
        return met_later.group_by(place.subject.c.id)

    def _after(self, met: ColumnElement[Any], now: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the meeting, or the microsecond after it when it is now."""
        return case((met > now, met), (met == now, bind(self.as_of.instant + _TICK, _INSTANT)))

    def _shifted(self, time: ColumnElement[Any], edge: Ago) -> ColumnElement[Any]:
        """Return when the edge will be at ``time``: the inverse of `AsOf.back`."""
        if edge.days == 0:
            return time + bind(timedelta(hours=edge.hours), _INTERVAL) if edge.hours else time
        zone = bind(self.as_of.zone.key, Text())
        return func.timezone(
            zone, func.timezone(zone, time) + bind(timedelta(days=edge.days), _INTERVAL), type_=_INSTANT
        )

    def _near_change(self, time: ColumnElement[Any]) -> Predicate:
        """Tell whether the clocks change within three hours."""
        zone, shift = bind(self.as_of.zone.key, Text()), bind(_SHIFT, _INTERVAL)
        across = func.timezone(zone, time + shift) - func.timezone(zone, time - shift)
        return across != bind(2 * _SHIFT, _INTERVAL)


_Leaf = FieldTest | AggregateTest | SequenceTest


def _every_leaf(node: Node, rules: SqlRules) -> Iterator[tuple[_Leaf, SqlRules]]:
    """Yield every leaf that looks at rows, with the catalogue it is read in."""
    match node:
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from _every_leaf(part, rules)
        case Not(part):
            yield from _every_leaf(part, rules)
        case AggregateTest(collection=collection, where=where):
            yield node, rules
            yield from _inside(collection, where, rules)
        case SequenceTest(steps=steps):
            yield node, rules
            for step in steps:
                yield from _inside(step.collection, step.where, rules)
        case FieldTest():
            yield node, rules
        case BucketTest():
            return
        case _ as never:
            assert_never(never)


def _inside(collection: RuleCollection, where: Node | None, rules: SqlRules) -> Iterator[tuple[_Leaf, SqlRules]]:
    return iter(()) if where is None else _every_leaf(where, rules.collections[collection.name].rules)


def _by_day(leaf: _Leaf, rules: SqlRules) -> bool:
    """Tell whether a leaf itself looks at days."""
    match leaf:
        case FieldTest(field=field, value=value):
            return _dated(rules.fields[field.name], value)
        case AggregateTest(collection=collection, measured=measured, value=value) if measured is not None:
            return _dated(rules.collections[collection.name].rules.fields[measured.name], value)
        case _:
            return False


def _dated(field: SqlField, value: Any) -> bool:
    """Tell whether a field changes with the day, or is compared to one that does."""
    is_date = field.field.type is RuleType.DATE
    return field.dated is not None or (is_date and (field.test is not None or any(True for _ in _moving(value))))


def _moves(leaf: _Leaf, rules: SqlRules) -> bool:
    """Tell whether time alone may change a leaf."""
    window = None if isinstance(leaf, FieldTest) else leaf.window
    value = None if isinstance(leaf, SequenceTest) else leaf.value
    return _by_day(leaf, rules) or any(True for each in (value, window) for _ in _moving(each))


def _is_instant(field: SqlField) -> bool:
    return field.field.type is RuleType.INSTANT and field.test is None and field.dated is None


def _moving(value: Any) -> Iterator[Ago]:
    """Yield the moments of a value that move with the clock."""
    match value:
        case Ago():
            yield value
        case Window(start=start, end=end):
            yield from (each for each in (start, end) if isinstance(each, Ago))
        case tuple():
            for each in value:
                yield from _moving(each)


def _uneven(as_of: AsOf, edge: Ago) -> bool:
    """Tell whether the zone's clocks change anywhere between the edge and now, give or take a year."""
    return edge.days != 0 and _clocks_change(as_of.zone, as_of.instant.year, edge.days)


@lru_cache(1000)
def _clocks_change(zone: ZoneInfo, year: int, days: int) -> bool:
    first, last = sorted((datetime(year, 1, 1, tzinfo=UTC) - timedelta(days=days), datetime(year, 12, 31, tzinfo=UTC)))
    week, at, offsets = timedelta(weeks=2), first - timedelta(days=366), set()
    while at <= last + timedelta(days=366):
        offsets.add(at.astimezone(zone).utcoffset())
        at += week
    return len(offsets) > 1
