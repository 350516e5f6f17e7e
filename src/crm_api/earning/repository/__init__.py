"""Access to earning rules, what was earned by them, and what occasions are about."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import ARRAY, Uuid, any_, bindparam, func, select, true, update
from sqlalchemy.dialects.postgresql import insert

from crm_api.core.errors import PreconditionFailed
from crm_api.core.ids import new_id
from crm_api.core.rules import AsOf, Op
from crm_api.customers.repository.birthdays import next_birthday_test
from crm_api.customers.tables import customers
from crm_api.db.repository import Repository
from crm_api.earning.models import CapName, Trigger
from crm_api.earning.repository.conditions import Conditions
from crm_api.earning.repository.projections import EARNING, EARNING_LIMITS, EARNING_RULE, EARNING_RULE_VERSION
from crm_api.earning.rules import Allowance, Caps, Version
from crm_api.earning.tables import (
    earning_awards,
    earning_budgets,
    earning_days,
    earning_limits,
    earning_rule_versions,
    earning_rules,
    earnings,
)
from crm_api.earning.written import terms_of
from crm_api.loyalty.tables import loyalty_accruals
from crm_api.orders.tables import orders

__all__ = [
    "EARNING",
    "EARNING_LIMITS",
    "EARNING_RULE",
    "EARNING_RULE_VERSION",
    "Book",
    "Conditions",
    "EarningRepository",
    "LimitsRepository",
    "OccasionRepository",
    "RuleRepository",
]

CAPS: Final[tuple[CapName, ...]] = ("per_order", "per_day", "per_week", "per_month", "per_life", "budget")


class Book(NamedTuple):
    """What was ever published that may matter, and the programme's caps."""

    versions: list[Version]
    limits: Caps

    @property
    def is_empty(self) -> bool:
        """Whether neither a rule nor a cap was ever made: nothing needs deciding."""
        return not self.versions and not self.limits


def _uuids(ids: Iterable[UUID]) -> Any:
    return bindparam(None, list(ids), type_=ARRAY(Uuid()))


class RuleRepository(Repository):
    """Rules as they are edited, and their published versions."""

    table = earning_rules

    async def publish(
        self, rule_id: UUID, revision: int, state: str, definition: Any, effective_from: datetime
    ) -> None:
        """Append a version of a rule."""
        row = {
            "id": new_id(),
            "rule_id": rule_id,
            "revision": revision,
            "state": state,
            "definition": definition,
            "effective_from": effective_from,
        }
        await self.insert(row, earning_rule_versions)

    async def book(self, triggers: Collection[Trigger]) -> "Book":
        """Return every published version of rules that listen to one of these, and the caps over all rules."""
        v, r, limits = earning_rule_versions, earning_rules, earning_limits
        wanted = r.c.trigger == any_(bindparam(None, sorted(triggers), type_=ARRAY(r.c.trigger.type)))
        published = (
            select(v.c.rule_id, v.c.revision, v.c.state, v.c.definition, v.c.effective_from)
            .join_from(v, r, (r.c.tenant_id == v.c.tenant_id) & (r.c.id == v.c.rule_id))
            .where(self.mine(v), wanted)
            .subquery("published")
        )
        rows = await self.unit.fetch_all(
            select(published, *(limits.c[name] for name in CAPS))
            .select_from(limits.outerjoin(published, true()))
            .where(self.mine(limits))
            .order_by(published.c.rule_id, published.c.revision)
        )
        versions = [
            Version(terms_of(row["rule_id"], row["revision"], row["definition"]), row["state"], row["effective_from"])
            for row in rows
            if row["rule_id"] is not None
        ]
        return Book(versions, {name: rows[0][name] for name in CAPS if rows and rows[0][name] is not None})


class LimitsRepository(Repository):
    """Caps over all rules together."""

    table = earning_limits

    async def begin(self) -> None:
        """Make the tenant's row, without any limit."""
        await self.unit.execute(insert(earning_limits).on_conflict_do_nothing(), {"tenant_id": self.unit.tenant_id})

    async def row(self, *, lock: bool = False) -> asyncpg.Record:
        """Return the row."""
        statement = select(earning_limits).where(self.mine())
        found = await self.unit.fetch_one(statement.with_for_update(key_share=True) if lock else statement)
        assert found is not None  # noqa: S101 - made with the tenant
        return found

    async def store(self, changes: Mapping[str, int | None], expected_version: int | None) -> asyncpg.Record:
        """Change some and return the row as it was before.

        Raises:
            PreconditionFailed: their version is not the expected one.

        """
        before = await self.row(lock=True)
        if expected_version is not None and before["version"] != expected_version:
            raise PreconditionFailed
        statement = update(earning_limits).where(self.mine())
        values = {**changes, "version": earning_limits.c.version + 1, "updated_at": self.unit.now()}
        await self.unit.execute(statement.values(**values))
        return before


class EarningRepository(Repository):
    """What was earned, and what is used of caps."""

    table = earnings

    # -- one at a time ---------------------------------------------------------------------------------------------

    async def take_turns(self, customer_ids: Collection[UUID]) -> None:
        """Wait until nobody else decides what these customers earn: their caps are read and used as one."""
        keys = sorted({str(each) for each in customer_ids})
        await self.unit.connection.execute(_TAKE_TURNS, keys)

    async def lock_budgets(self, scope_ids: Collection[UUID]) -> dict[UUID, int]:
        """Lock budgets and return what is used of each; taken after all customers, so nobody waits in a circle."""
        wanted = sorted(scope_ids)
        if not wanted:
            return {}
        rows = [{"scope_id": each} for each in wanted]
        statement = insert(earning_budgets).on_conflict_do_nothing()
        await self.unit.execute_many(statement, [{"tenant_id": self.unit.tenant_id, **row} for row in rows])
        b = earning_budgets
        found = await self.unit.fetch_all(
            select(b.c.scope_id, b.c.used)
            .where(self.mine(b), b.c.scope_id == any_(_uuids(wanted)))
            .order_by(b.c.scope_id)
            .with_for_update(key_share=True)
        )
        return {row["scope_id"]: row["used"] for row in found}

    async def budgets(self, scope_ids: Collection[UUID]) -> dict[UUID, int]:
        """Return what is used of budgets, without waiting for anybody."""
        b = earning_budgets
        found = await self.unit.fetch_all(
            select(b.c.scope_id, b.c.used).where(self.mine(b), b.c.scope_id == any_(_uuids(sorted(scope_ids))))
        )
        return {row["scope_id"]: row["used"] for row in found}

    async def use_budgets(self, points: Mapping[UUID, int]) -> None:
        """Add to what is used of locked budgets."""
        b = earning_budgets
        for scope_id, more in sorted(points.items()):
            statement = update(b).where(self.mine(b), b.c.scope_id == scope_id).values(used=b.c.used + more)
            await self.unit.execute(statement)

    async def used(self, asked: Sequence[Allowance]) -> list[int]:
        """Return how many points customers had within each allowance: by its rule, or by all without one."""
        found = [0] * len(asked)
        if asked:
            rows = await self.unit.connection.fetch(
                _USED,
                self.unit.tenant_id,
                [each.customer_id for each in asked],
                [each.rule_id for each in asked],
                [each.start for each in asked],
                [each.end for each in asked],
            )
            for row in rows:
                found[row["number"] - 1] = int(row["points"])
        return found

    # -- what was earned -------------------------------------------------------------------------------------------

    async def known(self, trigger: Trigger, subject_ids: Collection[UUID]) -> dict[UUID, asyncpg.Record]:
        """Return what these have earned already, by subject."""
        e = earnings
        rows = await self.unit.fetch_all(
            select(e).where(self.mine(e), e.c.trigger == trigger, e.c.subject_id == any_(_uuids(subject_ids)))
        )
        return {row["subject_id"]: row for row in rows}

    async def with_birthday(self, customer_ids: Collection[UUID], year: str) -> set[UUID]:
        """Return who has had the points of a birthday year, as this customer or as one merged into them."""
        e = earnings
        rows = await self.unit.fetch_all(
            select(e.c.customer_id).where(
                self.mine(e),
                e.c.trigger == "birthday",
                e.c.reference == year,
                e.c.customer_id == any_(_uuids(customer_ids)),
            )
        )
        return {row["customer_id"] for row in rows}

    async def hand_on(self, order_ids: Collection[UUID]) -> None:
        """Let what orders earned by being paid be theirs whose the orders are now."""
        e, o = earnings, orders
        await self.unit.execute(
            update(e)
            .where(self.mine(e), e.c.trigger == "order_paid", e.c.order_id == any_(_uuids(sorted(order_ids))))
            .where(o.c.tenant_id == e.c.tenant_id, o.c.id == e.c.order_id, o.c.customer_id != e.c.customer_id)
            .values(customer_id=o.c.customer_id)
        )

    async def buyers_of_completed(self, order_ids: Collection[UUID]) -> set[UUID]:
        """Return who earned by orders being completed."""
        e = earnings
        rows = await self.unit.fetch_all(
            select(e.c.customer_id).where(
                self.mine(e), e.c.trigger == "order_completed", e.c.order_id == any_(_uuids(sorted(order_ids)))
            )
        )
        return {row["customer_id"] for row in rows}

    async def of_completed(self, order_ids: Collection[UUID]) -> list[asyncpg.Record]:
        """Lock and return what orders earned by being completed."""
        e = earnings
        return await self.unit.fetch_all(
            select(e)
            .where(self.mine(e), e.c.trigger == "order_completed", e.c.order_id == any_(_uuids(order_ids)))
            .order_by(e.c.customer_id, e.c.id)
            .with_for_update(key_share=True)
        )

    async def add(self, rows: list[dict[str, Any]], awards: list[dict[str, Any]]) -> None:
        """Store what was earned, and what each rule gave of it."""
        if rows:
            await self.insert_many(rows)
        if awards:
            await self.insert_many([{"id": new_id(), **each} for each in awards], earning_awards)

    async def put(self, earning_id: UUID, values: Mapping[str, Any]) -> None:
        """Change what is kept of an occasion."""
        await self.unit.execute(update(earnings).where(self.by_id(earning_id)).values(**values))

    async def granted(self, order_ids: Collection[UUID]) -> dict[UUID, asyncpg.Record]:
        """Return ``granted`` and ``paid_amount`` of orders whose payment the ledger has dealt with."""
        a = loyalty_accruals
        rows = await self.unit.fetch_all(
            select(a.c.order_id, a.c.granted, a.c.paid_amount).where(
                self.mine(a), a.c.order_id == any_(_uuids(order_ids)), a.c.paid_amount.is_not(None)
            )
        )
        return {row["order_id"]: row for row in rows}

    async def awards(self, earning_id: UUID) -> dict[UUID | None, int]:
        """Return what each rule gave at an occasion."""
        a = earning_awards
        rows = await self.unit.fetch_all(
            select(a.c.rule_id, a.c.points).where(self.mine(a), a.c.earning_id == earning_id)
        )
        given: dict[UUID | None, int] = {}
        for row in rows:
            given[row["rule_id"]] = given.get(row["rule_id"], 0) + row["points"]
        return given


_TAKE_TURNS: Final = """
SELECT pg_advisory_xact_lock(hashtextextended('crm earning ' || k, 0))
FROM (SELECT k FROM unnest($1::text[]) AS k ORDER BY k) AS turns
"""
_USED: Final = """
SELECT n.number, sum(a.points) AS points
FROM unnest($2::uuid[], $3::uuid[], $4::timestamptz[], $5::timestamptz[])
  WITH ORDINALITY AS n (customer_id, rule_id, first, following, number)
JOIN earnings e ON e.tenant_id = $1 AND e.customer_id = n.customer_id
  AND e.occurred_at >= coalesce(n.first, '-infinity') AND e.occurred_at < coalesce(n.following, 'infinity')
JOIN earning_awards a ON a.tenant_id = $1 AND a.earning_id = e.id AND (n.rule_id IS NULL OR a.rule_id = n.rule_id)
GROUP BY n.number
"""


class OccasionRepository(Repository):
    """What occasions are about: orders, events, customers and their birthdays."""

    table = earnings

    async def orders(self, order_ids: Collection[UUID]) -> dict[UUID, asyncpg.Record]:
        """Return the columns of orders that points follow from, with what their lines cost and how many pieces."""
        rows = await self.unit.connection.fetch(_ORDERS, self.unit.tenant_id, sorted(order_ids))
        return {row["id"]: row for row in rows}

    async def events(self, customer_ids: Collection[UUID], types: Collection[str], since: datetime) -> list[Any]:
        """Return events of customers that nothing was decided about yet, the earliest first."""
        return await self.unit.connection.fetch(
            _EVENTS, self.unit.tenant_id, sorted(customer_ids), sorted(types), since
        )

    async def living(self, customer_ids: Collection[UUID]) -> dict[UUID, UUID]:
        """Return who these customers are now: themselves, or who they became; the deleted are left out."""
        rows = await self.unit.connection.fetch(_LIVING, self.unit.tenant_id, sorted(customer_ids))
        return {row["id"]: row["living"] for row in rows}

    async def born_on(self, as_of: AsOf, after: UUID, limit: int) -> list[tuple[UUID, bool]]:
        """Return people whose birthday is celebrated on the day, by id from one on, and whether it is a lunar one."""
        c = customers
        rows = await self.unit.fetch_all(
            select(c.c.id, (c.c.birth_calendar == "lunar").label("lunar"))
            .where(
                self.mine(c),
                c.c.deleted_at.is_(None),
                c.c.id > after,
                next_birthday_test(c, Op.EQ, as_of.today(), as_of),
            )
            .order_by(c.c.id)
            .limit(limit)
        )
        return [(row["id"], row["lunar"]) for row in rows]

    async def last_day(self) -> date | None:
        """Return the last day whose birthdays were seen to."""
        latest = select(func.max(earning_days.c.day)).where(self.mine(earning_days))
        found: date | None = await self.unit.fetch_value(latest)
        return found

    async def note_day(self, day: date) -> None:
        """Note that a day's birthdays were seen to."""
        statement = insert(earning_days).on_conflict_do_nothing()
        await self.unit.execute(statement, {"tenant_id": self.unit.tenant_id, "day": day})


_ORDERS: Final = """
SELECT o.id, o.customer_id, o.status, o.currency, o.total_amount, o.paid_amount, o.refunded_amount, o.shipping_amount,
  o.tax_amount, o.paid_by_points_amount, o.paid_by_vouchers_amount,
  o.placed_at, o.paid_at, o.paid_announced, o.completed_at, coalesce(l.amount, 0)::bigint AS lines_amount,
  coalesce(l.quantity, 0)::bigint AS quantity
FROM orders o
LEFT JOIN LATERAL (
  SELECT sum(amount) AS amount, sum(quantity) AS quantity FROM order_lines WHERE tenant_id = $1 AND order_id = o.id
) l ON true
WHERE o.tenant_id = $1 AND o.id = ANY ($2::uuid[])
"""
_EVENTS: Final = """
SELECT e.id, e.customer_id, e.type, e.occurred_at FROM events e
WHERE e.tenant_id = $1 AND e.customer_id = ANY ($2::uuid[]) AND e.type = ANY ($3::text[]) AND e.occurred_at >= $4
  AND NOT EXISTS (SELECT FROM earnings d WHERE d.tenant_id = $1 AND d.trigger = 'event' AND d.subject_id = e.id)
ORDER BY e.occurred_at, e.id
"""
_LIVING: Final = """
SELECT c.id, coalesce(w.id, c.id) AS living
FROM customers c LEFT JOIN customers w ON w.tenant_id = $1 AND w.id = c.merged_into_id
WHERE c.tenant_id = $1 AND c.id = ANY ($2::uuid[])
  AND CASE WHEN w.id IS NULL THEN c.deleted_at ELSE w.deleted_at END IS NULL
"""
