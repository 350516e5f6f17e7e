"""Writing what was booked in memory.

Whatever a unit has booked is written by one statement, whether it is one redemption or a batch of five hundred orders;
reviews, which most units have none of, by further ones.
"""

from collections.abc import Iterable
from typing import Any

from crm_api.core.actor import Actor
from crm_api.db.repository import Repository
from crm_api.loyalty.accruals import Accrual
from crm_api.loyalty.lots import Transaction
from crm_api.loyalty.repository.holds import HoldRepository, holds_written
from crm_api.loyalty.repository.reviews import ReviewRepository
from crm_api.loyalty.repository.statements import (
    ACCRUAL_ROW,
    LOT_ROW,
    WALLET_ROW,
    Write,
    rows_of,
    write_rows,
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

_WALLETS = Write(loyalty_wallets, WALLET_ROW, updates=True, also=", updated_at = now()")
_LOTS = Write(loyalty_lots, LOT_ROW)
_LOT_CHANGES = Write(
    loyalty_lots,
    ("id", "state", "granted", "remaining", "expired", "available_at", "expires_at", "held", "reversed"),
    updates=True,
)
_ACCRUALS = Write(loyalty_accruals, ACCRUAL_ROW, updates=True)
_NOTED = ("id", "wallet_id", "sequence", "type", "at", "key", "reason", "order_id", "reverses_id", "hold_id", "lot_id")
_BALANCES = ("available_after", "pending_after", "held_after", "debt_after")
_TRANSACTIONS = Write(
    loyalty_transactions, (*_NOTED, "points", "available_change", *_BALANCES, "actor_kind", "actor_id")
)
_ENTRIES = Write(loyalty_entries, ("transaction_id", "account", "points"))
_MOVEMENTS = Write(loyalty_lot_movements, ("transaction_id", "lot_id", "points"))


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
        await write_rows(
            self.unit,
            [
                (_WALLETS, rows_of(_WALLETS, changed)),
                (_LOTS, rows_of(_LOTS, [lot for lot in lots if lot.is_new])),
                (_LOT_CHANGES, rows_of(_LOT_CHANGES, [lot for lot in lots if not lot.is_new])),
                *holds_written(holds),
                (_TRANSACTIONS, [_transaction_row(each, self.unit.actor) for each in bookings]),
                (_ENTRIES, [(each.id, *entry) for each in bookings for entry in each.entries.items()]),
                (_MOVEMENTS, [(each.id, *moved) for each in bookings for moved in each.movements.items()]),
                (_ACCRUALS, rows_of(_ACCRUALS, accruals)),
            ],
        )
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
