"""Access to referrals, their programmes and codes.

Locks, in this order: referrals by id, then the referrer's code, then (in the ledger) wallets by customer. Whoever
decides or books takes them so, and no two wait for each other in a circle.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from crm_api.core.errors import NotFound, PreconditionFailed
from crm_api.core.ids import new_id
from crm_api.db.repository import Repository
from crm_api.referrals import decisions
from crm_api.referrals.decisions import Facts, Purchase
from crm_api.referrals.models import Case
from crm_api.referrals.repository.evidence import EvidenceReader
from crm_api.referrals.repository.projections import REFERRAL, REFERRAL_CODE, REFERRAL_EVENT, REFERRAL_PROGRAMME
from crm_api.referrals.rules import Event
from crm_api.referrals.tables import (
    referral_codes,
    referral_events,
    referral_programmes,
    referral_signals,
    referrals,
)
from crm_api.vouchers.tables import voucher_campaigns

# When a platform does not say when an order was completed: as `order.completed` tells it.
_PURCHASE: Final = """
o.id, o.status, o.paid_amount, o.refunded_amount, o.currency, o.placed_at, o.paid_at,
CASE WHEN o.status = 'completed' THEN coalesce(o.completed_at, o.platform_updated_at, o.paid_at, o.placed_at)
  ELSE o.completed_at END AS completed_at
"""
# By `first` the first paid order alone is looked at, whatever it brought; by `any` the first that reaches the minimum.
_CANDIDATES: Final = f"""
SELECT r.id AS referral_id, o.*
FROM unnest($2::uuid[], $3::uuid[], $4::timestamptz[], $5::text[], $6::text[], $7::bigint[])
  AS r (id, friend_id, since, counts, currency, minimum)
CROSS JOIN LATERAL (
  SELECT {_PURCHASE} FROM orders o
  WHERE o.tenant_id = $1 AND o.customer_id = r.friend_id AND o.placed_at >= r.since
    AND o.paid_amount > 0 AND o.status = ANY ($8::text[])
    AND (r.counts = 'first' OR (
      o.paid_amount - o.refunded_amount >= greatest(r.minimum, 1)
      AND (r.currency IS NULL OR o.currency = r.currency)
    ))
  ORDER BY o.placed_at, o.id
  LIMIT 1
) o
"""  # noqa: S608 - constants of this module
_ORDERS: Final = f"""
SELECT r.id AS referral_id, {_PURCHASE}
FROM unnest($2::uuid[], $3::uuid[], $4::uuid[]) AS r (id, order_id, friend_id)
JOIN orders o ON o.tenant_id = $1 AND o.id = r.order_id AND o.customer_id = r.friend_id
"""  # noqa: S608
_PEOPLE: Final = """
SELECT id, merged_into_id IS NOT NULL AS merged, deleted_at IS NOT NULL AS deleted
FROM customers WHERE tenant_id = $1 AND id = ANY ($2::uuid[])
"""
_OF_ORDERS: Final = """
SELECT id FROM referrals WHERE tenant_id = $1 AND order_id = ANY ($2::uuid[]) AND state <> 'voided'
UNION
SELECT id FROM referrals
WHERE tenant_id = $1 AND state <> 'voided' AND friend_id = ANY (ARRAY(
  SELECT unnest($3::uuid[])
  UNION
  SELECT customer_id FROM orders WHERE tenant_id = $1 AND id = ANY ($2::uuid[])
))
"""
# Of a merge's sides only what it can change: a person who is both, a person who came twice, and what it ended.
_OF_MERGED: Final = """
SELECT id FROM referrals WHERE tenant_id = $1 AND friend_id = ANY ($2::uuid[])
UNION
SELECT id FROM referrals
WHERE tenant_id = $1 AND referrer_id = ANY ($2::uuid[]) AND (referrer_id = friend_id OR void_reason = 'self')
"""
_OF_GONE: Final = """
SELECT id FROM referrals
WHERE tenant_id = $1 AND (friend_id = ANY ($2::uuid[]) OR referrer_id = ANY ($2::uuid[]))
  AND state NOT IN ('rewarded', 'voided')
"""
_DUE: Final = """
SELECT id FROM referrals WHERE tenant_id = $1 AND due_at <= $2 ORDER BY due_at, id LIMIT $3
"""
# A code that stayed with somebody who was merged leads to who they became.
_BY_CODE: Final = """
SELECT k.programme_id, coalesce(c.merged_into_id, c.id) AS customer_id
FROM referral_codes k JOIN customers c ON c.tenant_id = k.tenant_id AND c.id = k.customer_id
WHERE k.tenant_id = $1 AND k.code = $2
"""
_HOLD_CODE: Final = """
SELECT FROM referral_codes WHERE tenant_id = $1 AND customer_id = $2 AND programme_id = $3 FOR NO KEY UPDATE
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A referral that is locked."""

    id: UUID
    case: Case


class ProgrammeRepository(Repository):
    """Programmes of the tenant."""

    table = referral_programmes

    async def gives_vouchers(self, campaign_id: UUID) -> bool:
        """Tell whether there is such a campaign, with a code for each customer."""
        c = voucher_campaigns
        statement = select(c.c.id).where(self.mine(c), c.c.id == campaign_id, c.c.shared_code.is_(None))
        return await self.unit.fetch_value(statement) is not None


class CodeRepository(Repository):
    """Codes of the tenant's customers."""

    table = referral_codes

    async def of(self, customer_id: UUID, programme_id: UUID) -> asyncpg.Record | None:
        """Return a customer's code, or None."""
        k = referral_codes
        return await self.unit.fetch_one(
            select(k).where(self.mine(), k.c.customer_id == customer_id, k.c.programme_id == programme_id)
        )

    async def add(self, values: Mapping[str, Any]) -> bool:
        """Insert a code; returns False when the code is taken or the customer has one."""
        statement = insert(referral_codes).on_conflict_do_nothing()
        return bool(await self.unit.execute(statement, {"tenant_id": self.unit.tenant_id, **values}))

    async def by_code(self, code: str) -> asyncpg.Record | None:
        """Return whose code it is, in which programme; None when nobody's."""
        return await self.unit.connection.fetchrow(_BY_CODE, self.unit.tenant_id, code)

    async def hold(self, customer_id: UUID, programme_id: UUID) -> None:
        """Let other decisions about this referrer's referrals wait until the unit ends."""
        await self.unit.connection.execute(_HOLD_CODE, self.unit.tenant_id, customer_id, programme_id)


class ReferralRepository(Repository):
    """Referrals of the tenant."""

    table = referrals

    async def add(self, referral_id: UUID, case: Case) -> UUID | None:
        """Insert a referral; returns the id of the one the friend came by already, and then inserts nothing."""
        statement = (
            insert(referrals)
            .on_conflict_do_nothing(index_elements=["tenant_id", "friend_id", "programme_id"])
            .returning(referrals.c.id)
        )
        row = {"tenant_id": self.unit.tenant_id, "id": referral_id, **_row(case)}
        if await self.unit.fetch_value(statement, row) is not None:
            return None
        known: UUID | None = await self.unit.fetch_value(
            select(referrals.c.id).where(
                self.mine(), referrals.c.friend_id == case.friend_id, referrals.c.programme_id == case.programme_id
            )
        )
        return known

    async def hold(self, referral_id: UUID, *, expected_version: int | None = None) -> Case:
        """Return a referral and lock it.

        Raises:
            NotFound: there is none.
            PreconditionFailed: its version is not the expected one.

        """
        held = await self.hold_many([referral_id])
        if not held:
            raise NotFound
        if expected_version is not None and held[0].case.version != expected_version:
            raise PreconditionFailed
        return held[0].case

    async def hold_many(self, ids: Iterable[UUID]) -> list[Held]:
        """Return referrals and lock them, in the order of their ids."""
        rows = await self.unit.connection.fetch(_HOLD, self.unit.tenant_id, sorted(set(ids)))
        return [Held(row["id"], case_of(row)) for row in rows]

    async def append(self, referral_id: UUID, events: Sequence[Event]) -> None:
        """Write events; each number is unique for the referral."""
        actor = self.unit.actor
        await self.insert_many(
            [
                {
                    "id": new_id(),
                    "referral_id": referral_id,
                    "number": event.number,
                    "at": event.at,
                    "actor_kind": actor.kind,
                    "actor_id": actor.id,
                    "action": event.action,
                    "from_state": event.source,
                    "to_state": event.target,
                    "note": event.note,
                    "data": event.data,
                }
                for event in events
            ],
            referral_events,
        )

    async def become(self, referral_id: UUID, before: Case, after: Case) -> None:
        """Write what events changed; the version is the number of the last one."""
        old, new = _row(before), _row(after)
        changed = {name: value for name, value in new.items() if value != old[name]}
        await self.unit.execute(
            update(referrals).where(self.by_id(referral_id)).values(**changed, updated_at=self.unit.now())
        )

    async def events(self, referral_id: UUID) -> list[Event]:
        """Return all events of a referral, oldest first."""
        e = referral_events
        rows = await self.unit.fetch_all(
            select(e).where(self.mine(e), e.c.referral_id == referral_id).order_by(e.c.number)
        )
        return [
            Event(row["number"], row["at"], row["action"], row["from_state"], row["to_state"], row["data"], row["note"])
            for row in rows
        ]

    # -- facts ---------------------------------------------------------------------------------------------------------

    async def facts(self, held: Sequence[Held]) -> dict[UUID, Facts]:
        """Return what is so now, for each referral; nobody has looked at its checks yet."""
        now = self.unit.now()
        people = await self._people([each.case for each in held])
        candidates = await self._candidates([each for each in held if each.case.order_id is None])
        orders = await self._orders([each for each in held if each.case.order_id is not None])
        return {
            each.id: Facts(
                now=now,
                gone=any(people[side] == "gone" for side in (each.case.referrer_id, each.case.friend_id)),
                friend_merged=people[each.case.friend_id] == "merged",
                candidate=candidates.get(each.id),
                order=orders.get(each.id),
            )
            for each in held
        }

    async def _people(self, cases: Sequence[Case]) -> dict[UUID, str]:
        ids = sorted({side for case in cases for side in (case.referrer_id, case.friend_id)})
        rows = await self.unit.connection.fetch(_PEOPLE, self.unit.tenant_id, ids)
        return {row["id"]: "merged" if row["merged"] else "gone" if row["deleted"] else "living" for row in rows}

    async def _candidates(self, held: Sequence[Held]) -> dict[UUID, Purchase]:
        waiting = [each for each in held if each.case.state in {"signed_up", "voided"}]
        if not waiting:
            return {}
        terms = [each.case.terms for each in waiting]
        rows = await self.unit.connection.fetch(
            _CANDIDATES,
            self.unit.tenant_id,
            [each.id for each in waiting],
            [each.case.friend_id for each in waiting],
            [each.case.signed_up_at for each in waiting],
            [each.qualifying_order for each in terms],
            [each.currency for each in terms],
            [each.minimum_amount for each in terms],
            list(decisions.PAID),
        )
        return {row["referral_id"]: _purchase(row) for row in rows}

    async def _orders(self, held: Sequence[Held]) -> dict[UUID, Purchase]:
        if not held:
            return {}
        rows = await self.unit.connection.fetch(
            _ORDERS,
            self.unit.tenant_id,
            [each.id for each in held],
            [each.case.order_id for each in held],
            [each.case.friend_id for each in held],
        )
        return {row["referral_id"]: _purchase(row) for row in rows}

    # -- which ---------------------------------------------------------------------------------------------------------

    async def of_orders(self, order_ids: Sequence[UUID], customer_ids: Sequence[UUID]) -> list[UUID]:
        """Return the referrals that something about these orders, or these buyers' orders, can change."""
        return await self._ids(_OF_ORDERS, order_ids, customer_ids)

    async def of_merged(self, customer_ids: Sequence[UUID]) -> list[UUID]:
        """Return the referrals that a merge of these customers, or its undoing, can change."""
        return await self._ids(_OF_MERGED, customer_ids)

    async def of_gone(self, customer_ids: Sequence[UUID]) -> list[UUID]:
        """Return the open referrals of customers who were deleted or erased."""
        return await self._ids(_OF_GONE, customer_ids)

    async def due(self, now: datetime, limit: int) -> list[UUID]:
        """Return the referrals that time moves on, the longest waiting first."""
        return await self._ids(_DUE, now, limit)

    async def _ids(self, sql: str, *values: Any) -> list[UUID]:
        rows = await self.unit.connection.fetch(sql, self.unit.tenant_id, *values)
        return [row["id"] for row in rows]

    # -- the rest ------------------------------------------------------------------------------------------------------

    async def add_signal(self, customer_id: UUID, kind: str, digest: bytes) -> bool:
        """Note a device or payment account of a customer; returns whether that was new."""
        row = {"tenant_id": self.unit.tenant_id, "customer_id": customer_id, "kind": kind, "digest": digest}
        return bool(await self.unit.execute(insert(referral_signals).on_conflict_do_nothing(), row))


_COLUMNS: Final = tuple(Case.model_fields)
_HOLD: Final = f"""
SELECT id, {", ".join(_COLUMNS)} FROM referrals
WHERE tenant_id = $1 AND id = ANY ($2::uuid[])
ORDER BY id
FOR NO KEY UPDATE
"""  # noqa: S608 - names of our own columns
_JSON: Final = tuple(
    name for name in _COLUMNS if name in referrals.c and type(referrals.c[name].type).__name__ == "JSONB"
)


def _row(case: Case) -> dict[str, Any]:
    plain = case.model_dump(mode="json", include=set(_JSON))
    return {**case.model_dump(exclude=set(_JSON)), **plain}


def case_of(row: asyncpg.Record) -> Case:
    """Return what a row says of the referral."""
    return Case.model_validate({name: row[name] for name in _COLUMNS})


def _purchase(row: asyncpg.Record) -> Purchase:
    return Purchase(**{name: row[name] for name in Purchase.__dataclass_fields__})


__all__ = [
    "REFERRAL",
    "REFERRAL_CODE",
    "REFERRAL_EVENT",
    "REFERRAL_PROGRAMME",
    "CodeRepository",
    "EvidenceReader",
    "Held",
    "ProgrammeRepository",
    "ReferralRepository",
]
