"""Access to what changes hands when customers become one, and two again."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg
from sqlalchemy import Table, and_, any_, or_, select, update

from crm_api.db.repository import Repository
from crm_api.loyalty.repository.statements import Write, uuids, write_rows
from crm_api.loyalty.tables import loyalty_accruals, loyalty_holds, loyalty_lots, loyalty_reviews, loyalty_wallets


class MergeRepository(Repository):
    """Lots, holds and accruals of customers who are merged or un-merged."""

    table = loyalty_wallets

    async def lock_accruals(self, customer_ids: Sequence[UUID]) -> None:
        """Lock what is known of these customers' orders, as news of orders does: before the wallets."""
        t = loyalty_accruals
        await self.unit.fetch_all(
            select(t.c.order_id)
            .where(self.mine(t), t.c.customer_id == any_(uuids(customer_ids)))
            .order_by(t.c.order_id)
            .with_for_update(key_share=True)
        )

    async def owners(self, lot_ids: Sequence[UUID]) -> set[UUID]:
        """Return the customers in whose wallets lots are."""
        if not lot_ids:
            return set()
        w, lot = loyalty_wallets, loyalty_lots
        rows = await self.unit.fetch_all(
            select(w.c.customer_id)
            .join_from(lot, w, and_(w.c.tenant_id == lot.c.tenant_id, w.c.id == lot.c.wallet_id))
            .where(self.mine(lot), lot.c.id == any_(uuids(lot_ids)))
        )
        return {row["customer_id"] for row in rows}

    async def lots_in(self, wallet_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
        """Return wallet → ids of all its lots, ended ones too."""
        return await self._ids_in(loyalty_lots, wallet_ids)

    async def holds_in(self, wallet_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
        """Return wallet → ids of all its holds, ended ones too."""
        return await self._ids_in(loyalty_holds, wallet_ids)

    async def _ids_in(self, t: Table, wallet_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
        rows = await self.unit.fetch_all(
            select(t.c.wallet_id, t.c.id).where(self.mine(t), t.c.wallet_id == any_(uuids(wallet_ids))).order_by(t.c.id)
        )
        found: dict[UUID, list[UUID]] = {}
        for row in rows:
            found.setdefault(row["wallet_id"], []).append(row["id"])
        return found

    async def lots_of_orders(self, winner_id: UUID, loser_ids: Sequence[UUID]) -> list[asyncpg.Record]:
        """Return the lots in a winner's wallets that were earned by orders which belong to losers."""
        a, lot, w = loyalty_accruals, loyalty_lots, loyalty_wallets
        earned = or_(lot.c.id == a.c.lot_id, lot.c.id == a.c.qualifying_lot_id)
        return await self.unit.fetch_all(
            select(a.c.customer_id, lot.c.id.label("lot_id"), lot.c.wallet_id, w.c.programme_id, w.c.kind)
            .join_from(a, lot, and_(lot.c.tenant_id == a.c.tenant_id, earned))
            .join(w, and_(w.c.tenant_id == lot.c.tenant_id, w.c.id == lot.c.wallet_id))
            .where(self.mine(a), a.c.customer_id == any_(uuids(loser_ids)), w.c.customer_id == winner_id)
            .order_by(a.c.customer_id, lot.c.id)
        )

    async def move_lots(self, wallet_of: Mapping[UUID, UUID]) -> None:
        """Put lots (lot → wallet) into other wallets, and the reviews about them; who calls books their points."""
        if wallet_of:
            await self._move(loyalty_lots, wallet_of)
            r, lot = loyalty_reviews, loyalty_lots
            await self.unit.execute(
                update(r)
                .where(self.mine(r), r.c.lot_id == any_(uuids(wallet_of)))
                .where(lot.c.tenant_id == r.c.tenant_id, lot.c.id == r.c.lot_id)
                .values(wallet_id=lot.c.wallet_id)
            )

    async def move_holds(self, wallet_of: Mapping[UUID, UUID]) -> None:
        """Put holds (hold → wallet) into other wallets; their points are booked by who calls."""
        await self._move(loyalty_holds, wallet_of)

    async def _move(self, t: Table, wallet_of: Mapping[UUID, UUID]) -> None:
        await write_rows(self.unit, [(Write(t, ("id", "wallet_id"), updates=True), list(wallet_of.items()))])

    async def rewire_accruals(self, customer_ids: Sequence[UUID]) -> None:
        """Let what orders earned name the wallet their lot is in."""
        a, lot = loyalty_accruals, loyalty_lots
        await self.unit.execute(
            update(a)
            .where(
                self.mine(a),
                a.c.customer_id == any_(uuids(customer_ids)),
                lot.c.tenant_id == a.c.tenant_id,
                lot.c.id == a.c.lot_id,
                lot.c.wallet_id != a.c.wallet_id,
            )
            .values(wallet_id=lot.c.wallet_id)
        )
