"""What orders earn and what their refunds take back. Pure.

The points taken back in total depend on the money refunded in total alone, and messages of one order may overtake each
other: `Accrual` remembers what was said, and any order of messages ends alike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from crm_api.loyalty.programmes import Programme
from crm_api.loyalty.rules import LotTimes, Note, Wallet


@dataclass(slots=True)
class Accrual:
    """What the ledger knows of one order.

    Attributes:
        paid_amount: minor units, None until the payment is known.
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

    @property
    def to_reverse(self) -> int:
        """Return how many points of the grant must still be taken back."""
        return max(0, self.due_back(self.granted) - self.reversed)

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
        paid_amount: set when it says that the order was paid.
        completed_at: set when it says that the buyer has it all.
        refunded_amount: total refunded so far, set when it says so.
        cancelled: set when it says that the order was cancelled.
        points: what the payment earns; None for the programme's own formula.
        qualifying: qualifying points it earns; None for none.

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


def account_for(books: Books, accrual: Accrual, news: OrderNews, now: datetime) -> None:
    """Bring wallets up to date with what a message says about one order; saying it again changes nothing."""
    if books.spendable.complete:
        books.spendable.settle(now)
    completes = news.completed_at is not None and accrual.completed_at is None
    if completes:
        accrual.completed_at = news.completed_at
    if news.paid_amount is not None and accrual.paid_amount is None:
        _pay(books, accrual, news, now)
    elif completes:
        _complete(books, accrual, now)
    accrual.refunded_amount = max(accrual.refunded_amount, news.refunded_amount)
    accrual.cancelled = accrual.cancelled or news.cancelled
    _take_back(books, accrual, now)
    books.spendable.settle(now)


def _pay(books: Books, accrual: Accrual, news: OrderNews, now: datetime) -> None:
    programme, wallet = books.programme, books.spendable
    accrual.paid_amount = news.paid_amount
    accrual.wallet_id = wallet.id
    paid_at = news.paid_at or now
    points = programme.points_for(news.paid_amount or 0, news.currency) if news.points is None else news.points
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


def _complete(books: Books, accrual: Accrual, now: datetime) -> None:
    if accrual.lot_id is None or books.programme.pending_from != "completed" or accrual.completed_at is None:
        return
    available_at = books.programme.available_at(accrual.completed_at)
    books.spendable.clear(accrual.lot_id, available_at, books.programme, now)


def _take_back(books: Books, accrual: Accrual, now: datetime) -> None:
    points = accrual.to_reverse
    if points and accrual.lot_id is not None:
        accrual.reversed += points
        note = _note(f"reverse:{accrual.reversed}", accrual.order_id)
        books.spendable.take_back(accrual.lot_id, points, now, note, books.programme.refund_policy)
    points = accrual.due_back(accrual.qualifying_granted) - accrual.qualifying_reversed
    if points > 0 and accrual.qualifying_lot_id is not None:
        accrual.qualifying_reversed += points
        note = _note(f"disqualify:{accrual.qualifying_reversed}", accrual.order_id)
        books.qualifying().take_back(accrual.qualifying_lot_id, points, now, note)


def lot_times(programme: Programme, paid_at: datetime, completed_at: datetime | None) -> LotTimes:
    """Return the times of points that an order paid then earned."""
    start = completed_at if programme.pending_from == "completed" else paid_at
    if start is None:
        return LotTimes(paid_at, None, None)
    available_at = programme.available_at(start)
    return LotTimes(paid_at, available_at, programme.expires_at(available_at))


def _note(what: str, order_id: UUID) -> Note:
    return Note(key=f"order:{order_id}:{what}", order_id=order_id)


def touches(news: OrderNews, accrual: Accrual, programme: Programme) -> bool:
    """Tell whether this work may change lots there are and so needs them loaded; most work only grants."""
    completes = news.completed_at is not None and news.paid_amount is None and programme.pending_from == "completed"
    takes_back = news.refunded_amount or news.cancelled or accrual.refunded_amount or accrual.cancelled
    return bool(takes_back or completes)
