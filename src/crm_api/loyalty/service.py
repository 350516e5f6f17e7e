"""What can be done with points."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from crm_api.core.errors import Conflict, InsufficientBalance, Invalid, NotFound
from crm_api.core.undo import Entry, Undone
from crm_api.customers.service import unknown_customer
from crm_api.db.violations import unique_as
from crm_api.loyalty import accruals as orders
from crm_api.loyalty.accruals import Accrual, Books, OrderNews
from crm_api.loyalty.grants import GrantService
from crm_api.loyalty.holds import HoldService
from crm_api.loyalty.ledger import READ, WRITE, like, nothing_to_spend
from crm_api.loyalty.lots import WALLET_ACCOUNTS, LotTimes, Note, Place, Source, Transaction
from crm_api.loyalty.models import (
    AdjustmentCreate,
    BalanceQuery,
    LoyaltyBalanceAt,
    OpeningRow,
    OpeningVerdict,
    RedemptionCreate,
    ReversalCreate,
)
from crm_api.loyalty.news import ORDER_NEWS, news_of
from crm_api.loyalty.openings import BulkOpenings, UndoOpenings
from crm_api.loyalty.programmes import MAX_GRANT, Kind, Programme
from crm_api.loyalty.repository import AccrualRepository, ReviewRepository
from crm_api.loyalty.rules import Wallet

__all__ = [
    "BATCH",
    "MAX_GRANT",
    "ORDER_NEWS",
    "READ",
    "WRITE",
    "Kind",
    "LoyaltyService",
    "OrderNews",
    "Programme",
    "Source",
    "news_of",
]

BATCH: Final = 500
"""Wallets settled in one unit of work."""


class LoyaltyService(GrantService, HoldService):
    """Points: earned from orders, granted, held, spent, sent, taken back, given by hand, released and ended by time.

    Every operation locks the wallets it changes, lets time do its work on them first, books in memory and writes all
    in one statement: one redemption and a batch of five hundred orders take the same way.
    """

    async def start_programme(self, values: Mapping[str, Any]) -> None:
        """Make the tenant's default programme.

        Args:
            values: columns of ``loyalty_programmes``; the zone is the tenant's own unless given.

        """
        self.unit.actor.require(WRITE)
        zone = values.get("time_zone") or await self.programmes.tenant_time_zone()
        await self.programmes.add({"name": "default", "is_default": True, **values, "time_zone": zone})
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
        wallet = await self._wallet(customer_id, data.programme_id)
        if wallet is None:
            raise nothing_to_spend(data.points)
        note = Note(key=key, reason=data.reason)
        try:
            return await self._once(
                wallet, note, like("redeem", -data.points), lambda now: wallet.redeem(data.points, now, note)
            )
        except InsufficientBalance:
            await self._require_still(customer_id)
            raise

    async def adjust(self, customer_id: UUID, data: AdjustmentCreate, *, key: str | None = None) -> UUID:
        """Give or take points by hand, never below zero; returns the transaction's id. Raises as `redeem`."""
        self.unit.actor.require(WRITE)
        wallet = await self._wallet(customer_id, data.programme_id, data.kind)
        programme = await self.programme(data.programme_id)
        if wallet is None:
            if data.points < 0:
                raise nothing_to_spend(-data.points)
            wallet = await self._new_wallet(programme, customer_id, data.kind)
        note = Note(key=key, reason=data.reason)

        def work(now: datetime) -> Transaction:
            ends = programme.expires_at(now) if data.kind == "spendable" else None
            if data.expires_at is not None:
                ends = _future(data.expires_at, now)
            return wallet.adjust(data.points, LotTimes(now, now, ends), now, note)

        try:
            return await self._once(wallet, note, like("adjust", data.points), work)
        except InsufficientBalance:
            await self._require_still(customer_id)
            raise

    async def reverse_redemption(self, redemption_id: UUID, data: ReversalCreate | None = None) -> tuple[UUID, UUID]:
        """Undo a redemption: its points go back to the lots they came from.

        What has ended in the meantime lives on for the programme's days of grace, or else is given back and ends at
        once.

        Returns:
            The transaction's id and the customer's.

        Raises:
            NotFound: no such redemption.
            Conflict: it was undone before.

        """
        self.unit.actor.require(WRITE)
        redemption = await self.transactions.transaction(redemption_id)
        if redemption is None or redemption["type"] != "redeem":
            raise NotFound("There is no such redemption", zh="没有此兑换记录")
        [wallet] = await self.wallets.lock_wallets([redemption["wallet_id"]])
        if await self.transactions.is_reversed(redemption_id):
            raise _ALREADY_REVERSED
        moved = [(lot_id, -points) for lot_id, points in await self.transactions.movements(redemption_id)]
        # A lot that went back to its first owner with an undone merge is not here: the spender gets one like it.
        gone = await self._load([lot_id for lot_id, _ in moved], wallet)
        await ReviewRepository(self.unit).load_let_go([wallet])
        programme = await self.programme(wallet.programme_id)
        now = self.unit.now()
        wallet.settle(now)
        note = Note(reason=data.reason if data else None, reverses_id=redemption_id)
        spent = Place(redemption_id, redemption["booked_on"], redemption["sequence"])
        booked = wallet.restore(moved, now, note, gone, programme, spent)
        wallet.settle(now)
        with unique_as({"uq_loyalty_transactions_reverses": _ALREADY_REVERSED}):
            await self._book([wallet])
        return booked.id, wallet.customer_id

    async def balance_at(self, customer_id: UUID, query: BalanceQuery) -> LoyaltyBalanceAt:
        """Tell a customer's balances at a moment; zeros before there were any.

        Entries up to the moment are summed. What time has done by then and nobody has booked yet is reckoned with, as
        it will be booked: at the moment it was due. So what is told of the past stays.

        Raises:
            NotFound: no such customer, or programme.
            Invalid: the moment is in the future.
            Conflict: the shop has no programme.

        """
        self.unit.actor.require(READ)
        at = query.at or self.unit.now()
        if at > self.unit.now():
            raise Invalid.field(
                "/at", "in_the_future", "Balances are known up to now: name a past moment", "只能查询过去时刻的余额"
            )
        await self._require_still(customer_id)
        programme = await self.programme(query.programme_id)
        balances = await self._balances(customer_id, programme.id, query.kind, at)
        shown = {**balances, "debt": -balances["debt"]}  # entries of debt are negative
        return LoyaltyBalanceAt(customer_id=customer_id, programme_id=programme.id, kind=query.kind, at=at, **shown)

    async def _balances(self, customer_id: UUID, programme_id: UUID, kind: Kind, at: datetime) -> dict[str, int]:
        while True:
            wallet = await self.wallets.look_at(customer_id, programme_id, kind)
            if wallet is None:
                return dict.fromkeys(WALLET_ACCOUNTS, 0)
            sequence, booked = await self.transactions.booked_until(wallet.id, at)
            # Else what was still to be booked when the lots were read has been: it would count twice.
            if sequence == wallet.sequence:
                break
        wallet.settle(at)
        for each in wallet.booked:
            for account, points in each.entries.items():
                booked[account] = booked.get(account, 0) + points
        return {account: booked.get(account, 0) for account in WALLET_ACCOUNTS}

    async def wallet_of(self, customer_id: UUID) -> UUID | None:
        """Return the wallet of a living customer, None when it has none yet.

        Raises:
            NotFound: no such customer.

        """
        self.unit.actor.require(READ)
        account = await self.wallets.account(customer_id)
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
        work = BulkOpenings(self.unit, await self.programme())
        verdicts = await work.run(rows)
        await self._book(list(work.wallets.values()))
        return verdicts

    async def undo_openings(self, entries: Sequence[Entry]) -> list[Undone]:
        """Take opening balances back that nothing was spent of; returns a verdict for each."""
        self.unit.actor.require(WRITE)
        work = UndoOpenings(self.unit)
        verdicts = await work.run(entries)
        await self._book(list(work.wallets.values()))
        return verdicts

    # -- by orders -----------------------------------------------------------------------------------------------------

    async def take_in(self, news: Sequence[OrderNews]) -> None:
        """Bring points up to date with what happened to orders, in the order given; told again, nothing happens.

        Messages that overtake each other (a refund before its payment) converge to the same points.
        """
        programmes = {each.id: each for each in await self.programmes.all()}
        default = next((each for each in programmes.values() if each.is_default), None)
        if default is None or not news:
            return
        accruals = await AccrualRepository(self.unit).open_accruals({each.order_id: each.customer_id for each in news})
        news = [each for each in news if each.order_id in accruals]
        moves = await self._moves(accruals, news)
        shelf = await self._shelf(default, programmes, accruals, news, moves)
        now, before = self.unit.now(), {order_id: replace(accrual) for order_id, accrual in accruals.items()}
        for order_id, buyer in moves.items():
            orders.move(accruals[order_id], buyer, shelf.wallets, shelf.like_it_of(buyer), now)
        for each in news:
            accrual = accruals[each.order_id]
            orders.account_for(shelf.books(accrual), accrual, each, now)
        changed = [accrual for order_id, accrual in accruals.items() if accrual != before[order_id]]
        await self._book(list(shelf.wallets.values()), changed)

    async def earn(self, news: OrderNews) -> None:
        """Grant the points of one paid order; again for the same order, nothing happens."""
        await self.take_in([news])

    async def reverse_for_refund(self, news: OrderNews) -> None:
        """Take back the points of what was refunded of one order, by the total refunded so far."""
        await self.take_in([news])

    # -- by time -------------------------------------------------------------------------------------------------------

    async def settle_due(self, limit: int = BATCH) -> int:
        """Book releases and expiries that are due, for at most ``limit`` wallets; returns how many it looked at."""
        due = await self.wallets.due_wallets(self.unit.now(), limit)
        if due:
            wallets = await self.wallets.lock_wallets(due)
            for wallet in wallets:
                wallet.settle(self.unit.now())
            await self._book(wallets)
        return len(due)

    # -- parts ---------------------------------------------------------------------------------------------------------

    async def _moves(self, accruals: Mapping[UUID, Accrual], news: Sequence[OrderNews]) -> dict[UUID, UUID]:
        """Return order → buyer of those that are somebody else's now, whatever message was heard first."""
        moved = {each.order_id for each in news if each.moved}
        buyers = await AccrualRepository(self.unit).buyers(moved) if moved else {}
        return {each: buyer for each, buyer in sorted(buyers.items()) if accruals[each].customer_id != buyer}

    async def _shelf(
        self,
        default: Programme,
        programmes: Mapping[UUID, Programme],
        accruals: Mapping[UUID, Accrual],
        news: Sequence[OrderNews],
        moves: Mapping[UUID, UUID],
    ) -> "_Shelf":
        """Lock the wallets that the news is about, with lots where the work can touch them."""
        qualifying = {moves.get(each.order_id, accruals[each.order_id].customer_id) for each in news if each.qualifying}
        also = await self.wallets.wallets_for(moves) if moves else []
        wallets = await self.wallets.order_wallets(
            default.id,
            {*moves.values(), *(each.customer_id for each in accruals.values())},
            qualifying,
            [*also, *(each.wallet_id for each in accruals.values() if each.wallet_id)],
        )
        shelf = _Shelf(default, programmes, wallets)
        told = [(accruals[each.order_id], each) for each in news]
        touched = [accrual for accrual, each in told if orders.touches(each, accrual, shelf.books(accrual).programme)]
        touched += [accruals[order_id] for order_id in moves]
        touching = {*moves.values(), *(each.customer_id for each in touched)}
        deep = [wallet for wallet in wallets.values() if wallet.debt or wallet.customer_id in touching]
        if deep:
            await self.wallets.load_lots(deep, [lot_id for each in touched for lot_id in each.lot_ids])
            for wallet in deep:
                wallet.settle(self.unit.now())
        return shelf


class _Shelf:
    """The locked wallets of a batch of orders."""

    def __init__(
        self, default: Programme, programmes: Mapping[UUID, Programme], wallets: Mapping[UUID, Wallet]
    ) -> None:
        self.default = default
        self.programmes = programmes
        self.wallets = wallets
        self._by_owner = {(each.customer_id, each.programme_id, each.kind): each for each in wallets.values()}

    def books(self, accrual: Accrual) -> Books:
        """Return where an order's points go: to the programme it earned in, or else the default one."""
        known = self.wallets.get(accrual.wallet_id) if accrual.wallet_id else None
        programme = self.default
        if known is not None and known.programme_id is not None:
            programme = self.programmes[known.programme_id]

        def of_kind(kind: Kind) -> Wallet:
            return self._by_owner[accrual.customer_id, programme.id, kind]

        return Books(programme, known or of_kind("spendable"), lambda: of_kind("qualifying"))

    def like_it_of(self, customer_id: UUID) -> orders.Theirs:
        """Return what tells which wallet of a customer is like another's, and in which programme it is."""

        def theirs(wallet: Wallet) -> tuple[Wallet, Programme]:
            programme = self.programmes[wallet.programme_id] if wallet.programme_id else self.default
            return self._by_owner[customer_id, programme.id, wallet.kind], programme

        return theirs


def _future(expires_at: datetime, now: datetime) -> datetime:
    if expires_at <= now:
        raise Invalid.field("/expires_at", "in_the_past", "Points end in the future", "积分的到期时间必须在未来")
    return expires_at


_ALREADY_REVERSED: Final = Conflict("The redemption was reversed before", zh="该兑换已被撤销", code="already_reversed")
