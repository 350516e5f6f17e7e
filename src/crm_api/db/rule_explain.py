"""Why a rule holds for a row or not, and how far it narrows a crowd: what each of its leaves says, by one statement.

Both take the rule apart into its parts, in the order they are written, and ask the predicate's own compiler for the
verdict of each leaf, so that what is explained cannot differ from what is selected::

    probe = RuleProbe(rules, rule, as_of)
    c = customers.alias("c")
    record = await unit.fetch_one(select(*probe.columns(c, tenant)).where(c.c.tenant_id == tenant, c.c.id == customer))
    for each in probe.read(record):
        print(each.part.node.pointer, each.holds, each.found)

Values are read where the leaf reads them (`SqlField`, `SqlCollection`); they come as jsonb: instants in UTC, money as
``{"amount", "currency"}``.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    case,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import array

from crm_api.core.money import Money
from crm_api.core.rules import (
    Aggregate,
    AggregateTest,
    All,
    AnyOf,
    AsOf,
    BucketTest,
    FieldTest,
    Node,
    Not,
    Op,
    Rule,
    RuleType,
    SequenceTest,
    Step,
    Window,
    settled,
)
from crm_api.db.rule_values import Predicate, bind, bucket, currency_of, sql_type
from crm_api.db.rules import Compiler, SqlCollection, SqlField, SqlRules

Json = Any

MOST_MEMBERS: Final = 100
"""Members of a field of many values that are shown; those the leaf asks for come first."""

Around = tuple[tuple[SqlCollection, Window | None], ...]
Leaf = FieldTest | AggregateTest | BucketTest | SequenceTest


@dataclass(frozen=True, slots=True)
class Part:
    """One node of a rule, or one step of a sequence.

    Attributes:
        node: as checked.
        raw: the same in the rule's document.
        rules: what names mean here.
        parent: number of the part it is in; None for the root.
        around: the collections in whose ``where`` it is, outermost first, and the windows there; empty when it asks
            about the subject itself.
        taken: of a step, the sequence up to and including it.

    """

    node: Node | Step
    raw: Json
    rules: SqlRules
    parent: int | None
    around: Around
    taken: SequenceTest | None = None

    @property
    def is_leaf(self) -> bool:
        """Whether it asks about the subject itself, by itself."""
        return not self.around and isinstance(self.node, Leaf)

    @property
    def asks(self) -> Node:
        """What it asks: of a step, its condition on the row."""
        if isinstance(self.node, Step):
            return self.node.where or All((), self.node.pointer)
        return self.node


def parts_of(rules: SqlRules, rule: Rule) -> list[Part]:
    """Return the parts of a rule in the order they are written, so that a part comes before those inside it."""
    return list(_parts(Part(rule.root, rule.document["where"], rules, None, ()), 0))


def _parts(part: Part, number: int) -> Iterator[Part]:
    yield part
    following = number + 1
    for child in _inside(part, number):
        for each in _parts(child, following):
            following += 1
            yield each


def _inside(part: Part, number: int) -> Iterator[Part]:
    node, raw = part.node, part.raw
    match node:
        case All(parts) | AnyOf(parts):
            listed = raw["all" if isinstance(node, All) else "any"]
            for each, written in zip(parts, listed, strict=True):
                yield Part(each, written, part.rules, number, part.around)
        case Not(only):
            yield Part(only, raw["not"], part.rules, number, part.around)
        case AggregateTest(where=where) if where is not None:
            sql = part.rules.collections[node.collection.name]
            yield Part(where, raw["where"], sql.rules, number, (*part.around, (sql, node.window)))
        case SequenceTest(steps=steps):
            for at, (step, written) in enumerate(zip(steps, raw["sequence"], strict=True), 1):
                yield Part(step, written, part.rules, number, part.around, replace(node, steps=steps[:at]))
        case Step(where=where) if where is not None and part.taken is not None:
            sql = part.rules.collections[node.collection.name]
            yield Part(where, raw["where"], sql.rules, number, (*part.around, (sql, part.taken.window)))


@dataclass(frozen=True, slots=True)
class Explained:
    """A part and what was found.

    Attributes:
        part: the part.
        holds: its verdict; of a step, whether the steps so far came in order; None inside a ``where``, which asks
            about rows.
        found: of a leaf, the value found as JSON (of a sequence the steps taken); None when there is none.
        rows: of an aggregate or a step, the rows that counted; inside a ``where``, the rows the part holds for.
        looked_at: inside a ``where``, the rows there were (of the subject, in the window).
        first_at: when the earliest of the counted rows was, as RFC 3339; None without one.
        last_at: the same of the latest.

    """

    part: Part
    holds: bool | None
    found: Json = None
    rows: int | None = None
    looked_at: int | None = None
    first_at: str | None = None
    last_at: str | None = None


class RuleProbe:
    """Asks one row what every part of a rule finds there."""

    def __init__(self, rules: SqlRules, rule: Rule, as_of: AsOf) -> None:
        """Take a rule apart that was checked against ``rules``."""
        self.parts = parts_of(rules, rule)
        self._as_of = as_of

    def columns(self, row: FromClause, tenant: UUID | ColumnElement[Any]) -> list[ColumnElement[Any]]:
        """Return what to select beside the row, which has the tenant's id; `read` takes the record."""
        values = _Values(self._as_of, tenant if isinstance(tenant, ColumnElement) else bind(tenant, Uuid()))
        return [
            column.label(f"{name}{number}")
            for number, part in enumerate(self.parts)
            for name, column in values.columns(part, row)
        ] or [true().label("nothing")]

    def read(self, record: Mapping[str, Any]) -> list[Explained]:
        """Return what was found, part by part."""
        verdicts = self._verdicts(record)
        return [self._explained(number, part, record, verdicts) for number, part in enumerate(self.parts)]

    def asked(self, part: Part) -> Json:
        """Return what a leaf compares with, its times settled; None when it compares with nothing."""
        node = part.node
        match node:
            case FieldTest(field=of):
                return _written(settled(node.value, of, self._as_of), node.op)
            case AggregateTest(result=of) | BucketTest(result=of):
                return _written(settled(node.value, of, self._as_of), node.op)
        return None

    def window(self, part: Part) -> Json:
        """Return the settled edges of an aggregate's window: ``{"from", "to"}``; None without a window."""
        window = getattr(part.node, "window", None)
        return None if window is None else _edges(window.edges(self._as_of))

    def _verdicts(self, record: Mapping[str, Any]) -> list[bool | None]:
        """Combine the leaves' verdicts from the inside out."""
        found: list[bool | None] = [None] * len(self.parts)
        inside: list[list[bool]] = [[] for _ in self.parts]
        for number in reversed(range(len(self.parts))):
            part = self.parts[number]
            if part.around:
                continue
            known = part.is_leaf or isinstance(part.node, Step)
            verdict = bool(record[f"holds{number}"]) if known else _combined(part.node, inside[number])
            found[number] = verdict
            if part.parent is not None:
                inside[part.parent].append(verdict)
        return found

    def _explained(self, number: int, part: Part, record: Mapping[str, Any], verdicts: list[bool | None]) -> Explained:
        if part.around:
            looked_at, rows = record[f"rows{number}"]
            return Explained(part, None, rows=rows, looked_at=looked_at)
        match part.node:
            case AggregateTest(measured=measured):
                counted = record[f"rows{number}"]
                found = counted["rows"] if measured is None else record[f"found{number}"]
                return Explained(part, verdicts[number], found, **counted)
            case Step():
                return Explained(part, verdicts[number], **record[f"rows{number}"])
            case SequenceTest():
                steps = [each for at, each in enumerate(verdicts) if self.parts[at].parent == number]
                return Explained(part, verdicts[number], sum(map(bool, steps)))
            case FieldTest() | BucketTest():
                return Explained(part, verdicts[number], self._shown(part, record[f"found{number}"]))
        return Explained(part, verdicts[number])

    def _shown(self, part: Part, found: Json) -> Json:
        if isinstance(found, list):
            return sorted(found)[:MOST_MEMBERS]
        if not isinstance(part.node, FieldTest) or found is None:
            return found
        shown = part.rules.fields[part.node.field.name].shown
        return found if shown is None else shown(found, self._as_of)


def _combined(node: Node | Step, verdicts: list[bool]) -> bool:
    if isinstance(node, Not):
        return not verdicts[0]
    return all(verdicts) if isinstance(node, All) else any(verdicts)


# -- values in SQL -----------------------------------------------------------------------------------------------------


class _Values:
    """The columns that say what a part finds."""

    def __init__(self, as_of: AsOf, tenant: ColumnElement[Any]) -> None:
        self._compiler = Compiler(as_of, tenant)
        self._as_of, self._tenant = as_of, tenant

    def columns(self, part: Part, row: FromClause) -> Iterator[tuple[str, ColumnElement[Any]]]:
        node = part.node
        if part.around:
            yield "rows", self._tally(part, row)
            return
        if isinstance(node, Leaf):
            yield "holds", self._compiler.node(node, part.rules, row).is_(true())
        match node:
            case FieldTest():
                yield "found", self._field(node, part.rules.fields[node.field.name], row)
            case BucketTest(salt, of):
                yield "found", func.to_jsonb(bucket(row.c.id, salt, of))
            case AggregateTest(window=window):
                sql = part.rules.collections[node.collection.name]
                yield "rows", self._counted(node, window, sql, row)
                if node.measured is not None:
                    yield "found", self._figure(node, sql, row)
            case Step() if part.taken is not None:
                yield "holds", self._compiler.sequence(part.taken, part.rules, row)
                yield "rows", self._counted(node, part.taken.window, part.rules.collections[node.collection.name], row)

    # Fields

    def _field(self, leaf: FieldTest, sql: SqlField, row: FromClause) -> ColumnElement[Any]:
        sql = sql.at(self._as_of, self._tenant)
        if leaf.field.type is RuleType.MULTI and sql.side is not None:
            return self._members(leaf, sql, row)
        if leaf.field.type is RuleType.BOOLEAN and sql.test is not None:
            known, yes = (sql.test(row, op, True, self._as_of) for op in (Op.EXISTS, Op.EQ))
            return case((known, func.to_jsonb(yes.is_(true()))))
        found = self._compiler.beside(sql, row, lambda home: _as_json(sql, home))
        if sql.default is None:
            return found
        asked = currency_of(settled(leaf.value, leaf.field, self._as_of))
        nothing: ColumnElement[Any] = func.to_jsonb(literal_column(str(sql.default)))
        return func.coalesce(found, nothing if asked is None else _money(nothing, bind(asked, Text())))

    def _members(self, leaf: FieldTest, sql: SqlField, row: FromClause) -> ColumnElement[Any]:
        """Select the members that lie beside the row, those asked for first."""
        assert sql.side is not None  # noqa: S101 - asked by `_field`
        other = sql.side.table.alias()
        member = sql.expr(other)
        there = [other.c.tenant_id == self._tenant, sql.side.on(row, other), member.is_not(None)]
        all_of_them = select(member.label("member")).distinct().select_from(other).where(*there).correlate(row)
        m = all_of_them.subquery()
        wanted = settled(leaf.value, leaf.field, self._as_of)
        asked = [] if wanted is None else list(wanted) if isinstance(wanted, tuple) else [wanted]
        first = m.c.member == any_(bind(asked, ARRAY(sql_type(leaf.field.item_type))))
        some = select(m.c.member).order_by(first.desc(), m.c.member).limit(MOST_MEMBERS).subquery()
        return select(func.coalesce(func.jsonb_agg(some.c.member), literal_column("'[]'::jsonb"))).scalar_subquery()

    # Aggregates

    def _counted(
        self, asks: AggregateTest | Step, window: Window | None, sql: SqlCollection, row: FromClause
    ) -> ColumnElement[Any]:
        """Select how many rows counted, and the times of the first and the last of them."""
        rows = sql.table.alias()
        said = [_key("rows"), func.count()]
        if sql.collection.time is not None:
            time = self._compiler.time(sql, rows)
            said += [_key("first_at"), func.min(time), _key("last_at"), func.max(time)]
        counted = select(func.jsonb_build_object(*said)).select_from(rows)
        conditions = self._compiler.conditions(sql, row, rows, asks.where, window)
        return counted.where(*conditions).correlate(row).scalar_subquery()

    def _figure(self, leaf: AggregateTest, sql: SqlCollection, row: FromClause) -> ColumnElement[Any]:
        assert leaf.measured is not None  # noqa: S101 - a count has no figure beside its rows
        rows = sql.table.alias()
        measured = sql.rules.fields[leaf.measured.name].at(self._as_of, self._tenant)
        if leaf.aggregate in (Aggregate.FIRST, Aggregate.LAST):
            shown = self._compiler.beside(measured, rows, lambda home: _as_json(measured, home))
            return self._over(self._compiler.edge(leaf, sql, rows, select(shown)), leaf, sql, row, rows)
        if measured.currency is not None:
            return self._money_figure(leaf, sql, measured, row, rows)
        figure = getattr(func, leaf.aggregate.value)(self._compiler.value(measured, rows))
        if leaf.aggregate is Aggregate.SUM:
            figure = func.coalesce(figure, 0)
        return self._over(select(func.to_jsonb(figure)), leaf, sql, row, rows)

    def _money_figure(
        self, leaf: AggregateTest, sql: SqlCollection, measured: SqlField, row: FromClause, rows: FromClause
    ) -> ColumnElement[Any]:
        """Select a figure over money of the currency asked for; of a test for presence, of the first there is."""
        value = settled(leaf.value, leaf.result, self._as_of)
        asked = currency_of(value)
        amount = self._compiler.value(measured, rows, value)
        currency = self._compiler.beside(measured, rows, measured.currency or measured.expr)
        said = select(amount.label("amount"), currency.label("currency")).where(amount.is_not(None))
        conditions = self._compiler.conditions(sql, row, rows, leaf.where, leaf.window)
        each = said.select_from(rows).where(*conditions).correlate(row).subquery()
        figure = getattr(func, leaf.aggregate.value)(each.c.amount)
        by_currency = select(_money(func.to_jsonb(figure), each.c.currency)).group_by(each.c.currency)
        found = by_currency.order_by(each.c.currency).limit(1).scalar_subquery()
        if leaf.aggregate is not Aggregate.SUM or asked is None:
            return found
        return func.coalesce(found, _money(func.to_jsonb(literal_column("0")), bind(asked, Text())))

    def _over(
        self, wanted: Select[Any], leaf: AggregateTest, sql: SqlCollection, row: FromClause, rows: FromClause
    ) -> ColumnElement[Any]:
        """Select over the rows that count."""
        conditions = self._compiler.conditions(sql, row, rows, leaf.where, leaf.window)
        return wanted.where(*conditions).select_from(rows).correlate(row).scalar_subquery()

    def _tally(self, part: Part, row: FromClause) -> ColumnElement[Any]:
        """Count the rows that a part of a ``where`` is asked about, and those it holds for."""
        outer, tables, conditions = row, list[FromClause](), list[Predicate]()
        own = self._own(part)
        for sql, window in (*part.around, *own):
            rows = sql.table.alias()
            conditions += self._compiler.conditions(sql, outer, rows, None, window)
            tables.append(rows)
            outer = rows
        rules = own[0][0].rules if own else part.rules
        held = func.count().filter(self._compiler.node(part.asks, rules, outer))
        return (
            select(array([func.count(), held])).select_from(*tables).where(*conditions).correlate(row).scalar_subquery()
        )

    @staticmethod
    def _own(part: Part) -> Around:
        """Return the collection that a step asks about."""
        if not isinstance(part.node, Step) or part.taken is None:
            return ()
        return ((part.rules.collections[part.node.collection.name], part.taken.window),)


def _key(name: str) -> ColumnElement[Any]:
    # A parameter would have no type here: the function takes anything.
    return literal_column(f"'{name}'", Text)


def _money(amount: ColumnElement[Any], currency: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.jsonb_build_object(_key("amount"), amount, _key("currency"), currency)


def _as_json(sql: SqlField, row: FromClause) -> ColumnElement[Any]:
    """Return a field's value as jsonb; money in whichever currency it is, none without a currency."""
    value = sql.expr(row)
    if sql.currency is None:
        return func.to_jsonb(value)
    currency = sql.currency(row)
    return case((and_(value.is_not(None), currency.is_not(None)), _money(func.to_jsonb(value), currency)))


# -- what was asked ----------------------------------------------------------------------------------------------------


def _written(value: Any, op: Op) -> Json:
    """Return a settled value as JSON."""
    if op is Op.WITHIN:
        return _edges(value)
    return [_one(each) for each in value] if isinstance(value, tuple) else _one(value)


def _edges(edges: tuple[datetime | None, datetime | None]) -> Json:
    return {"from": _one(edges[0]), "to": _one(edges[1])}


def _one(value: Any) -> Json:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat()
        case date():
            return value.isoformat()
        case Money():
            return {"amount": value.amount, "currency": value.currency}
        case Decimal():
            return int(value) if value == int(value) else float(value)
        case UUID():
            return str(value)
    return value


# -- funnels -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows a rule leaves over.

    Attributes:
        total: rows there are.
        selected: rows it selects.
        leaves: each leaf with the rows it alone selects.
        steps: for a rule that is an ``all``, each of its parts with the rows left after it and those before it.

    """

    total: int
    selected: int
    leaves: list[tuple[Part, int]] = field(default_factory=list)
    steps: list[tuple[Part, int]] = field(default_factory=list)


class RuleFunnel:
    """Counts what each leaf of a rule selects, in one pass: every leaf is asked once about every row."""

    def __init__(self, rules: SqlRules, rule: Rule, as_of: AsOf) -> None:
        """Take a rule apart that was checked against ``rules``."""
        parts = parts_of(rules, rule)
        self._root, self._as_of = rule.root, as_of
        self._leaves = [part for part in parts if part.is_leaf]
        self._steps = [part for part in parts if part.parent == 0] if isinstance(rule.root, All) else []

    def statement(
        self, row: FromClause, tenant: UUID | ColumnElement[Any], *conditions: ColumnElement[bool]
    ) -> Select[Any]:
        """Return the one statement over the rows that meet the conditions; `read` takes its record."""
        tenant = tenant if isinstance(tenant, ColumnElement) else bind(tenant, Uuid())
        compiler = Compiler(self._as_of, tenant)
        flags = [
            compiler.node(part.asks, part.rules, row).is_(true()).label(f"leaf{number}")
            for number, part in enumerate(self._leaves)
        ]
        # OFFSET 0 keeps PostgreSQL from pulling the sub-select up, which would ask the leaves once per use.
        asked = select(row.c.tenant_id, *flags).where(row.c.tenant_id == tenant, *conditions)
        each = asked.offset(literal_column("0")).subquery("each")
        columns = {part.node.pointer: each.c[f"leaf{number}"] for number, part in enumerate(self._leaves)}
        verdict = _logic(self._root, columns.__getitem__)
        passed = _passed([_logic(part.asks, columns.__getitem__) for part in self._steps]).label("passed")
        judged = select(verdict.label("selected"), passed, *columns.values()).select_from(each)
        known = judged.offset(literal_column("0")).subquery("known")
        counts: list[ColumnElement[Any]] = [
            func.count().label("total"),
            func.count().filter(known.c.selected).label("selected"),
            *(func.count().filter(known.c[f"leaf{n}"]).label(f"leaf{n}") for n in range(len(self._leaves))),
            *(
                func.count().filter(known.c.passed > literal_column(str(n))).label(f"step{n}")
                for n in range(len(self._steps))
            ),
        ]
        return select(*counts)

    def read(self, record: Mapping[str, Any]) -> Counts:
        """Return the counts of a record of the statement."""
        return Counts(
            record["total"],
            record["selected"],
            [(part, record[f"leaf{number}"]) for number, part in enumerate(self._leaves)],
            [(part, record[f"step{number}"]) for number, part in enumerate(self._steps)],
        )


def _passed(steps: list[ColumnElement[Any]]) -> ColumnElement[Any]:
    """Return how many of the steps a row passes before the first that it fails."""
    if not steps:
        return literal_column("0")
    failed: list[tuple[Any, ColumnElement[Any]]] = [
        (not_(step), literal_column(str(number))) for number, step in enumerate(steps)
    ]
    return case(*failed, else_=literal_column(str(len(steps))))


def _logic(node: Node, leaf: Callable[[str], ColumnElement[Any]]) -> ColumnElement[Any]:
    """Return a node as logic over its leaves' verdicts, which are never NULL."""
    match node:
        case All(parts):
            return and_(true(), *(_logic(part, leaf) for part in parts))
        case AnyOf(parts):
            return or_(false(), *(_logic(part, leaf) for part in parts))
        case Not(part):
            return not_(_logic(part, leaf))
    return leaf(node.pointer)
