"""Access to what was booked."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import BigInteger, ColumnElement, and_, cast, func, literal_column, select

from crm_api.customers.tables import customers
from crm_api.db.repository import Repository
from crm_api.loyalty.tables import (
    loyalty_entries,
    loyalty_lot_movements,
    loyalty_reviews,
    loyalty_transactions,
    loyalty_wallets,
)


class Opening(NamedTuple):
    """An opening balance whose points came into a wallet, or came along when its owner was merged.

    Attributes:
        id: of the transaction, and of the lot.
        wallet_id: where the lot is now.
        key: what it was booked under.

    """

    id: UUID
    wallet_id: UUID
    points: int
    key: str
    undone: bool


# Found where their points are by now (a lot has the id of the transaction that granted it): what a merged customer
# brought along is the winner's. Looked for by the wallets they were booked on, whose transactions have an index.
_OPENINGS: Final = """
WITH booked_on AS (
  SELECT unnest($2::uuid[]) AS id
  UNION
  SELECT theirs.id
  FROM loyalty_wallets w
  JOIN customers c ON c.tenant_id = w.tenant_id AND c.merged_into_id = w.customer_id
  JOIN loyalty_wallets theirs ON theirs.tenant_id = c.tenant_id AND theirs.customer_id = c.id
    AND theirs.programme_id = w.programme_id AND theirs.kind = w.kind
  WHERE w.tenant_id = $1 AND w.id = ANY ($2::uuid[])
)
SELECT t.id, l.wallet_id, l.granted AS points, t.key, EXISTS (
  SELECT FROM loyalty_transactions u WHERE u.tenant_id = $1 AND u.key = 'opening-undone:' || t.id
) AS undone
FROM booked_on b
JOIN loyalty_transactions t ON t.tenant_id = $1 AND t.wallet_id = b.id AND t.key LIKE 'opening:%'
JOIN loyalty_lots l ON l.tenant_id = $1 AND l.id = t.id
WHERE l.wallet_id = ANY ($2::uuid[])
ORDER BY t.id
"""


class TransactionRepository(Repository):
    """The transactions of one tenant."""

    table = loyalty_transactions

    async def transaction(self, transaction_id: UUID) -> asyncpg.Record | None:
        """Return a transaction."""
        t = loyalty_transactions
        return await self.unit.fetch_one(
            select(
                t.c.id,
                _wallet_now(),
                t.c.type,
                t.c.points,
                t.c.order_id,
                t.c.sequence,
                t.c.wallet_id.label("booked_on"),
            ).where(self.by_id(transaction_id))
        )

    async def by_key(self, key: str) -> asyncpg.Record | None:
        """Return the transaction that has had the key's effect; ``taken`` is how many points it should take back."""
        t, e, r = loyalty_transactions, loyalty_entries, loyalty_reviews
        cancelled = select(e.c.points).where(self.mine(e), e.c.transaction_id == t.c.id, e.c.account == "cancelled")
        short = select(r.c.points).where(self.mine(r), r.c.id == t.c.id)
        parts = (func.coalesce(part.scalar_subquery(), 0) for part in (cancelled, short))
        return await self.unit.fetch_one(
            select(t.c.id, _wallet_now(), t.c.type, t.c.points, t.c.available_change, t.c.lot_id, t.c.hold_id)
            .add_columns(sum(parts, start=literal_column("0")).label("taken"))
            .where(self.mine(t), t.c.key == key)
        )

    async def is_reversed(self, transaction_id: UUID) -> bool:
        """Tell whether a redemption was undone."""
        t = loyalty_transactions
        found = await self.unit.fetch_value(select(t.c.id).where(self.mine(t), t.c.reverses_id == transaction_id))
        return found is not None

    async def movements(self, transaction_id: UUID) -> list[tuple[UUID, int]]:
        """Return what a transaction did to lots."""
        t = loyalty_lot_movements
        rows = await self.unit.fetch_all(
            select(t.c.lot_id, t.c.points).where(self.mine(t), t.c.transaction_id == transaction_id)
        )
        return [(row["lot_id"], row["points"]) for row in rows]

    async def openings(self, wallet_ids: Sequence[UUID]) -> dict[UUID, list[Opening]]:
        """Return the opening balances in locked wallets, the earliest first, and whether they were taken back."""
        rows = await self.unit.connection.fetch(_OPENINGS, self.unit.tenant_id, wallet_ids)
        found: dict[UUID, list[Opening]] = {}
        for row in rows:
            found.setdefault(row["wallet_id"], []).append(Opening(**dict(row)))
        return found

    async def booked_until(self, wallet_id: UUID, at: datetime) -> tuple[int, dict[str, int]]:
        """Return how many transactions a wallet has, and the sum of its entries by account up to and at a moment.

        Of one instant: whether something was booked since the wallet was read shows in the number.
        """
        w, t, e = loyalty_wallets, loyalty_transactions, loyalty_entries
        rows = await self.unit.fetch_all(
            select(w.c.sequence, e.c.account, cast(func.sum(e.c.points), BigInteger).label("points"))
            .select_from(
                w.outerjoin(t, and_(t.c.tenant_id == w.c.tenant_id, t.c.wallet_id == w.c.id, t.c.at <= at)).outerjoin(
                    e, and_(e.c.tenant_id == t.c.tenant_id, e.c.transaction_id == t.c.id)
                )
            )
            .where(self.mine(w), w.c.id == wallet_id)
            .group_by(w.c.sequence, e.c.account)
        )
        return rows[0]["sequence"], {row["account"]: row["points"] for row in rows if row["account"]}


def _wallet_now() -> ColumnElement[Any]:
    """Return the wallet of a transaction: of who its customer became, if that was merged since."""
    t, was, now, c = loyalty_transactions, loyalty_wallets.alias("was"), loyalty_wallets.alias("now"), customers
    heir = (
        select(now.c.id)
        .join_from(was, c, and_(c.c.tenant_id == was.c.tenant_id, c.c.id == was.c.customer_id))
        .join(
            now,
            and_(
                now.c.tenant_id == was.c.tenant_id,
                now.c.customer_id == c.c.merged_into_id,
                now.c.programme_id == was.c.programme_id,
                now.c.kind == was.c.kind,
            ),
        )
        .where(was.c.tenant_id == t.c.tenant_id, was.c.id == t.c.wallet_id)
        .scalar_subquery()
    )
    return func.coalesce(heir, t.c.wallet_id).label("wallet_id")
