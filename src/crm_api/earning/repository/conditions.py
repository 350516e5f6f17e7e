"""What the conditions of rules find at occasions: one statement for all rules and all occasions of one moment.

A rule's conditions are rules of the house's one language: about the customer, about the order as a row of `orders`,
about its lines as rows of `orders.lines`, about an event as a row of `events`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    Uuid,
    any_,
    bindparam,
    cast,
    func,
    select,
    true,
)

from crm_api.accounts.repository import TenantRepository
from crm_api.core.errors import Invalid
from crm_api.core.rules import AggregateTest, AsOf, BucketTest, FieldTest, Rule, Window
from crm_api.core.rules.moments import Ago
from crm_api.customers.tables import customers
from crm_api.db.rule_explain import Explained, RuleProbe
from crm_api.db.rule_values import bind
from crm_api.db.rules import Compiler, SqlRules
from crm_api.db.uow import UnitOfWork
from crm_api.earning.rules import Matched, Terms
from crm_api.events.tables import events
from crm_api.orders.tables import orders
from crm_api.segments.repository.catalogue import CUSTOMER_RULES, customer_rules

Part = Literal["customer", "order", "lines", "event"]
PARTS: Final[tuple[Part, ...]] = ("customer", "order", "lines", "event")

ORDER_RULES: Final = CUSTOMER_RULES.collections["orders"].rules
LINES: Final = ORDER_RULES.collections["lines"]
EVENT_RULES: Final = CUSTOMER_RULES.collections["events"].rules


@dataclass(frozen=True, slots=True)
class Asked:
    """One occasion to put conditions to; ``id`` is the order's, the event's or the customer's."""

    id: UUID
    customer_id: UUID
    at: datetime


@dataclass(frozen=True, slots=True)
class Checked:
    """The conditions of one rule, checked; ``parts`` None when one of them names what is no more."""

    terms: Terms
    parts: Mapping[Part, tuple[SqlRules, Rule]] | None

    @property
    def timeless(self) -> bool:
        """Whether no condition asks about times: then it finds the same at any moment."""
        return all(_timeless(rules, rule) for rules, rule in (self.parts or {}).values())


def _timeless(rules: SqlRules, rule: Rule) -> bool:
    for leaf in rule.leaves():
        if isinstance(leaf, BucketTest):
            continue
        if isinstance(leaf, FieldTest):
            known = rules.fields.get(leaf.field.name)  # None: inside a collection
            if known is not None and (known.dated is not None or known.test is not None):
                return False
            values = leaf.value if isinstance(leaf.value, tuple) else (leaf.value,)
            if any(isinstance(value, Ago | Window) for value in values):
                return False
        elif not isinstance(leaf, AggregateTest) or leaf.window is not None or leaf.collection.name in _CALENDAR:
            return False
    return True


_CALENDAR: Final = frozenset({"children"})
"""Collections with fields that change with the calendar alone."""


class Conditions:
    """Checks and asks the conditions of rules."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit

    async def rules_for(self, part: Part, tree: Any) -> SqlRules:
        """Return what a condition may name."""
        if part == "customer":
            return await customer_rules(self.unit, tree)
        return {"order": ORDER_RULES, "lines": LINES.rules, "event": EVENT_RULES}[part]

    async def checked(self, terms: Terms) -> Checked:
        """Return a rule's conditions, ready to ask."""
        parts: dict[Part, tuple[SqlRules, Rule]] = {}
        for part in PARTS:
            tree = getattr(terms, f"{part}_rule")
            if tree is None:
                continue
            rules = await self.rules_for(part, tree)
            try:
                parts[part] = (rules, rules.check(tree))
            except Invalid:
                return Checked(terms, None)
        return Checked(terms, parts)

    async def zone(self) -> ZoneInfo:
        """Return the tenant's time zone: what days in conditions are days of."""
        return ZoneInfo((await TenantRepository(self.unit).current()).time_zone)

    async def matched(
        self, checked: Sequence[Checked], asked: Sequence[Asked], subject: Part
    ) -> dict[UUID, list[Matched]]:
        """Return what each rule finds at each occasion, by the occasion's id; who is deleted is left out.

        Args:
            checked: rules.
            asked: occasions of one kind.
            subject: ``order``, ``event``, or ``customer`` when the occasion is about nobody else.

        """
        if not asked:
            return {}
        zone, found = await self.zone(), dict[UUID, list[Matched]]()
        if all(each.timeless for each in checked):
            groups: Mapping[datetime, Sequence[Asked]] = {asked[0].at: asked}
        else:
            groups = _by_moment(asked)
        for moment, members in groups.items():
            statement = self._statement(checked, members, subject, AsOf(moment, zone))
            for row in await self.unit.fetch_all(statement):
                found[row["id"]] = [_matched(each, number, row) for number, each in enumerate(checked)]
        return found

    def _statement(self, checked: Sequence[Checked], asked: Sequence[Asked], subject: Part, as_of: AsOf) -> Select[Any]:
        tenant = bind(self.unit.tenant_id, Uuid())
        c = customers.alias("c")
        rows: FromClause = {"order": orders, "event": events}.get(subject, customers).alias("s")
        owner = rows.c.id if subject == "customer" else rows.c.customer_id
        columns = [
            column
            for number, each in enumerate(checked)
            for column in self._columns(number, each, {"customer": c, "order": rows, "event": rows}, as_of, tenant)
        ]
        ids = bindparam(None, [each.id for each in asked], type_=ARRAY(Uuid()))
        return (
            select(rows.c.id, *columns)
            .join_from(rows, c, (c.c.tenant_id == rows.c.tenant_id) & (c.c.id == owner))
            .where(rows.c.tenant_id == tenant, rows.c.id == any_(ids), c.c.deleted_at.is_(None))
        )

    def _columns(
        self, number: int, each: Checked, rows: Mapping[str, FromClause], as_of: AsOf, tenant: ColumnElement[Any]
    ) -> Iterator[ColumnElement[Any]]:
        for part, (rules, rule) in (each.parts or {}).items():
            if part != "lines":
                yield rules.predicate(rule, rows[part], as_of, tenant).is_(true()).label(f"{part}{number}")
                continue
            lines = LINES.table.alias()
            where = Compiler(as_of, tenant).conditions(LINES, rows["order"], lines, rule.root, None)
            for name in ("amount", "quantity"):
                summed = cast(func.coalesce(func.sum(lines.c[name]), 0), BigInteger)
                chosen = select(summed).select_from(lines).where(*where).correlate(rows["order"])
                yield chosen.scalar_subquery().label(f"{name}{number}")

    async def explained(
        self, each: Checked, part: Part, subject_id: UUID, as_of: AsOf
    ) -> tuple[RuleProbe, list[Explained]] | None:
        """Return what the leaves of one condition find at a customer, an order or an event; None for lines."""
        if each.parts is None or part not in each.parts or part == "lines":
            return None
        rules, rule = each.parts[part]
        probe = RuleProbe(rules, rule, as_of)
        rows = {"customer": customers, "order": orders, "event": events}[part].alias("c")
        found = await self.unit.fetch_one(
            select(*probe.columns(rows, self.unit.tenant_id)).where(
                rows.c.tenant_id == self.unit.tenant_id, rows.c.id == subject_id
            )
        )
        return None if found is None else (probe, probe.read(dict(found.items())))


def _by_moment(asked: Iterable[Asked]) -> dict[datetime, list[Asked]]:
    groups: dict[datetime, list[Asked]] = {}
    for each in asked:
        groups.setdefault(each.at, []).append(each)
    return groups


def _matched(each: Checked, number: int, row: Any) -> Matched:
    if each.parts is None:
        return Matched("rule")
    for part in ("customer", "order", "event"):
        if part in each.parts and not row[f"{part}{number}"]:
            return Matched(part)
    if "lines" not in each.parts:
        return Matched()
    amount, quantity = row[f"amount{number}"], row[f"quantity{number}"]
    return Matched(None if quantity else "lines", amount, quantity)
