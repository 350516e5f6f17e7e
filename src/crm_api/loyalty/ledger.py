"""What every operation on points does: lock, let time do its work, book in memory, write once, tell of it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, get_args
from uuid import UUID

import asyncpg

from crm_api.core.errors import Conflict, InsufficientBalance, NotFound
from crm_api.customers.service import unknown_customer
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as
from crm_api.loyalty.accruals import Accrual
from crm_api.loyalty.lots import Lot, Note, Transaction
from crm_api.loyalty.programmes import Kind, Programme
from crm_api.loyalty.repository import BookingRepository, ProgrammeRepository, TransactionRepository, WalletRepository
from crm_api.loyalty.rules import Wallet

READ: Final = "loyalty:read"
WRITE: Final = "loyalty:write"

MESSAGES: Final = {
    "earn": "points.granted",
    "grant": "points.granted",
    "release": "points.released",
    "redeem": "points.redeemed",
    "restore": "points.restored",
    "reverse": "points.reversed",
    "adjust": "points.adjusted",
    "expire": "points.expired",
    "hold": "points.held",
    "post": "points.posted",
    "void": "points.unheld",
    "timeout": "points.unheld",
    "transfer": "points.transferred",
    "merge": "points.merged",
    "unmerge": "points.unmerged",
}
"""Type of a transaction → type of its message."""

Same = Callable[[asyncpg.Record], bool]
"""Whether the transaction that a key has made is what is asked for again."""


class Ledger:
    """Access to locked wallets, and the writing of what was booked on them."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.programmes = ProgrammeRepository(unit)
        self.wallets = WalletRepository(unit)
        self.transactions = TransactionRepository(unit)

    async def programme(self, programme_id: UUID | None = None) -> Programme:
        """Return a programme, the shop's default one unless another is named.

        Raises:
            Conflict: ``no_programme``, the shop has none.
            NotFound: it has no such programme.

        """
        programme = await self.programmes.programme(programme_id)
        if programme is None and programme_id is not None:
            raise NotFound("There is no such loyalty programme", zh="没有此积分计划")
        if programme is None:
            raise Conflict(
                "The shop has no loyalty programme: make one with POST /v1/loyalty/programmes",
                zh="店铺尚未开通积分计划：请通过 POST /v1/loyalty/programmes 创建",
                code="no_programme",
            )
        return programme

    # -- wallets -------------------------------------------------------------------------------------------------------

    async def lock_wallets(self, earning: Mapping[Kind, Collection[UUID]], also: Collection[UUID] = ()) -> None:
        """Lock all wallets of customers in the order everybody keeps.

        For units that book for several customers, or in several wallets of one, by one call after the other: taken one
        by one, locks could be waited for in a circle.

        Args:
            earning: kind → customers who will have a wallet of it in the default programme; made if it is missing.
            also: further customers.

        """
        programme = await self.programmes.programme()
        for kind in get_args(Kind):
            if programme is not None and earning.get(kind):
                await self.wallets.add_wallets(programme.id, earning[kind], kind)
        customers = {*also, *(customer_id for each in earning.values() for customer_id in each)}
        if customers:
            await self.wallets.lock_wallets_of(sorted(customers))

    async def _wallet(
        self, customer_id: UUID, programme_id: UUID | None = None, kind: Kind = "spendable"
    ) -> Wallet | None:
        """Lock the wallet of a living customer; None when there is none yet. NotFound when there is no customer."""
        wallet = await self.wallets.lock_wallet(customer_id, programme_id, kind)
        if wallet is None:
            await self._require_still(customer_id)
            if programme_id is not None:
                await self.programme(programme_id)
        return wallet

    async def _require_still(self, customer_id: UUID) -> None:
        """Raise when the customer was merged while this waited for the wallet: the points are the winner's now."""
        if await self.wallets.account(customer_id) is None:
            raise unknown_customer("/customer_id")

    async def _new_wallet(self, programme: Programme, customer_id: UUID, kind: Kind = "spendable") -> Wallet:
        wallet = (await self.wallets.open_wallets(programme.id, [customer_id], kind))[customer_id]
        await self.wallets.load_lots([wallet])
        return wallet

    async def _load(self, lot_ids: Sequence[UUID], wallet: Wallet) -> dict[UUID, Lot]:
        """Load these lots of a wallet; returns those that lie in another, where an undone merge has put them."""
        missing = [lot_id for lot_id in lot_ids if lot_id not in wallet.lots]
        if missing:
            await self.wallets.load_lots([wallet], missing)
        missing = [lot_id for lot_id in missing if lot_id not in wallet.lots]
        return await self.wallets.lots(missing) if missing else {}

    # -- booking -------------------------------------------------------------------------------------------------------

    async def _once(
        self,
        wallet: Wallet,
        note: Note,
        same: Same,
        work: Callable[[datetime], Transaction],
        also: Sequence[Wallet] = (),
    ) -> UUID:
        """Do the work on a locked wallet unless its key has had its effect; returns the transaction's id.

        Args:
            wallet: with all that is open.
            note: with the key, if there is one.
            same: tells whether the transaction of the key is what this would book.
            work: books in memory at a moment.
            also: further locked wallets that the work books on.

        Raises:
            Conflict: ``key_reused``.

        """
        known = await self._known(wallet, note, same)
        if known is not None:
            return known
        now = self.unit.now()
        wallet.settle(now)
        booked = work(now)
        wallet.settle(now)
        with unique_as({"uq_loyalty_transactions_key": KEY_REUSED}):
            await self._book([wallet, *also])
        return booked.id

    async def _known(self, wallet: Wallet, note: Note, same: Same) -> UUID | None:
        """Return the transaction of a key that was used before, for the same."""
        known = await self.transactions.by_key(note.key) if note.key else None
        if known is None:
            return None
        if known["wallet_id"] != wallet.id or not same(known):
            raise KEY_REUSED
        found: UUID = known["id"]
        return found

    async def _book(self, wallets: Sequence[Wallet], accruals: Sequence[Accrual] = ()) -> None:
        for wallet in wallets:
            for booking in wallet.booked:
                self._tell(wallet, booking)
        if accruals or any(wallet.booked or wallet.touched for wallet in wallets):
            await BookingRepository(self.unit).book(wallets, accruals)

    def _tell(self, wallet: Wallet, booking: Transaction) -> None:
        operation = MESSAGES[booking.type]
        payload = {
            "transaction_id": str(booking.id),
            "wallet_id": str(wallet.id),
            "kind": wallet.kind,
            "points": booking.points,
            "available": booking.after[0],
            "order_id": str(booking.order_id) if booking.order_id else None,
        }
        if booking.hold_id is not None:
            payload["hold_id"] = str(booking.hold_id)
        if booking.short:
            payload["short"] = booking.short
        self.unit.emit(operation, wallet.customer_id, payload)
        if booking.review and booking.short:
            about = {"customer_id": str(wallet.customer_id), "points": booking.short}
            self.unit.emit("loyalty_review.opened", booking.id, about)
        self.unit.audit(operation, "LoyaltyAccount", wallet.customer_id, after={**payload, "reason": booking.reason})


def like(kind: str, points: int | None, **named: object) -> Same:
    """Return what tells whether a transaction is of this type and size (None: any), about what is ``named``."""
    wanted = {"type": kind, **named, **({} if points is None else {"points": points})}
    return lambda known: all(known[name] == value for name, value in wanted.items())


KEY_REUSED: Final = Conflict(
    "The key was used for another transaction: send a new one",
    zh="该键已用于其他积分交易：请使用新的键",
    code="key_reused",
)


def nothing_to_spend(points: int) -> InsufficientBalance:
    """Return the refusal for a customer without a wallet."""
    return InsufficientBalance(
        f"{points} points are wanted, 0 are available",
        zh=f"需要 {points} 积分，可用 0 积分",
        extra={"available": 0, "requested": points},
    )
