"""Writing what was booked in memory.

Whatever a unit has booked is written by one statement, whether it is one redemption or a batch of five hundred orders;
holds and reviews, which most units have none of, by further ones.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import func

from crm_api.core.actor import Actor
from crm_api.db.repository import Repository
from crm_api.loyalty.accruals import Accrual
from crm_api.loyalty.lots import Transaction
from crm_api.loyalty.repository.holds import HoldRepository
from crm_api.loyalty.repository.reviews import ReviewRepository
from crm_api.loyalty.repository.statements import (
    ACCRUAL_ROW,
    LOT_ROW,
    OWNER,
    WALLET_ROW,
    arrays,
    columns_of,
    insert_rows,
    update_rows,
)
from crm_api.loyalty.rules import Wallet
from crm_api.loyalty.tables import (
    loyalty_accruals,
    loyalty_entries,
    loyalty_lot_movements,
    loyalty_lots,
    loyalty_transactions,
    loyalty_wallets,
)

_LOT_CHANGE = ("id", "state", "granted", "remaining", "expired", "available_at", "expires_at", "held", "reversed")
_NOTED = ("id", "wallet_id", "sequence", "type", "at", "key", "reason", "order_id", "reverses_id", "hold_id", "lot_id")
_BALANCES = ("available_after", "pending_after", "held_after", "debt_after")
_TRANSACTION = (*_NOTED, "points", "available_change", *_BALANCES, "actor_kind", "actor_id")
_ENTRY = ("transaction_id", "account", "points")
_MOVEMENT = ("transaction_id", "lot_id", "points")

_BOOK = update_rows(loyalty_wallets, "id", WALLET_ROW[1:], "wallets", updated_at=func.now()).add_cte(
    insert_rows(loyalty_lots, LOT_ROW, "lots").cte("lots_inserted"),
    update_rows(loyalty_lots, "id", _LOT_CHANGE[1:], "changes").cte("lots_changed"),
    insert_rows(loyalty_transactions, _TRANSACTION, "transactions").cte("transactions_inserted"),
    insert_rows(loyalty_entries, _ENTRY, "entries").cte("entries_inserted"),
    insert_rows(loyalty_lot_movements, _MOVEMENT, "movements").cte("movements_inserted"),
    update_rows(loyalty_accruals, "order_id", ACCRUAL_ROW[1:], "accruals").cte("accruals_changed"),
)
"""Everything a unit has booked, in one statement: its shape never changes, so it is planned once per connection."""


class BookingRepository(Repository):
    """The writing of locked wallets."""

    table = loyalty_wallets

    async def book(self, wallets: Iterable[Wallet], accruals: Iterable[Accrual] = ()) -> None:
        """Write all that was booked on locked wallets, and what is now known of orders."""
        changed = [wallet for wallet in wallets if wallet.booked or wallet.touched]
        let_go = [gone for wallet in changed for gone in wallet.touched_let_go.values()]
        bookings = [booking for wallet in changed for booking in wallet.booked]
        lots = [lot for wallet in changed for lot in wallet.touched.values()]
        holds = [hold for wallet in changed for hold in wallet.touched_holds.values()]
        if holds:  # first, because transactions name them
            await HoldRepository(self.unit).book(holds)
        rows: dict[str, tuple[tuple[str, ...], Sequence[Any]]] = {
            "wallets": (WALLET_ROW, changed),
            "lots": (LOT_ROW, [lot for lot in lots if lot.is_new]),
            "changes": (_LOT_CHANGE, [lot for lot in lots if not lot.is_new]),
            "accruals": (ACCRUAL_ROW, list(accruals)),
        }
        values = {OWNER.key: self.unit.tenant_id, **columns_of(rows)}
        values |= arrays("transactions", _TRANSACTION, [_transaction_row(each, self.unit.actor) for each in bookings])
        values |= arrays("entries", _ENTRY, [(each.id, *entry) for each in bookings for entry in each.entries.items()])
        values |= arrays(
            "movements", _MOVEMENT, [(each.id, *moved) for each in bookings for moved in each.movements.items()]
        )
        await self.unit.execute(_BOOK, values)
        await HoldRepository(self.unit).part([hold for hold in holds if hold.parted])
        reviews = ReviewRepository(self.unit)
        await reviews.ask([booking for booking in bookings if booking.review and booking.short])
        await reviews.note_let_go(let_go, {booking.id: booking for booking in bookings})
        for wallet in changed:
            for lot in wallet.touched.values():
                lot.is_new = False
            for hold in wallet.touched_holds.values():
                hold.is_new = hold.parted = False
            for gone in wallet.touched_let_go.values():
                gone.is_new = False
            wallet.booked, wallet.touched, wallet.touched_holds, wallet.touched_let_go = [], {}, {}, {}


def _transaction_row(booking: Transaction, actor: Actor) -> tuple[Any, ...]:
    noted = tuple(getattr(booking, name) for name in _NOTED)
    change = booking.entries.get("available", 0)
    return (*noted, booking.points, change, *booking.after, actor.kind, actor.id)
