"""What orders earn and what their refunds take back. Pure.

The points taken back in total depend on the money refunded in total alone, and messages of one order may overtake each
other: `Accrual` remembers what was said, and any order of messages ends alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from crm_api.loyalty.lots import Lot, LotTimes, Note
from crm_api.loyalty.programmes import Programme
from crm_api.loyalty.rules import Wallet


@dataclass(slots=True)
class Accrual:
    """What the ledger knows of one order.

    Attributes:
        paid_amount: minor units, None until the payment is known; the largest that was told.
        refunded_amount: largest total refunded that was told.
        granted: points of the grant.
        reversed: how many of them were taken back.
        qualifying_granted: the same for qualifying points.
        completed_at: when the buyer had it all, None until that is known.

    """

    order_id: UUID
    customer_id: UUID
    wallet_id: UUID | None = None
    lot_id: UUID | None = None
    paid_amount: int | None = None
    refunded_amount: int = 0
    cancelled: bool = False
    granted: int = 0
    reversed: int = 0
    qualifying_lot_id: UUID | None = None
    qualifying_granted: int = 0
    qualifying_reversed: int = 0
    completed_at: datetime | None = None

    @property
    def lot_ids(self) -> list[UUID]:
        """Return the lots it earned."""
        return [lot_id for lot_id in (self.lot_id, self.qualifying_lot_id) if lot_id is not None]

    def due_back(self, granted: int) -> int:
        """Return how many points of a grant must have been taken back in total by now.

        ``floor(granted x refunded / paid)``, and all of it from the whole price on. So any split of a refund takes back
        the same, in the end exactly the grant.
        """
        if self.cancelled:
            return granted
        if not self.paid_amount:  # not told yet, or it cost nothing: then nothing can be paid back
            return 0
        return granted * min(self.refunded_amount, self.paid_amount) // self.paid_amount


@dataclass(frozen=True, slots=True)
class OrderNews:
    """What one message says about an order, as far as points care.

    Attributes:
        paid_amount: in all, set when it says that the order was paid, or that more was paid.
        completed_at: set when it says that the buyer has it all.
        refunded_amount: total refunded so far, set when it says so.
        cancelled: set when it says that the order was cancelled.
        points: what all that was paid earns; None for the programme's own formula.
        qualifying: qualifying points it earns; None for none.
        moved: whether it says that somebody else bought the order than was known.

    """

    order_id: UUID
    customer_id: UUID
    paid_amount: int | None = None
    currency: str = ""
    paid_at: datetime | None = None
    refunded_amount: int = 0
    cancelled: bool = False
    completed_at: datetime | None = None
    points: int | None = None
    qualifying: int | None = None
    moved: bool = False


@dataclass(frozen=True, slots=True)
class Books:
    """Where an order's points go.

    Attributes:
        programme: the one it earned in.
        spendable: that programme's wallet of the customer.
        qualifying: returns the wallet for qualifying points.

    """

    programme: Programme
    spendable: Wallet
    qualifying: Callable[[], Wallet]


Theirs = Callable[[Wallet], tuple[Wallet, Programme]]
"""Which wallet of somebody is like this one of somebody else, and in which programme."""


def account_for(books: Books, accrual: Accrual, news: OrderNews, now: datetime) -> None:
    """Bring wallets up to date with what a message says about one order; saying it again changes nothing."""
    if books.spendable.complete:
        books.spendable.settle(now)
    completes = news.completed_at is not None and accrual.completed_at is None
    if completes:
        accrual.completed_at = news.completed_at
    if news.paid_amount is not None and accrual.paid_amount is None:
        _pay(books, accrual, news, now)
    else:
        if grows(news, accrual):
            _grow(books, accrual, news, now)
        if completes:
            _complete(books, accrual, now)
    accrual.refunded_amount = max(accrual.refunded_amount, news.refunded_amount)
    accrual.cancelled = accrual.cancelled or news.cancelled
    _balance(books, accrual, now)
    books.spendable.settle(now)


def _pay(books: Books, accrual: Accrual, news: OrderNews, now: datetime) -> None:
    programme, wallet = books.programme, books.spendable
    accrual.paid_amount = news.paid_amount
    accrual.wallet_id = wallet.id
    paid_at = news.paid_at or now
    points = _earned(programme, news)
    if points:
        times = lot_times(programme, paid_at, accrual.completed_at)
        accrual.lot_id = wallet.earn(points, times, now, _note("earn", news.order_id)).id
        accrual.granted = points
    if news.qualifying:
        # They count at once and for good: it is the tiers that say which of them still matter.
        note = _note("qualify", news.order_id)
        times = LotTimes(paid_at, paid_at, None)
        accrual.qualifying_lot_id = books.qualifying().earn(news.qualifying, times, now, note).id
        accrual.qualifying_granted = news.qualifying


def _earned(programme: Programme, news: OrderNews) -> int:
    return programme.points_for(news.paid_amount or 0, news.currency) if news.points is None else news.points


def _grow(books: Books, accrual: Accrual, news: OrderNews, now: datetime) -> None:
    """Grant what more was paid for: the difference to what was granted, into the same lot.

    So an order's points have one end, and refunds find them in one place.
    """
    accrual.paid_amount = news.paid_amount
    if accrual.cancelled:
        return
    programme = books.programme
    more = _earned(programme, news) - accrual.granted
    if more > 0:
        note = _note(f"earn:{news.paid_amount}", news.order_id)
        times = lot_times(programme, now, accrual.completed_at)
        accrual.lot_id = books.spendable.earn_more(accrual.lot_id, more, times, now, note).id
        accrual.wallet_id = books.spendable.id
        accrual.granted += more
    more = (news.qualifying or 0) - accrual.qualifying_granted
    if more > 0:
        note = _note(f"qualify:{news.paid_amount}", news.order_id)
        times = LotTimes(now, now, None)
        lot = books.qualifying().earn_more(accrual.qualifying_lot_id, more, times, now, note)
        accrual.qualifying_lot_id = lot.id
        accrual.qualifying_granted += more


def _complete(books: Books, accrual: Accrual, now: datetime) -> None:
    if accrual.lot_id is None or books.programme.pending_from != "completed" or accrual.completed_at is None:
        return
    available_at = books.programme.available_at(accrual.completed_at)
    books.spendable.clear(accrual.lot_id, available_at, books.programme, now)


def _balance(books: Books, accrual: Accrual, now: datetime) -> None:
    """Take back what refunds cost by now; or give back, when the whole they are a part of has grown since."""
    points = accrual.due_back(accrual.granted) - accrual.reversed
    if points and accrual.lot_id is not None:
        accrual.reversed += points
        _undo(books.spendable, accrual.lot_id, points, books, now, _note("reverse", accrual.order_id))
    points = accrual.due_back(accrual.qualifying_granted) - accrual.qualifying_reversed
    if points and accrual.qualifying_lot_id is not None:
        accrual.qualifying_reversed += points
        _undo(books.qualifying(), accrual.qualifying_lot_id, points, books, now, _note("disqualify", accrual.order_id))


def _undo(wallet: Wallet, lot_id: UUID, points: int, books: Books, now: datetime, note: Note) -> None:
    """Take points of a grant back, or grant anew what was taken too much (negative); keys count either way."""
    lot = wallet.lots[lot_id]
    if points > 0:
        keyed = replace(note, key=f"{note.key}:{lot_id}:{lot.reversed + points}")
        wallet.take_back(lot_id, points, now, keyed, books.programme.refund_policy)
    else:
        keyed = replace(note, key=f"{note.key}:{lot_id}:back:{lot.granted - points}")
        ends = books.programme.expires_at(now) if wallet.kind == "spendable" else None
        wallet.earn_more(lot_id, -points, LotTimes(now, now, ends), now, keyed)


def lot_times(programme: Programme, paid_at: datetime, completed_at: datetime | None) -> LotTimes:
    """Return the times of points that an order paid then earned."""
    start = completed_at if programme.pending_from == "completed" else paid_at
    if start is None:
        return LotTimes(paid_at, None, None)
    available_at = programme.available_at(start)
    return LotTimes(paid_at, available_at, programme.expires_at(available_at))


def _note(what: str, order_id: UUID) -> Note:
    return Note(key=f"order:{order_id}:{what}", order_id=order_id)


def grows(news: OrderNews, accrual: Accrual) -> bool:
    """Tell whether more was paid than is known."""
    known = accrual.paid_amount
    return news.paid_amount is not None and known is not None and news.paid_amount > known


def move(accrual: Accrual, customer_id: UUID, wallets: Mapping[UUID, Wallet], theirs: Theirs, now: datetime) -> None:
    """Let an order be somebody else's: what is left of what it earned is taken back, and earned by who bought it.

    The points keep their times; what the old buyer has no more of them is owed, let go or left to decide on, by the
    refund policy.

    Args:
        accrual: what is known of the order.
        customer_id: who bought it.
        wallets: by id, all that it earned in.
        theirs: returns the buyer's wallet, and the programme, that a wallet's points go to.
        now: the moment.

    """
    accrual.customer_id = customer_id
    note = Note(order_id=accrual.order_id)

    def hand_on(lot_id: UUID | None, points: int) -> Lot | None:
        if lot_id is None or not points:
            return None
        giver = next(wallet for wallet in wallets.values() if lot_id in wallet.lots)
        lot, (taker, programme) = giver.lots[lot_id], theirs(giver)
        times = LotTimes(lot.earned_at, lot.available_at, lot.expires_at)
        giver.take_back(lot_id, points, now, note, programme.refund_policy)
        return taker.earn(points, times, now, note)

    lot = hand_on(accrual.lot_id, accrual.granted - accrual.reversed)
    accrual.lot_id, accrual.wallet_id = (lot.id, lot.wallet_id) if lot else (None, None)
    lot = hand_on(accrual.qualifying_lot_id, accrual.qualifying_granted - accrual.qualifying_reversed)
    accrual.qualifying_lot_id = lot.id if lot else None


def touches(news: OrderNews, accrual: Accrual, programme: Programme) -> bool:
    """Tell whether this work may change lots there are and so needs them loaded; most work only grants."""
    completes = news.completed_at is not None and news.paid_amount is None and programme.pending_from == "completed"
    takes_back = news.refunded_amount or news.cancelled or accrual.refunded_amount or accrual.cancelled
    return bool(takes_back or completes or grows(news, accrual))
