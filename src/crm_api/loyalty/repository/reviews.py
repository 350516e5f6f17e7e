"""Access to reviews: points that should have been taken back and were not there, left to decide on or let go."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import and_, any_, func, literal_column, select, update

from crm_api.db.repository import Repository
from crm_api.loyalty.lots import LetGo, Place, Transaction
from crm_api.loyalty.repository.statements import uuids
from crm_api.loyalty.rules import Wallet
from crm_api.loyalty.tables import loyalty_reviews, loyalty_transactions


class ReviewRepository(Repository):
    """What waits for somebody to decide on, what was decided, and what the policy let go."""

    table = loyalty_reviews

    async def ask(self, bookings: Sequence[Transaction]) -> None:
        """Queue points that were not there for somebody to decide on."""
        await self.insert_many([_short_row(booking) for booking in bookings])

    async def note_let_go(self, let_go: Sequence[LetGo], bookings: Mapping[UUID, Transaction]) -> None:
        """Keep what was let go, and what came back of it."""
        r, rows = loyalty_reviews, []
        for gone in let_go:
            if gone.is_new:
                row = _short_row(bookings[gone.place.id])
                rows.append({**row, "state": "let_go", "decided_at": row["created_at"], "recovered": gone.recovered})
        await self.insert_many(rows)
        for gone in let_go:
            if not gone.is_new:
                await self.unit.execute(
                    update(r)
                    .where(self.mine(), r.c.id == gone.place.id)
                    .values(recovered=gone.recovered, version=r.c.version + 1, updated_at=func.now())
                )

    async def load_let_go(self, wallets: Sequence[Wallet]) -> None:
        """Load what was let go of locked wallets, the earliest first: points may come back to them."""
        r, t, by_id = loyalty_reviews, loyalty_transactions, {wallet.id: wallet for wallet in wallets}
        for wallet in wallets:
            wallet.let_go = []
        rows = await self.unit.fetch_all(
            select(r.c.id, r.c.wallet_id, r.c.lot_id, r.c.points, r.c.recovered)
            .add_columns(t.c.order_id, t.c.wallet_id.label("booked_on"), t.c.sequence)
            .join_from(r, t, and_(t.c.tenant_id == r.c.tenant_id, t.c.id == r.c.id))
            .where(self.mine(), r.c.wallet_id == any_(uuids(by_id)), r.c.state == literal_column("'let_go'"))
            .where(r.c.recovered < r.c.points)
            .order_by(r.c.id)
        )
        for row in rows:
            place = Place(row["id"], row["booked_on"], row["sequence"])
            gone = LetGo(place, row["lot_id"], row["order_id"], row["points"], row["recovered"])
            by_id[row["wallet_id"]].let_go.append(gone)


def _short_row(booking: Transaction) -> dict[str, Any]:
    """Return the row of `loyalty_reviews` for what a transaction should have taken back and was not there."""
    return {
        "id": booking.id,
        "wallet_id": booking.wallet_id,
        "lot_id": booking.lot_id,
        "points": booking.short,
        "created_at": booking.at,
    }
