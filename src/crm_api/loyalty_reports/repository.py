"""Reports' figures: each one statement over the ledger, set by set; nothing is stored.

Of the points only spendable wallets count. Entries tell what flowed, lots and their movements what became of the points
of a month. ``$1`` is the tenant, ``$2`` the programme, ``$3`` and ``$4`` the period ``[from, to)``.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import asyncpg

from crm_api.db.repository import Repository
from crm_api.loyalty.tables import loyalty_transactions

_PROGRAMME: Final = """
SELECT p.id, coalesce(p.currency, t.currency) AS currency, p.time_zone, p.scale
FROM loyalty_programmes p JOIN tenants t ON t.tenant_id = p.tenant_id
WHERE p.tenant_id = $1 AND CASE WHEN $2::uuid IS NULL THEN p.is_default ELSE p.id = $2 END
"""

_OF_PROGRAMME: Final = """
FROM loyalty_transactions t
JOIN loyalty_wallets w ON w.tenant_id = t.tenant_id AND w.id = t.wallet_id
  AND w.programme_id = $2 AND w.kind = 'spendable'
"""

_LIABILITY: Final = f"""
SELECT e.account,
  coalesce(sum(e.points) FILTER (WHERE t.at < $3), 0)::bigint AS before,
  coalesce(sum(e.points) FILTER (WHERE t.at >= $3), 0)::bigint AS during
{_OF_PROGRAMME} JOIN loyalty_entries e ON e.tenant_id = t.tenant_id AND e.transaction_id = t.id
WHERE t.tenant_id = $1 AND t.at < $4
GROUP BY 1
"""

# What time ends is booked by a schedule, at the moment it was due: $3, if that is not still to come.
_SETTLED: Final = """
SELECT NOT EXISTS (
  SELECT FROM loyalty_lots l JOIN loyalty_wallets w ON w.tenant_id = l.tenant_id AND w.id = l.wallet_id
    AND w.programme_id = $2 AND w.kind = 'spendable'
  WHERE l.tenant_id = $1
    AND (l.state = 'pending' AND l.available_at < $3 OR l.state = 'available' AND l.expires_at < $3)
) AND NOT EXISTS (
  SELECT FROM loyalty_holds h JOIN loyalty_wallets w ON w.tenant_id = h.tenant_id AND w.id = h.wallet_id
    AND w.programme_id = $2 AND w.kind = 'spendable'
  WHERE h.tenant_id = $1 AND h.state = 'open' AND h.until < $3
)
"""

_FLOWS: Final = f"""
SELECT date_trunc($6, t.at AT TIME ZONE $5)::date AS start, e.account, sum(e.points)::bigint AS points
{_OF_PROGRAMME} JOIN loyalty_entries e ON e.tenant_id = t.tenant_id AND e.transaction_id = t.id
WHERE t.tenant_id = $1 AND t.at >= $3 AND t.at < $4
  AND e.account IN ('issued', 'redeemed', 'expired', 'cancelled', 'adjusted')
GROUP BY 1, 2 ORDER BY 1
"""

_PARTICIPATION: Final = f"""
WITH acts AS (
  SELECT w.customer_id, min(t.at) AS first,
    bool_or(t.at >= $3 AND t.type IN ('earn', 'grant')) AS earned,
    bool_or(t.at >= $3 AND t.type IN ('redeem', 'post')) AS redeemed
  {_OF_PROGRAMME} JOIN customers c ON c.tenant_id = w.tenant_id AND c.id = w.customer_id AND c.deleted_at IS NULL
  WHERE t.tenant_id = $1 AND t.at < $4
  GROUP BY 1
),
sales AS (
  SELECT count(*) AS orders, count(*) FILTER (WHERE a.granted > a.reversed) AS with_points
  FROM orders o LEFT JOIN loyalty_accruals a ON a.tenant_id = o.tenant_id AND a.order_id = o.id
  WHERE o.tenant_id = $1 AND o.status IN ('paid', 'shipped', 'completed')
    AND coalesce(o.paid_at, o.placed_at) >= $3 AND coalesce(o.paid_at, o.placed_at) < $4
)
SELECT (SELECT count(*) FROM customers WHERE tenant_id = $1 AND deleted_at IS NULL AND created_at < $4) AS customers,
  count(a.customer_id) AS members, count(*) FILTER (WHERE a.first >= $3) AS joined,
  count(*) FILTER (WHERE a.earned) AS earning, count(*) FILTER (WHERE a.redeemed) AS redeeming,
  count(*) FILTER (WHERE a.earned OR a.redeemed) AS active,
  (SELECT orders FROM sales) AS orders, (SELECT with_points FROM sales) AS orders_with_points
FROM acts a
"""  # noqa: S608

# What each lot's points were used for, from its movements. What a hold took is redeemed once it is posted; until then
# the lot itself says how much of it is held.
_USES: Final = """
uses AS (
  SELECT m.lot_id,
    -sum(m.points) FILTER (WHERE t.type IN ('redeem', 'restore', 'hold', 'post', 'void', 'timeout')) AS spent,
    -sum(m.points) FILTER (WHERE t.type = 'adjust' AND m.points < 0) AS taken,
    -sum(m.points) FILTER (WHERE t.type IN ('transfer', 'merge', 'unmerge')) AS moved,
    bool_or(t.type IN ('earn', 'grant', 'adjust') AND m.points > 0) AS was_issued
  FROM loyalty_lot_movements m
  JOIN loyalty_transactions t ON t.tenant_id = m.tenant_id AND t.id = m.transaction_id
  WHERE m.tenant_id = $1
  GROUP BY 1
)
"""

# A lot has the id of the transaction that issued it. Lots without one hold points of another lot (sent to somebody
# else, given back after a merge was undone), which keep the month they were earned in and are not issued again.
# Points that came back and repaid what the customer owed in the same booking left no movement: they were redeemed no
# more, but cancelled. The second part takes them out, in the month of the oldest points that came back.
_COHORTS: Final = f"""
WITH {_USES},
parts AS (
  SELECT l.earned_at, CASE WHEN g.id IS NOT NULL OR u.was_issued THEN l.granted ELSE 0 END AS issued,
    coalesce(u.spent, 0) - l.held AS redeemed, l.expired, coalesce(u.taken, 0) AS taken, coalesce(u.moved, 0) AS moved,
    l.remaining + l.held AS outstanding
  FROM loyalty_lots l
  JOIN loyalty_wallets w ON w.tenant_id = l.tenant_id AND w.id = l.wallet_id
    AND w.programme_id = $2 AND w.kind = 'spendable'
  LEFT JOIN loyalty_transactions g ON g.tenant_id = l.tenant_id AND g.id = l.id
    AND g.type IN ('earn', 'grant', 'adjust')
  LEFT JOIN uses u ON u.lot_id = l.id
  WHERE l.tenant_id = $1
  UNION ALL
  SELECT coalesce((
      SELECT min(l.earned_at) FROM loyalty_lots l
      WHERE l.tenant_id = $1 AND l.id = ANY (ARRAY(
        SELECT m.lot_id FROM loyalty_lot_movements m WHERE m.tenant_id = $1 AND m.transaction_id = t.reverses_id
        UNION ALL
        SELECT h.lot_id FROM loyalty_hold_parts h WHERE h.tenant_id = $1 AND h.hold_id = t.hold_id
      ))
    ), t.at), 0, CASE WHEN t.type IN ('restore', 'post', 'void', 'timeout') THEN -e.points ELSE 0 END, 0, 0,
    CASE WHEN t.type IN ('transfer', 'merge', 'unmerge') THEN -e.points ELSE 0 END, 0
  {_OF_PROGRAMME} JOIN loyalty_entries e ON e.tenant_id = t.tenant_id AND e.transaction_id = t.id AND e.account = 'debt'
  WHERE t.tenant_id = $1 AND t.type IN ('restore', 'post', 'void', 'timeout', 'transfer', 'merge', 'unmerge')
)
SELECT date_trunc('month', earned_at AT TIME ZONE $5)::date AS month, sum(issued)::bigint AS issued,
  sum(redeemed)::bigint AS redeemed, sum(expired)::bigint AS expired, sum(taken)::bigint AS taken,
  sum(moved)::bigint AS moved, sum(outstanding)::bigint AS outstanding
FROM parts WHERE earned_at >= $3 AND earned_at < $4 GROUP BY 1 ORDER BY 1
"""  # noqa: S608

_ULTIMATE: Final = f"""
SELECT coalesce(sum(e.points) FILTER (WHERE e.account = 'redeemed'), 0)::bigint AS redeemed,
  coalesce(sum(e.points), 0)::bigint AS ended
{_OF_PROGRAMME} JOIN loyalty_entries e ON e.tenant_id = t.tenant_id AND e.transaction_id = t.id
WHERE t.tenant_id = $1 AND t.at < $3 AND e.account IN ('redeemed', 'expired')
"""

# $6 currency, $7 minor units for the smallest part of a point times the share expected to be redeemed, $8 that share.
# All points of an order count, whatever gave them: lots that hold points of another one are part of it and issue none.
# Everything is as it was before $4, so that a closed period stays as it is; refunds lower the sale whenever they come.
# Points sent to somebody else are followed no further: they are there until they end.
_DEFERRAL: Final = """
WITH closed AS (
  SELECT hold_id, min(at) AS at FROM loyalty_transactions
  WHERE tenant_id = $1 AND type IN ('post', 'void', 'timeout') AND at < $4 GROUP BY 1
),
uses AS (
  SELECT m.lot_id, sum(m.points) AS remaining,
    -coalesce(sum(m.points) FILTER (WHERE t.type = 'hold' AND c.hold_id IS NULL), 0) AS held,
    -coalesce(sum(m.points) FILTER (
      WHERE t.type IN ('redeem', 'restore', 'post', 'void', 'timeout') OR t.type = 'hold' AND c.hold_id IS NOT NULL
    ), 0) AS spent,
    -coalesce(sum(m.points) FILTER (WHERE t.type = 'transfer'), 0) AS sent
  FROM loyalty_lot_movements m
  JOIN loyalty_transactions t ON t.tenant_id = m.tenant_id AND t.id = m.transaction_id AND t.at < $4
  LEFT JOIN closed c ON t.type = 'hold' AND c.hold_id = t.hold_id
  WHERE m.tenant_id = $1
  GROUP BY 1
),
sales AS (
  SELECT min(l.earned_at) AS earned_at, (o.paid_amount - o.refunded_amount)::numeric AS price,
    sum(l.granted - l.reversed) FILTER (WHERE g.id IS NOT NULL) AS points,
    greatest(0, sum(u.spent)) AS redeemed,
    sum(u.remaining + u.held + CASE WHEN l.expires_at < $4 THEN 0 ELSE u.sent END) AS outstanding
  FROM loyalty_lots l
  JOIN loyalty_wallets w ON w.tenant_id = l.tenant_id AND w.id = l.wallet_id
    AND w.programme_id = $2 AND w.kind = 'spendable'
  JOIN orders o ON o.tenant_id = l.tenant_id AND o.id = l.order_id AND o.currency = $6
    AND o.paid_amount > o.refunded_amount
  LEFT JOIN loyalty_transactions g ON g.tenant_id = l.tenant_id AND g.id = l.id AND g.type IN ('earn', 'grant')
  JOIN uses u ON u.lot_id = l.id
  WHERE l.tenant_id = $1 AND l.order_id IS NOT NULL
  GROUP BY o.id, o.paid_amount, o.refunded_amount
  HAVING min(l.earned_at) >= $3 AND min(l.earned_at) < $4
),
allocated AS (
  SELECT *, points * $7::numeric AS stand_alone, price * points * $7 / (price + points * $7) AS part
  FROM sales WHERE points > 0
)
SELECT date_trunc('month', earned_at AT TIME ZONE $5)::date AS month, count(*) AS orders, sum(price) AS price,
  sum(points) AS points, sum(stand_alone) AS stand_alone, sum(part) AS allocated,
  sum(least(redeemed, points)) AS redeemed,
  sum(CASE WHEN outstanding <= 0 THEN part
    WHEN $8::numeric > 0 THEN part * least(1, redeemed / (points * $8)) ELSE 0 END) AS recognised
FROM allocated GROUP BY 1 ORDER BY 1
"""

_MIGRATION: Final = """
WITH scheme AS (SELECT id FROM tier_schemes WHERE tenant_id = $1 AND programme_id = $2),
was AS (
  SELECT DISTINCT ON (customer_id) customer_id, to_code, to_level FROM tier_log
  WHERE tenant_id = $1 AND scheme_id = (SELECT id FROM scheme) AND at < $3 ORDER BY customer_id, id DESC
),
became AS (
  SELECT DISTINCT ON (customer_id) customer_id, to_code, to_level FROM tier_log
  WHERE tenant_id = $1 AND scheme_id = (SELECT id FROM scheme) AND at < $4 ORDER BY customer_id, id DESC
)
SELECT coalesce(was.to_code, 'none') AS before, coalesce(became.to_code, 'none') AS after,
  coalesce(was.to_level, 0) AS level_before, coalesce(became.to_level, 0) AS level_after, count(*) AS customers
FROM customers c
LEFT JOIN was ON was.customer_id = c.id
LEFT JOIN became ON became.customer_id = c.id
WHERE c.tenant_id = $1 AND c.deleted_at IS NULL
GROUP BY 1, 2, 3, 4
"""

_VOUCHERS: Final = """
WITH made AS (
  SELECT v.id, v.campaign_id, v.customer_id, v.state, v.expires_at FROM vouchers v
  WHERE v.tenant_id = $1 AND v.created_at >= $2 AND v.created_at < $3
),
uses AS (
  SELECT r.voucher_id, count(*) FILTER (WHERE r.state = 'redeemed') AS standing,
    count(*) FILTER (WHERE r.state = 'rolled_back') AS rolled_back
  FROM voucher_redemptions r JOIN made ON made.id = r.voucher_id
  WHERE r.tenant_id = $1 GROUP BY 1
)
SELECT c.id AS campaign_id, c.name, count(*) AS made, count(m.customer_id) AS given, count(u.voucher_id) AS tried,
  count(*) FILTER (WHERE u.standing > 0) AS redeemed, coalesce(sum(u.standing), 0)::bigint AS uses,
  coalesce(sum(u.rolled_back), 0)::bigint AS rolled_back,
  count(*) FILTER (WHERE m.expires_at <= $4 AND coalesce(u.standing, 0) = 0) AS expired,
  count(*) FILTER (WHERE m.state = 'void') AS void
FROM made m
JOIN voucher_campaigns c ON c.tenant_id = $1 AND c.id = m.campaign_id
LEFT JOIN uses u ON u.voucher_id = m.id
GROUP BY c.id, c.name ORDER BY c.id DESC
"""


FRAUD: Final = (
    "self",
    "shared_phone",
    "shared_account",
    "shared_address",
    "shared_device",
    "shared_payment_account",
    "velocity",
    "cycle",
    "blacklisted",
)
"""Reasons to void that are fraud; others say that a friend was not new, a cap was reached or nothing was bought."""

_REFERRALS: Final = """
SELECT count(*) AS signed_up, count(*) FILTER (WHERE qualified_at IS NOT NULL) AS qualified,
  count(*) FILTER (WHERE state = 'rewarded') AS rewarded, count(*) FILTER (WHERE state = 'voided') AS voided,
  count(*) FILTER (WHERE flagged_at IS NOT NULL) AS flagged,
  count(*) FILTER (WHERE state = 'voided' AND (
    void_reason = ANY ($4::text[]) OR void_reason = 'rejected' AND flagged_at IS NOT NULL)
  ) AS fraud,
  count(*) FILTER (WHERE clawed_back_at IS NOT NULL) AS clawed_back
FROM referrals WHERE tenant_id = $1 AND signed_up_at >= $2 AND signed_up_at < $3
"""

_FINDINGS: Final = """
SELECT f.code, count(DISTINCT r.id) AS referrals
FROM referrals r CROSS JOIN LATERAL jsonb_to_recordset(r.findings) AS f (code text)
WHERE r.tenant_id = $1 AND r.signed_up_at >= $2 AND r.signed_up_at < $3
GROUP BY 1 ORDER BY 2 DESC, 1
"""


class ReportRepository(Repository):
    """Figures of one tenant."""

    table = loyalty_transactions

    async def _rows(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        found: list[asyncpg.Record] = await self.unit.connection.fetch(statement, self.unit.tenant_id, *values)
        return found

    async def programme(self, programme_id: UUID | None) -> asyncpg.Record | None:
        """Return ``id``, ``currency`` (else the tenant's), ``time_zone`` and ``scale``; None: the default one."""
        rows = await self._rows(_PROGRAMME, programme_id)
        return rows[0] if rows else None

    async def accounts(self, programme_id: UUID, start: datetime, end: datetime) -> dict[str, tuple[int, int]]:
        """Return account → sum of its entries before the period, and in it."""
        rows = await self._rows(_LIABILITY, programme_id, start, end)
        return {row["account"]: (row["before"], row["during"]) for row in rows}

    async def is_settled(self, programme_id: UUID, end: datetime) -> bool:
        """Tell whether all that time has done before a moment is booked."""
        [row] = await self._rows(_SETTLED, programme_id, min(end, self.unit.now()))
        return bool(row[0])

    async def flows(
        self, programme_id: UUID, start: datetime, end: datetime, zone: str, step: str
    ) -> list[asyncpg.Record]:
        """Return (start, account, points) of the programme's accounts, oldest first."""
        return await self._rows(_FLOWS, programme_id, start, end, zone, step)

    async def participation(self, programme_id: UUID, start: datetime, end: datetime) -> asyncpg.Record:
        """Return the counts of `Participation`."""
        [row] = await self._rows(_PARTICIPATION, programme_id, start, end)
        return row

    async def cohorts(self, programme_id: UUID, start: datetime, end: datetime, zone: str) -> list[asyncpg.Record]:
        """Return what became of the points of each month, oldest first."""
        return await self._rows(_COHORTS, programme_id, start, end, zone)

    async def ultimate(self, programme_id: UUID, end: datetime) -> tuple[int, int]:
        """Return how many points were redeemed, and how many redeemed or expired, before a moment."""
        [row] = await self._rows(_ULTIMATE, programme_id, end)
        return row["redeemed"], row["ended"]

    async def deferral(
        self,
        programme_id: UUID,
        start: datetime,
        end: datetime,
        zone: str,
        currency: str,
        value: Decimal,
        rate: Decimal,
    ) -> list[asyncpg.Record]:
        """Return sales by month with what is allocated to points.

        Args:
            programme_id: which.
            start: of the sales.
            end: of the sales; what became of their points before this moment counts.
            zone: of the months.
            currency: of the sales.
            value: stand-alone price of the smallest part of a point, in minor units.
            rate: share of points expected to be redeemed.

        """
        return await self._rows(_DEFERRAL, programme_id, start, end, zone, currency, value, rate)

    async def migration(self, programme_id: UUID, start: datetime, end: datetime) -> list[asyncpg.Record]:
        """Return (before, after, level_before, level_after, customers) of all living customers."""
        return await self._rows(_MIGRATION, programme_id, start, end)

    async def vouchers(self, start: datetime, end: datetime, now: datetime) -> list[asyncpg.Record]:
        """Return what became of vouchers made in the period, by campaign."""
        return await self._rows(_VOUCHERS, start, end, now)

    async def referrals(self, start: datetime, end: datetime) -> asyncpg.Record:
        """Return the counts of `ReferralFunnel`."""
        [row] = await self._rows(_REFERRALS, start, end, list(FRAUD))
        return row

    async def findings(self, start: datetime, end: datetime) -> list[asyncpg.Record]:
        """Return (code, referrals) of what checks found, the most frequent first."""
        return await self._rows(_FINDINGS, start, end)
