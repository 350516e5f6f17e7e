"""Access to voucher campaigns, batches, vouchers and their uses.

Locks are always taken in this order: the key that a voucher is given under, the order's name, the session's name,
campaigns by id. A campaign's row is what all limits hang on: whoever locks, redeems or rolls back holds it, so uses of
one campaign happen one after another, and counts made while holding it are exact. A voucher belongs to one campaign, so
its row needs no lock of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
from sqlalchemy import ColumnElement, FromClause, Text, Uuid, any_, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from crm_api.core.rules import AsOf, Op
from crm_api.customers.repository.birthdays import next_birthday_test
from crm_api.customers.tables import customers
from crm_api.db.bulk import insert_rows
from crm_api.db.repository import Repository
from crm_api.db.rule_values import bind
from crm_api.segments.repository.catalogue import customer_rules
from crm_api.vouchers.repository.eligibility import checked_rule, is_eligible, tenant_zone
from crm_api.vouchers.repository.projections import (
    SCOPE,
    VOUCHER,
    VOUCHER_BATCH,
    VOUCHER_CAMPAIGN,
    VOUCHER_REDEMPTION,
)
from crm_api.vouchers.tables import voucher_batches, voucher_campaigns, voucher_redemptions, vouchers

__all__ = [
    "SCOPE",
    "VOUCHER",
    "VOUCHER_BATCH",
    "VOUCHER_CAMPAIGN",
    "VOUCHER_REDEMPTION",
    "BatchRepository",
    "CampaignRepository",
    "RedemptionRepository",
    "VoucherRepository",
    "checked_rule",
    "ids_are",
    "is_eligible",
    "tenant_zone",
]

Row = Mapping[str, Any]

_HOLD: Final = "SELECT pg_advisory_xact_lock(hashtextextended('crm voucher ' || $1 || ' ' || $2 || ' ' || $3, 0))"

# $1 tenant, $2 codes, $3 now, $4 session, $5 customer. A lock of the asking session is its own room.
_STANDING: Final = """
SELECT v.id, v.code, v.campaign_id, v.customer_id, v.state, v.redeemed, v.expires_at,
  (SELECT count(*) FROM voucher_redemptions u
   WHERE u.tenant_id = $1 AND u.voucher_id = v.id AND u.state = 'locked' AND u.locked_until > $3
     AND u.session_id IS DISTINCT FROM $4) AS locked,
  (SELECT count(*) FROM voucher_redemptions u
   WHERE u.tenant_id = $1 AND u.campaign_id = v.campaign_id AND u.state = 'locked' AND u.locked_until > $3
     AND u.session_id IS DISTINCT FROM $4) AS campaign_locked,
  (SELECT count(*) FROM voucher_redemptions u
   WHERE u.tenant_id = $1 AND u.customer_id = $5 AND u.campaign_id = v.campaign_id AND (u.state = 'redeemed'
     OR (u.state = 'locked' AND u.locked_until > $3 AND u.session_id IS DISTINCT FROM $4))) AS customer_used
FROM vouchers v WHERE v.tenant_id = $1 AND v.code = ANY ($2::text[])
"""

_CAMPAIGNS_OF: Final = "SELECT DISTINCT campaign_id FROM vouchers WHERE tenant_id = $1 AND code = ANY ($2::text[])"

# Counts only what is new: a code that exists already, however unlikely, is made anew by the next step.
_MAKE: Final = """
INSERT INTO vouchers (tenant_id, id, campaign_id, batch_id, code)
SELECT $1, g.id, $2, $3, g.code FROM unnest($4::uuid[], $5::text[]) AS g (id, code)
ON CONFLICT (tenant_id, code) DO NOTHING
"""

_COUNT: Final = """
UPDATE vouchers v SET redeemed = v.redeemed + g.n, version = v.version + 1, updated_at = now()
FROM unnest($2::uuid[], $3::int[]) AS g (id, n) WHERE v.tenant_id = $1 AND v.id = g.id
"""

_COUNT_CAMPAIGNS: Final = """
UPDATE voucher_campaigns c SET redeemed = c.redeemed + g.n
FROM unnest($2::uuid[], $3::int[]) AS g (id, n) WHERE c.tenant_id = $1 AND c.id = g.id
"""

_LAPSE: Final = """
UPDATE voucher_redemptions SET state = 'lapsed', ended_at = locked_until, version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = ANY (ARRAY(
  SELECT id FROM voucher_redemptions WHERE tenant_id = $1 AND state = 'locked' AND locked_until <= $2
  ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED))
"""

_EXPIRED: Final = """
UPDATE vouchers SET expiry_told = true
WHERE tenant_id = $1 AND id = ANY (ARRAY(
  SELECT id FROM vouchers
  WHERE tenant_id = $1 AND NOT expiry_told AND customer_id IS NOT NULL AND expires_at <= $2
  ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED))
RETURNING id, campaign_id, customer_id, state, redeemed, expires_at
"""

_RELEASE: Final = """
UPDATE voucher_redemptions SET state = 'released', ended_at = $3, version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = ANY ($2::uuid[]) AND state = 'locked'
"""


def ids_are(ids: Sequence[UUID]) -> Callable[[FromClause], ColumnElement[bool]]:
    """Return the predicate that keeps rows with these ids."""
    return lambda t: t.c.id == any_(bind(list(ids), ARRAY(Uuid())))


class CampaignRepository(Repository):
    """Campaigns, and for which customers they are."""

    table = voucher_campaigns

    async def zone(self) -> ZoneInfo:
        """Return the tenant's time zone."""
        return await tenant_zone(self.unit)

    async def by_ids(self, ids: Sequence[UUID], *, lock: bool = False) -> dict[UUID, Row]:
        """Return campaigns by id; ``lock`` holds them, in the order of their ids, against other uses."""
        c = voucher_campaigns
        statement = select(c).where(self.mine(), c.c.id == any_(bind(list(ids), ARRAY(Uuid())))).order_by(c.c.id)
        if lock:
            statement = statement.with_for_update(key_share=True)
        return {row["id"]: dict(row) for row in await self.unit.fetch_all(statement)}

    async def of_codes(self, codes: Sequence[str]) -> list[UUID]:
        """Return the campaigns that these codes belong to."""
        rows = await self.unit.connection.fetch(_CAMPAIGNS_OF, self.unit.tenant_id, list(codes))
        return [row["campaign_id"] for row in rows]

    async def count(self, changes: Mapping[UUID, int]) -> None:
        """Add to campaigns' uses; the caller holds their rows."""
        ids = sorted(changes)
        await self.unit.connection.execute(_COUNT_CAMPAIGNS, self.unit.tenant_id, ids, [changes[id_] for id_ in ids])

    async def add_vouchers(self, campaign_id: UUID, count: int) -> None:
        """Count vouchers that were made; nobody's ETag changes by that."""
        c = voucher_campaigns
        await self.unit.execute(update(c).where(self.by_id(campaign_id)).values(vouchers=c.c.vouchers + count))

    async def note_birthdays(self, campaign_id: UUID, day: date) -> None:
        """Write down the last day whose birthdays were seen to; nobody's ETag changes by that."""
        statement = update(voucher_campaigns).where(self.by_id(campaign_id)).values(birthdays_done_on=day)
        await self.unit.execute(statement)

    async def with_birthdays(self) -> list[UUID]:
        """Return active campaigns that give vouchers for birthdays."""
        c = voucher_campaigns
        statement = select(c.c.id).where(self.mine(), c.c.birthday_days_before.is_not(None), c.c.state == "active")
        return [row["id"] for row in await self.unit.fetch_all(statement.order_by(c.c.id))]

    async def having_birthday(
        self, campaign: asyncpg.Record, day: date, seen_on: AsOf, occasion: str, limit: int
    ) -> list[UUID]:
        """Return customers a campaign is for whose birthday is on a day and who have nothing for the occasion yet."""
        c, v = customers.alias(), vouchers.alias()
        has = select(v.c.id).where(
            v.c.tenant_id == c.c.tenant_id,
            v.c.customer_id == c.c.id,
            v.c.campaign_id == bind(campaign["id"], Uuid()),
            v.c.occasion == occasion,
        )
        conditions = [
            c.c.tenant_id == self.unit.tenant_id,
            c.c.deleted_at.is_(None),
            next_birthday_test(c, Op.EQ, day, seen_on),
            ~has.exists(),
        ]
        if campaign["rule"] is not None:
            known = await customer_rules(self.unit, campaign["rule"])
            checked = known.check(campaign["rule"], "/rule")
            conditions.append(known.predicate(checked, c, seen_on, self.unit.tenant_id))
        statement = select(c.c.id).where(*conditions).order_by(c.c.id).limit(limit)
        return [row["id"] for row in await self.unit.fetch_all(statement)]


class BatchRepository(Repository):
    """Batches of codes."""

    table = voucher_batches

    async def make(self, batch: asyncpg.Record, ids: Sequence[UUID], codes: Sequence[str]) -> int:
        """Insert vouchers with these codes; returns how many of the codes were free."""
        status = await self.unit.connection.execute(
            _MAKE, self.unit.tenant_id, batch["campaign_id"], batch["id"], list(ids), list(codes)
        )
        return int(status.rpartition(" ")[2])


class VoucherRepository(Repository):
    """Vouchers."""

    table = vouchers

    async def by_code(self, code: str) -> UUID | None:
        """Return the voucher with a canonical code: one read of the index."""
        found: UUID | None = await self.unit.fetch_value(
            select(vouchers.c.id).where(self.mine(), vouchers.c.code == code)
        )
        return found

    async def ids_of(self, wanted: Sequence[str]) -> set[UUID]:
        """Return the vouchers with these canonical codes."""
        known = vouchers.c.code == any_(bind(list(wanted), ARRAY(Text())))
        return {row["id"] for row in await self.unit.fetch_all(select(vouchers.c.id).where(self.mine(), known))}

    async def by_issue_key(self, key: str) -> asyncpg.Record | None:
        """Return what was given under a key."""
        return await self.unit.fetch_one(select(vouchers).where(self.mine(), vouchers.c.issue_key == key))

    async def issue(self, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
        """Insert vouchers of customers, in one statement."""
        await insert_rows(self.unit, vouchers, columns, rows)

    async def count(self, changes: Mapping[UUID, int]) -> None:
        """Add to vouchers' uses; the caller holds their campaigns."""
        ids = sorted(changes)
        await self.unit.connection.execute(_COUNT, self.unit.tenant_id, ids, [changes[id_] for id_ in ids])

    async def tell_expired(self, now: datetime, limit: int) -> list[Row]:
        """Mark and return customers' vouchers whose time is over and of which nobody was told."""
        rows = await self.unit.connection.fetch(_EXPIRED, self.unit.tenant_id, now, limit)
        return [dict(row) for row in rows]


class RedemptionRepository(Repository):
    """Uses of vouchers."""

    table = voucher_redemptions

    async def hold(self, what: str, name: str) -> None:
        """Keep others from working on an order, a session or a key of this name until the unit ends."""
        await self.unit.connection.execute(_HOLD, str(self.unit.tenant_id), what, name)

    async def standing(
        self, codes: Sequence[str], now: datetime, session: str | None, customer_id: UUID | None
    ) -> dict[str, Row]:
        """Return the vouchers with these codes, by code, with how much of their limits is taken by others."""
        rows = await self.unit.connection.fetch(_STANDING, self.unit.tenant_id, list(codes), now, session, customer_id)
        return {row["code"]: dict(row) for row in rows}

    async def of_session(self, session: str) -> list[Row]:
        """Return what a session has locked, lapsed locks included, with codes and states of the vouchers.

        A voucher that was taken back before this is read is ``void`` here.
        """
        u, v = voucher_redemptions, vouchers
        statement = (
            select(u, v.c.code, v.c.state.label("voucher_state"))
            .join(v, (v.c.tenant_id == u.c.tenant_id) & (v.c.id == u.c.voucher_id))
            .where(self.mine(), u.c.session_id == session, u.c.state == "locked")
            .order_by(u.c.position, u.c.id)
        )
        return [dict(row) for row in await self.unit.fetch_all(statement)]

    async def of_order(self, order_ref: str) -> list[Row]:
        """Return an order's uses, rolled back ones included, oldest first."""
        u = voucher_redemptions
        mine = select(u).where(self.mine(), u.c.order_ref == order_ref)
        return [dict(row) for row in await self.unit.fetch_all(mine.order_by(u.c.id))]

    async def release(self, ids: Sequence[UUID], now: datetime) -> None:
        """End locks."""
        await self.unit.connection.execute(_RELEASE, self.unit.tenant_id, list(ids), now)

    async def lapse(self, now: datetime, limit: int) -> int:
        """Write on locks whose time is over that it is; returns how many. They have not counted since."""
        status = await self.unit.connection.execute(_LAPSE, self.unit.tenant_id, now, limit)
        return int(status.rpartition(" ")[2])
