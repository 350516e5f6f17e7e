"""Rules in SQL: where each field of the rule language comes from, and one predicate out of a checked rule.

A domain registers in its ``repository.py``; higher domains add to the same `SqlRules`::

    CUSTOMER_RULES = SqlRules()  # customers/repository.py
    CUSTOMER_RULES.register(
        SqlField(RuleField("city", RuleType.TEXT, "City"), lambda c: c.c.city),
        SqlField(
            RuleField("tags", RuleType.MULTI, "Tags", "标签"),
            lambda t: t.c.tag,
            side=Side(customer_tags, lambda c, t: t.c.customer_id == c.c.id),
        ),
    )
    CUSTOMER_RULES.register(  # orders/repository.py
        SqlCollection(
            RuleCollection("orders", "Orders", "订单", time="placed_at"),
            orders,
            lambda c, o: o.c.customer_id == c.c.id,
            SqlField(RuleField("placed_at", RuleType.INSTANT, "When it was placed"), lambda o: o.c.placed_at),
            SqlField(
                RuleField("total", RuleType.MONEY, "Total"), lambda o: o.c.total_amount, currency=lambda o: o.c.currency
            ),
        ),
    )

and uses it::

    rule = CUSTOMER_RULES.check(data.rule, "/rule", actor)  # raises Invalid, Forbidden; rule.document is stored
    c = customers.alias()
    select(c.c.id).where(CUSTOMER_RULES.predicate(rule, c, AsOf(now, zone), tenant_id))

How it compiles. ``not`` is pushed down to the leaves. A leaf that holds is written plainly (``city = $1``), so that
an index serves it: where SQL says NULL, WHERE and its ``and``/``or`` drop the row, as the language wants. A negated
leaf is ``(city = $1) IS NOT TRUE``, its exact complement. Collections become correlated sub-selects that start with
``tenant_id``, the link and the window (an index on tenant, customer and time serves them); "at least one row" and its
opposite become ``EXISTS`` and ``NOT EXISTS``, which PostgreSQL can join; sequences look from each first row for the
earliest row of each step that follows. The tenant stands next to every table. Values are bind parameters, lists
single array parameters: one shape of rule is one SQL text.

The predicate may be NULL instead of false; use it in WHERE or FILTER, or compare with ``is_(true())``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Text,
    Uuid,
    and_,
    case,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    true,
)

from crm_api.core.actor import Actor
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
    RuleCatalogue,
    RuleCollection,
    RuleField,
    RuleType,
    SequenceTest,
    Step,
    Window,
    check_rule,
    settled,
)
from crm_api.db.rule_values import (
    Predicate,
    amount_of,
    array_test,
    bind,
    bucket,
    compare,
    currency_of,
    holds,
    later,
    member_test,
    within,
)

Expression = Callable[[FromClause], ColumnElement[Any]]
Link = Callable[[FromClause, FromClause], Predicate]


@dataclass(frozen=True, slots=True)
class Side:
    """A table beside the row: at most one row of it belongs to each, or several for a ``multi`` field.

    Attributes:
        table: has a ``tenant_id``; the compiler adds the tenant.
        on: how its rows are linked: ``lambda row, side: side.c.customer_id == row.c.id``.

    """

    table: FromClause
    on: Link


@dataclass(frozen=True, slots=True)
class SqlField:
    """A field and the SQL expression of its value.

    Attributes:
        field: what rules see.
        expr: the value, from the row, or from the side's row when there is a side. Money: the amount. A ``multi``
            field: one member from the side's row, or an array from the row.
        currency: for money.
        side: where the value lies, if not in the row itself.
        default: what a subject without a row beside it counts as, e.g. 0 orders; the field is then never missing.
        test: another way to test, for values that SQL does not compare as they are: ``(row, op, value, as_of) →
            predicate``; never asked for ``missing``.
        dated: the value, where it changes with the calendar alone (an age): ``(row, as_of, tenant) → value``; ``expr``
            is then not asked.
        shown: from the JSON of ``expr``'s value to what people see, where ``expr`` is a key of our own.

    """

    field: RuleField
    expr: Expression
    currency: Expression | None = None
    side: Side | None = None
    default: int | None = None
    test: Callable[[FromClause, Op, Any, AsOf], Predicate] | None = None
    dated: Callable[[FromClause, AsOf, ColumnElement[Any]], ColumnElement[Any]] | None = None
    shown: Callable[[Any, AsOf], Any] | None = None

    def at(self, as_of: AsOf, tenant: ColumnElement[Any]) -> "SqlField":
        """Return the field as it is at a time, for a tenant: the same unless it is dated."""
        dated = self.dated
        return self if dated is None else replace(self, expr=lambda row: dated(row, as_of, tenant), dated=None)

    def __post_init__(self) -> None:
        if (self.currency is None) == (self.field.type is RuleType.MONEY):
            raise ValueError(f"rule field {self.field.name}: money needs a currency, and only money has one")


class SqlCollection:
    """A collection, its table, how its rows belong to the subject, and their fields."""

    def __init__(
        self, collection: RuleCollection, table: FromClause, on: Link, *entries: "SqlField | SqlCollection"
    ) -> None:
        """Describe the collection.

        Args:
            collection: what rules see; its ``time`` must be among the entries.
            table: has a ``tenant_id`` (the compiler adds the tenant) and an ``id`` (breaks ties of time).
            on: how rows are linked, without the tenant: ``lambda c, o: o.c.customer_id == c.c.id``.
            entries: the fields of a row, and collections below it.

        """
        self.collection = collection
        self.table = table
        self.on = on
        self.rules = SqlRules(collection.inside)
        self.rules.register(*entries)
        if collection.time is not None and collection.time not in self.rules.fields:
            raise ValueError(f"rule collection {collection.name}: its time is not among its fields")


class SqlRules:
    """A catalogue together with the SQL of its entries."""

    def __init__(self, catalogue: RuleCatalogue | None = None) -> None:
        """Start empty."""
        self.catalogue = RuleCatalogue() if catalogue is None else catalogue
        self.fields: dict[str, SqlField] = {}
        self.collections: dict[str, SqlCollection] = {}

    def register(self, *entries: SqlField | SqlCollection) -> None:
        """Add entries.

        Raises:
            ValueError: a name is taken.

        """
        for entry in entries:
            if isinstance(entry, SqlField):
                self.catalogue.add(entry.field)
                self.fields[entry.field.name] = entry
            else:
                self.catalogue.add(entry.collection)
                self.collections[entry.collection.name] = entry

    def extended(self, *entries: SqlField | SqlCollection) -> "SqlRules":
        """Return a copy with more entries, e.g. one tenant's own attributes; the original stays as it is."""
        copy = SqlRules()
        copy.register(*self.fields.values(), *self.collections.values(), *entries)
        return copy

    def check(self, tree: Any, pointer: str = "", actor: Actor | None = None) -> Rule:
        """Check a `RuleTree` or raw JSON; see `crm_api.core.rules.check_rule`."""
        return check_rule(tree, self.catalogue, pointer, actor)

    def predicate(self, rule: Rule, row: FromClause, as_of: AsOf, tenant: UUID | ColumnElement[Any]) -> Predicate:
        """Return the rule as one predicate over the row, the row's tenant included.

        Args:
            rule: checked against this catalogue.
            row: the table or alias that the enclosing statement selects from.
            as_of: what relative times are relative to.
            tenant: the tenant's id, or the bind parameter that will carry it.

        """
        tenant_value = tenant if isinstance(tenant, ColumnElement) else bind(tenant, Uuid())
        compiler = Compiler(as_of, tenant_value)
        return and_(row.c.tenant_id == tenant_value, compiler.node(rule.root, self, row, negated=False))


def _complement(predicate: Predicate) -> Predicate:
    """Return the opposite, true also where the predicate is NULL."""
    return predicate.is_not(true())


class Compiler:
    """Compiles the nodes of one rule; ``row`` is what a node speaks about, ``negated`` whether a ``not`` is pending."""

    def __init__(self, as_of: AsOf, tenant: ColumnElement[Any]) -> None:
        """Compile for a time and a tenant."""
        self.as_of = as_of
        self.tenant = tenant

    def node(self, node: Node, rules: SqlRules, row: FromClause, *, negated: bool = False) -> Predicate:
        """Return a node, or its complement, as a predicate over the row."""
        match node:
            case All(parts) | AnyOf(parts):
                compiled = [self.node(part, rules, row, negated=negated) for part in parts]
                return and_(true(), *compiled) if isinstance(node, All) != negated else or_(false(), *compiled)
            case Not(part):
                return self.node(part, rules, row, negated=not negated)
            case FieldTest():
                return self._field(
                    node, rules.fields[node.field.name].at(self.as_of, self.tenant), row, negated=negated
                )
            case AggregateTest():
                return self._aggregate(node, rules.collections[node.collection.name], row, negated=negated)
            case BucketTest(salt, of):
                numbered = compare(bucket(row.c.id, salt, of), node.result, node.op, node.value)
                return not_(numbered) if negated else numbered
            case SequenceTest():
                found = self.sequence(node, rules, row)
                return not_(found) if negated else found

    # Leaves about fields

    def _field(self, leaf: FieldTest, sql: SqlField, row: FromClause, *, negated: bool) -> Predicate:
        value = settled(leaf.value, leaf.field, self.as_of)
        op, negated = _without_missing(leaf.op, negated=negated)
        if sql.test is not None:
            predicate = sql.test(row, op, value, self.as_of)
        elif sql.side is not None:
            return self._beside(sql, sql.side, row, op, value, negated=negated)
        elif leaf.field.type is RuleType.MULTI:
            predicate = array_test(sql.expr(row), leaf.field, op, value)
        else:
            predicate = _money_test(sql, row, op, value)
        if op is Op.EXISTS and negated:
            return not_(predicate)
        return _complement(predicate) if negated else predicate

    def _beside(self, sql: SqlField, side: Side, row: FromClause, op: Op, value: Any, *, negated: bool) -> Predicate:
        """Test a value that lies in another table: a semi-join, or an anti-join when negated."""
        if op is Op.CONTAINS_ALL:
            return self._contains_all(sql, side, row, value, negated=negated)
        other = side.table.alias()
        if sql.default is not None:
            figure = func.coalesce(_in_currency(sql, other, value), sql.default)
            predicate = compare(figure, sql.field, op, amount_of(value))
            if holds(sql.default, op, amount_of(value)):  # then those without a row pass: look for a row that fails
                predicate, negated = not_(predicate), not negated
        elif sql.field.type is RuleType.MULTI:
            predicate = member_test(sql.expr(other), sql.field, op, value)
        else:
            predicate = _money_test(sql, other, op, value)
        found = exists().where(other.c.tenant_id == self.tenant, side.on(row, other), predicate)
        found = found.select_from(other).correlate(row)
        return not_(found) if negated else found

    def _contains_all(self, sql: SqlField, side: Side, row: FromClause, values: Any, *, negated: bool) -> Predicate:
        each = [self._beside(sql, side, row, Op.CONTAINS, value, negated=negated) for value in values]
        return or_(*each) if negated else and_(*each)

    # Leaves about collections

    def _aggregate(self, leaf: AggregateTest, sql: SqlCollection, row: FromClause, *, negated: bool) -> Predicate:
        rows = sql.table.alias()
        conditions = self.conditions(sql, row, rows, leaf.where, leaf.window)
        value = settled(leaf.value, leaf.result, self.as_of)
        some = _at_least_one(leaf, value)
        if some is not None:
            found = exists().where(*conditions).select_from(rows).correlate(row)
            return found if some != negated else not_(found)
        op, negated = _without_missing(leaf.op, negated=negated)
        verdict = self._verdict(leaf, sql, rows, op, value).where(*conditions).select_from(rows).correlate(row)
        predicate: Predicate = verdict.scalar_subquery()
        return _complement(predicate) if negated else predicate

    def conditions(
        self, sql: SqlCollection, row: FromClause, rows: FromClause, where: Node | None, window: Window | None
    ) -> list[Predicate]:
        """Return which rows of a collection count: the subject's, in the window, that meet the condition."""
        conditions = [rows.c.tenant_id == self.tenant, sql.on(row, rows)]
        if window is not None and sql.collection.time is not None:
            conditions.append(within(self.time(sql, rows), window.edges(self.as_of)))
        if where is not None:
            conditions.append(self.node(where, sql.rules, rows, negated=False))
        return conditions

    def time(self, sql: SqlCollection, rows: FromClause) -> ColumnElement[Any]:
        """Return when a row of a collection was; the collection has a time."""
        return self.value(sql.rules.fields[sql.collection.time or ""], rows)

    def sequence(self, leaf: SequenceTest, rules: SqlRules, row: FromClause) -> Predicate:
        """Return that rows of all steps follow each other.

        From a given first row, the earliest row of each step that follows is the best there is: if any rows follow
        each other in time, these do. So no combination of rows is tried, only each first row; and without ``within``
        the earliest first row alone, so that each step is looked up once a customer.
        """
        if leaf.within is None:
            end = self._walked(leaf, leaf.steps, rules, row, _Reach()).after
            assert end is not None  # noqa: S101 - a sequence has steps
            return end.is_not(None)
        first, *others = leaf.steps
        rows, time, conditions = self._timed(leaf, first, rules, row, _Reach())
        if others:
            reach = _Reach(time, later(time, leaf.within), (rows,))
            reach = self._walked(leaf, others[:-1], rules, row, reach)
            last, _time, inside = self._timed(leaf, others[-1], rules, row, reach)
            conditions.append(exists().where(*inside).select_from(last).correlate(row, rows))
        return exists().where(*conditions).select_from(rows).correlate(row)

    def _walked(
        self, leaf: SequenceTest, steps: Sequence[Step], rules: SqlRules, row: FromClause, reach: "_Reach"
    ) -> "_Reach":
        """Return what is within reach after the earliest row of each of these steps; NULL when one has none."""
        for step in steps:
            rows, time, conditions = self._timed(leaf, step, rules, row, reach)
            earliest = select(func.min(time)).where(*conditions).select_from(rows)
            reach = reach._replace(after=earliest.correlate(row, *reach.beside).scalar_subquery())
        return reach

    def _timed(
        self, leaf: SequenceTest, step: Step, rules: SqlRules, row: FromClause, reach: "_Reach"
    ) -> tuple[FromClause, ColumnElement[Any], list[Predicate]]:
        """Return the rows that a step may take, their time, and which of them are within reach."""
        sql = rules.collections[step.collection.name]
        rows = sql.table.alias()
        time = self.time(sql, rows)
        conditions = self.conditions(sql, row, rows, step.where, leaf.window)
        conditions += [] if reach.after is None else [time > reach.after]
        conditions += [] if reach.before is None else [time < reach.before]
        return rows, time, conditions

    def _verdict(
        self, leaf: AggregateTest, sql: SqlCollection, rows: FromClause, op: Op, value: Any
    ) -> Select[tuple[bool]]:
        """Select the comparison itself, so that the rows are walked once however often the figure is compared."""
        if leaf.measured is None:
            return select(compare(func.count(), leaf.result, op, value))
        measured = self.value(sql.rules.fields[leaf.measured.name].at(self.as_of, self.tenant), rows, value)
        value = amount_of(value)
        match leaf.aggregate:
            case Aggregate.FIRST | Aggregate.LAST:
                return self.edge(leaf, sql, rows, select(compare(measured, leaf.result, op, value)))
            case Aggregate.SUM:
                figure: ColumnElement[Any] = func.coalesce(func.sum(measured), 0)
            case aggregate:
                figure = getattr(func, aggregate.value)(measured)
        return select(compare(figure, leaf.result, op, value))

    def edge(self, leaf: AggregateTest, sql: SqlCollection, rows: FromClause, wanted: Select[Any]) -> Select[Any]:
        """Look at the earliest or the latest row only; the id decides between rows of one instant."""
        keys: list[ColumnElement[Any]] = [rows.c.id]
        if leaf.collection.time is not None:
            time = self.time(sql, rows)
            keys.insert(0, time)
            wanted = wanted.where(time.is_not(None))  # NULLS LAST would say the same but miss the index
        last = leaf.aggregate is Aggregate.LAST
        return wanted.order_by(*(key.desc() if last else key for key in keys)).limit(1)

    def value(self, sql: SqlField, row: FromClause, value: Any = None) -> ColumnElement[Any]:
        """Return a field's value as an expression over the row; money only where it is in the value's currency."""
        return self.beside(sql, row, lambda home: _in_currency(sql, home, value))

    def beside(self, sql: SqlField, row: FromClause, expr: Expression) -> ColumnElement[Any]:
        """Return an expression over the row a field lies in: the row itself, or the one beside it."""
        if sql.side is None:
            return expr(row)
        other = sql.side.table.alias()
        found = select(expr(other)).select_from(other)
        return found.where(other.c.tenant_id == self.tenant, sql.side.on(row, other)).correlate(row).scalar_subquery()


class _Reach(NamedTuple):
    """Between which instants the next row of a sequence lies, and the rows these are taken from."""

    after: ColumnElement[Any] | None = None
    before: ColumnElement[Any] | None = None
    beside: tuple[FromClause, ...] = ()


def _without_missing(op: Op, *, negated: bool) -> tuple[Op, bool]:
    """Turn ``missing`` into its opposite: absent rows and NULL are then the same thing."""
    return (Op.EXISTS, not negated) if op is Op.MISSING else (op, negated)


def _at_least_one(leaf: AggregateTest, value: Any) -> bool | None:
    """Tell whether the leaf asks for some row (True) or none (False); None when it asks for something else."""
    if leaf.aggregate is not Aggregate.COUNT:
        return None
    if (leaf.op, value) in ((Op.GTE, 1), (Op.GT, 0), (Op.NE, 0)):
        return True
    return False if (leaf.op, value) in ((Op.LT, 1), (Op.LTE, 0), (Op.EQ, 0)) else None


def _in_currency(sql: SqlField, row: FromClause, value: Any) -> ColumnElement[Any]:
    """Return a value as an expression; of money the amount, where it is in the currency of the value asked for."""
    if sql.currency is None:
        return sql.expr(row)
    return case((_currency_fits(sql.currency(row), value), sql.expr(row)))


def _money_test(sql: SqlField, row: FromClause, op: Op, value: Any) -> Predicate:
    """Test a single value; of money the currency too, beside the amount so that an index on the amount serves."""
    predicate = compare(sql.expr(row), sql.field, op, amount_of(value))
    if sql.currency is None:
        return predicate
    return and_(_currency_fits(sql.currency(row), value), predicate)


def _currency_fits(currency: ColumnElement[Any], value: Any) -> Predicate:
    wanted = currency_of(value)
    return currency.is_not(None) if wanted is None else currency == bind(wanted, Text())
