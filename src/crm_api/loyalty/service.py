"""What can be done with points."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from crm_api.core.errors import Conflict, InsufficientBalance, NotFound
from crm_api.core.undo import Entry, Undone
from crm_api.customers.service import unknown_customer
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as
from crm_api.loyalty import rules
from crm_api.loyalty.models import (
    AdjustmentCreate,
    OpeningRow,
    OpeningVerdict,
    RedemptionCreate,
    ReversalCreate,
)
from crm_api.loyalty.openings import BulkOpenings, UndoOpenings
from crm_api.loyalty.repository import LoyaltyRepository
from crm_api.loyalty.rules import Accrual, Note, OrderNews, Programme, Transaction, Wallet

READ = "loyalty:read"
WRITE = "loyalty:write"
BATCH: Final = 500
"""Wallets settled in one unit of work."""

_MESSAGES: Final = {
    "earn": "points.granted",
    "release": "points.released",
    "redeem": "points.redeemed",
    "restore": "points.restored",
    "reverse": "points.reversed",
    "adjust": "points.adjusted",
    "expire": "points.expired",
    "merge": "points.merged",
    "unmerge": "points.unmerged",
}


class LoyaltyService:
    """Points: earned from orders, spent, taken back, given by hand, released and ended by time.

    Every operation locks the wallets it changes, lets time do its work on them first, books in memory and writes all
    in one statement: one redemption and a batch of five hundred orders take the same way.
    """

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = LoyaltyRepository(unit)

    async def start_programme(self, values: Mapping[str, Any]) -> None:
        """Make the tenant's default programme.

        Args:
            values: columns of ``loyalty_programmes``; the zone is the tenant's own unless given.

        """
        self.unit.actor.require(WRITE)
        zone = values.get("time_zone") or await self.repository.tenant_time_zone()
        await self.repository.add_programme({"name": "default", **values, "time_zone": zone})
        self.unit.audit("loyalty.programme_started", "LoyaltyProgramme", self.unit.tenant_id, after={"zone": zone})

    # -- by people -----------------------------------------------------------------------------------------------------

    async def redeem(self, customer_id: UUID, data: RedemptionCreate, *, key: str | None = None) -> UUID:
        """Spend points; returns the transaction's id.

        Args:
            customer_id: whose.
            data: how many and why.
            key: the same key has its effect once and returns the same transaction again.

        Raises:
            NotFound: no such customer.
            InsufficientBalance: fewer points are available.
            Conflict: the key was used for something else.

        """
        self.unit.actor.require(WRITE)
        wallet = await self._wallet(customer_id)
        if wallet is None:
            raise _nothing_to_spend(data.points)
        note = Note(key=key, reason=data.reason)
        try:
            return await self._once(
                wallet, "redeem", -data.points, note, lambda now: wallet.redeem(data.points, now, note)
            )
        except InsufficientBalance:
            await self._require_still(customer_id)
            raise

    async def adjust(self, customer_id: UUID, data: AdjustmentCreate, *, key: str | None = None) -> UUID:
        """Give or take points by hand, never below zero; returns the transaction's id. Raises as `redeem`."""
        self.unit.actor.require(WRITE)
        wallet = await self._wallet(customer_id)
        programme = await self._programme()
        if wallet is None:
            if data.points < 0:
                raise _nothing_to_spend(-data.points)
            wallet = await self._new_wallet(programme, customer_id)
        note = Note(key=key, reason=data.reason)

        def work(now: Any) -> Transaction:
            expires_at = programme.expires_at(now)
            return wallet.adjust(data.points, rules.LotTimes(now, now, expires_at), now, note)

        try:
            return await self._once(wallet, "adjust", data.points, note, work)
        except InsufficientBalance:
            await self._require_still(customer_id)
            raise

    async def reverse_redemption(self, redemption_id: UUID, data: ReversalCreate | None = None) -> tuple[UUID, UUID]:
        """Undo a redemption: its points go back to the lots they came from.

        What has ended in the meantime is given back and ends at once.

        Returns:
            The transaction's id and the customer's.

        Raises:
            NotFound: no such redemption.
            Conflict: it was undone before.

        """
        self.unit.actor.require(WRITE)
        redemption = await self.repository.transaction(redemption_id)
        if redemption is None or redemption["type"] != "redeem":
            raise NotFound("There is no such redemption", zh="没有此兑换记录")
        [wallet] = await self.repository.lock_wallets([redemption["wallet_id"]])
        if await self.repository.is_reversed(redemption_id):
            raise _ALREADY_REVERSED
        moved = [(lot_id, -points) for lot_id, points in await self.repository.movements(redemption_id)]
        await self.repository.load_lots([wallet], [lot_id for lot_id, _ in moved if lot_id not in wallet.lots])
        # A lot that went back to its first owner with an undone merge is not here: the spender gets one like it.
        gone = await self.repository.lots([lot_id for lot_id, _ in moved if lot_id not in wallet.lots])
        now = self.unit.now()
        wallet.settle(now)
        note = Note(reason=data.reason if data else None, reverses_id=redemption_id)
        booked = wallet.restore(moved, now, note, gone)
        wallet.settle(now)
        with unique_as({"uq_loyalty_transactions_reverses": _ALREADY_REVERSED}):
            await self._book([wallet])
        return booked.id, wallet.customer_id

    async def wallet_of(self, customer_id: UUID) -> UUID | None:
        """Return the wallet of a living customer, None when it has none yet.

        Raises:
            NotFound: no such customer.

        """
        self.unit.actor.require(READ)
        account = await self.repository.account(customer_id)
        if account is None:
            raise unknown_customer("/customer_id")
        wallet_id: UUID | None = account["wallet_id"]
        return wallet_id

    # -- by the thousand -----------------------------------------------------------------------------------------------

    async def open_many(self, rows: Sequence[OpeningRow]) -> list[OpeningVerdict]:
        """Give customers the points they bring along; one opening balance per customer and programme.

        Args:
            rows: of customers that exist.

        Raises:
            Conflict: the shop has no programme.

        """
        self.unit.actor.require(WRITE)
        work = BulkOpenings(self.repository, await self._programme())
        verdicts = await work.run(rows)
        await self._book(list(work.wallets.values()))
        return verdicts

    async def undo_openings(self, entries: Sequence[Entry]) -> list[Undone]:
        """Take opening balances back that nothing was spent of; returns a verdict for each."""
        self.unit.actor.require(WRITE)
        work = UndoOpenings(self.repository)
        verdicts = await work.run(entries)
        await self._book(list(work.wallets.values()))
        return verdicts

    # -- by orders -----------------------------------------------------------------------------------------------------

    async def take_in(self, news: Sequence[OrderNews]) -> None:
        """Bring points up to date with what happened to orders, in the order given; told again, nothing happens.

        Messages that overtake each other (a refund before its payment) converge to the same points.
        """
        programme = await self.repository.programme()
        if programme is None or not news:
            return
        accruals = await self.repository.open_accruals({each.order_id: each.customer_id for each in news})
        news = [each for each in news if each.order_id in accruals]
        wallets = await self._wallets_for(programme, accruals, news)
        now, before = self.unit.now(), {order_id: replace(accrual) for order_id, accrual in accruals.items()}
        for each in news:
            accrual = accruals[each.order_id]
            rules.account_for(wallets[accrual.customer_id], accrual, programme, each, now)
        changed = [accrual for order_id, accrual in accruals.items() if accrual != before[order_id]]
        await self._book(list(wallets.values()), changed)

    async def earn(self, news: OrderNews) -> None:
        """Grant the points of one paid order; again for the same order, nothing happens."""
        await self.take_in([news])

    async def reverse_for_refund(self, news: OrderNews) -> None:
        """Take back the points of what was refunded of one order, by the total refunded so far."""
        await self.take_in([news])

    # -- by time -------------------------------------------------------------------------------------------------------

    async def settle_due(self, limit: int = BATCH) -> int:
        """Book releases and expiries that are due, for at most ``limit`` wallets; returns how many it looked at."""
        due = await self.repository.due_wallets(self.unit.now(), limit)
        if due:
            wallets = await self.repository.lock_wallets(due)
            for wallet in wallets:
                wallet.settle(self.unit.now())
            await self._book(wallets)
        return len(due)

    # -- parts ---------------------------------------------------------------------------------------------------------

    async def _wallets_for(
        self, programme: Programme, accruals: dict[UUID, Accrual], news: Sequence[OrderNews]
    ) -> dict[UUID, Wallet]:
        """Lock the wallets that the news is about, with lots where the work can touch them."""
        wallets = await self.repository.open_wallets(programme.id, {each.customer_id for each in accruals.values()})
        touching = {
            accruals[each.order_id].customer_id for each in news if rules.takes_back(each, accruals[each.order_id])
        }
        deep = [wallet for wallet in wallets.values() if wallet.debt or wallet.customer_id in touching]
        if deep:
            lots = [each.lot_id for each in accruals.values() if each.lot_id and each.customer_id in touching]
            await self.repository.load_lots(deep, lots)
            for wallet in deep:
                wallet.settle(self.unit.now())
        return wallets

    async def _wallet(self, customer_id: UUID) -> Wallet | None:
        wallet = await self.repository.lock_wallet(customer_id)
        if wallet is None and await self.repository.account(customer_id) is None:
            raise unknown_customer("/customer_id")
        return wallet

    async def _require_still(self, customer_id: UUID) -> None:
        """Raise when the customer was merged while this waited for the wallet: the points are the winner's now."""
        if await self.repository.account(customer_id) is None:
            raise unknown_customer("/customer_id")

    async def _new_wallet(self, programme: Programme, customer_id: UUID) -> Wallet:
        wallet = (await self.repository.open_wallets(programme.id, [customer_id]))[customer_id]
        await self.repository.load_lots([wallet])
        return wallet

    async def _programme(self) -> Programme:
        programme = await self.repository.programme()
        if programme is None:
            raise Conflict("The shop has no loyalty programme", zh="店铺尚未开通积分计划", code="no_programme")
        return programme

    async def _once(
        self, wallet: Wallet, kind: str, points: int, note: Note, work: Callable[[Any], Transaction]
    ) -> UUID:
        """Do the work unless its key has had its effect; returns the transaction's id."""
        known = await self.repository.transaction_by_key(note.key) if note.key else None
        if known is not None:
            if (known["wallet_id"], known["type"], known["points"]) != (wallet.id, kind, points):
                raise _KEY_REUSED
            found: UUID = known["id"]
            return found
        now = self.unit.now()
        wallet.settle(now)
        booked = work(now)
        with unique_as({"uq_loyalty_transactions_key": _KEY_REUSED}):
            await self._book([wallet])
        return booked.id

    async def _book(self, wallets: Sequence[Wallet], accruals: Sequence[Accrual] = ()) -> None:
        for wallet in wallets:
            for booking in wallet.booked:
                self._tell(wallet, booking)
        if accruals or any(wallet.booked for wallet in wallets):
            await self.repository.book(wallets, accruals)

    def _tell(self, wallet: Wallet, booking: Transaction) -> None:
        operation = _MESSAGES[booking.type]
        payload = {
            "transaction_id": str(booking.id),
            "points": booking.points,
            "available": booking.after[0],
            "order_id": str(booking.order_id) if booking.order_id else None,
        }
        self.unit.emit(operation, wallet.customer_id, payload)
        self.unit.audit(operation, "LoyaltyAccount", wallet.customer_id, after={**payload, "reason": booking.reason})


_ALREADY_REVERSED: Final = Conflict("The redemption was reversed before", zh="该兑换已被撤销", code="already_reversed")
_KEY_REUSED: Final = Conflict(
    "The key was used for another transaction", zh="该键已用于其他积分交易", code="key_reused"
)


def _nothing_to_spend(points: int) -> InsufficientBalance:
    return InsufficientBalance(
        f"{points} points are wanted, 0 are available",
        zh=f"需要 {points} 积分，可用 0 积分",
        extra={"available": 0, "requested": points},
    )
