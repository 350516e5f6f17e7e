"""The ledger's arithmetic: pure, no I/O. A wallet is changed in memory and says what must be written.

Accounts and signs (every transaction's entries sum to zero)::

    wallet      available  pending  held   +n: the customer gains     debt   −n: the customer owes n more
    programme   issued     −n: points came into being
                redeemed  expired  cancelled   +n: points went out of being
                adjusted   −n given by hand, +n taken by hand
                merged     +n to, −n from the wallet of somebody who is the same person: zero over both

Invariants of a wallet at every moment: ``available`` is the sum of the remaining points of its available lots,
``pending`` that of its pending lots, and who owes (``debt > 0``) has nothing available.
"""

import calendar
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from heapq import heapify, heappop, heappush
from typing import Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_precision

from crm_api.core.errors import FieldError, InsufficientBalance
from crm_api.core.ids import new_id

LotState = Literal["pending", "available", "exhausted", "expired", "reversed"]
Type = Literal["earn", "release", "redeem", "restore", "reverse", "adjust", "expire", "merge", "unmerge"]

MAX_GRANT: Final = 10**12
"""Most points one order can earn: no sum of them ever leaves a 64-bit integer."""

NEVER: Final = datetime.max.replace(tzinfo=UTC)
_ROUNDING: Final = {"floor": ROUND_FLOOR, "half_up": ROUND_HALF_UP, "ceiling": ROUND_CEILING}


# -- formulae ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Programme:
    """How points are earned and how long they live."""

    id: UUID
    currency: str | None
    points_per_unit: Decimal
    rounding: str
    pending_days: int
    expiry_months: int | None
    expiry_days: int | None
    time_zone: str

    def points_for(self, amount: int, currency: str) -> int:
        """Return the points for an amount in minor units: amount / 10^digits x points_per_unit, rounded."""
        if amount <= 0 or (self.currency is not None and self.currency != currency):
            return 0
        major = Decimal(amount).scaleb(-get_currency_precision(currency))
        points = (major * self.points_per_unit).to_integral_value(rounding=_ROUNDING[self.rounding])
        return min(int(points), MAX_GRANT)

    def available_at(self, earned_at: datetime) -> datetime:
        """Return when points earned then become usable."""
        return earned_at + timedelta(days=self.pending_days)

    def expires_at(self, start: datetime) -> datetime | None:
        """Return the end of the last day on which points usable from ``start`` can be spent; None is never."""
        if self.expiry_months is None and self.expiry_days is None:
            return None
        zone = ZoneInfo(self.time_zone)
        last = add_months(start.astimezone(zone).date(), self.expiry_months or 0)
        following = last + timedelta(days=(self.expiry_days or 0) + 1)
        return datetime.combine(following, time(), zone).astimezone(UTC)


def add_months(day: date, months: int) -> date:
    """Return the same day some months on, or that month's last day when it is shorter (31 Jan + 1 = 28 Feb)."""
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


# -- lots and transactions ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Lot:
    """Points granted together.

    Attributes:
        remaining: not yet spent, expired or taken back; between 0 and ``granted``.
        expired: how many of them ran out unspent (less those that a refund has cancelled since).
        priority: lower is spent first.

    """

    id: UUID
    wallet_id: UUID
    state: LotState
    granted: int
    remaining: int
    expired: int
    priority: int
    earned_at: datetime
    available_at: datetime
    expires_at: datetime | None
    order_id: UUID | None = None
    is_new: bool = False

    @property
    def turn(self) -> tuple[int, datetime, datetime, UUID]:
        """Return its place in consumption: priority, then earliest expiry (none last), then first earned."""
        return (self.priority, self.expires_at or NEVER, self.earned_at, self.id)

    @property
    def due_at(self) -> datetime:
        """Return when time alone next changes it."""
        return self.available_at if self.state == "pending" else self.expires_at or NEVER


@dataclass(slots=True)
class Transaction:
    """What is booked at once; its entries sum to zero."""

    id: UUID
    wallet_id: UUID
    sequence: int
    type: Type
    at: datetime
    key: str | None = None
    reason: str | None = None
    order_id: UUID | None = None
    reverses_id: UUID | None = None
    entries: dict[str, int] = field(default_factory=dict)
    movements: dict[UUID, int] = field(default_factory=dict)
    after: tuple[int, int, int, int] = (0, 0, 0, 0)

    def post(self, account: str, points: int) -> None:
        """Add to an account."""
        self.entries[account] = self.entries.get(account, 0) + points

    @property
    def points(self) -> int:
        """Return the change as the customer sees it."""
        return sum(self.entries.get(account, 0) for account in WALLET_ACCOUNTS)


WALLET_ACCOUNTS: Final = ("available", "pending", "held", "debt")


@dataclass(frozen=True, slots=True)
class Note:
    """What goes with a transaction beside its numbers."""

    key: str | None = None
    reason: str | None = None
    order_id: UUID | None = None
    reverses_id: UUID | None = None


NO_NOTE: Final = Note()


# -- the wallet --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Wallet:
    """A customer's wallet, locked, with those lots that the work at hand can touch.

    Attributes:
        lots: by id; all open ones when ``complete``.
        complete: whether the open lots were loaded: needed for everything but earning without debt.
        booked: transactions to write, in order.
        touched: lots to write.

    """

    id: UUID
    customer_id: UUID
    available: int = 0
    pending: int = 0
    held: int = 0
    debt: int = 0
    sequence: int = 0
    lots: dict[UUID, Lot] = field(default_factory=dict)
    complete: bool = False
    booked: list[Transaction] = field(default_factory=list)
    touched: dict[UUID, Lot] = field(default_factory=dict)

    # -- operations ----------------------------------------------------------------------------------------------------

    def earn(self, points: int, times: "LotTimes", now: datetime, note: Note) -> Lot:
        """Grant points; usable ones repay debt first."""
        booking = self._begin("earn", now, note)
        lot = self._grant(booking, points, times, now, note.order_id)
        booking.post("issued", -points)
        self._finish(booking)
        return lot

    def redeem(self, points: int, now: datetime, note: Note = NO_NOTE) -> Transaction:
        """Spend points.

        Raises:
            InsufficientBalance: fewer are available.

        """
        return self._spend("redeem", "redeemed", points, now, note)

    def adjust(self, points: int, times: "LotTimes", now: datetime, note: Note) -> Transaction:
        """Give (positive) or take (negative, never below zero) points by hand."""
        if points < 0:
            return self._spend("adjust", "adjusted", -points, now, note)
        booking = self._begin("adjust", now, note)
        self._grant(booking, points, times, now, None)
        booking.post("adjusted", -points)
        return self._finish(booking)

    def take_back(self, lot_id: UUID, points: int, now: datetime, note: Note) -> Transaction:
        """Undo a grant: from its own lot, then from other available lots, and the rest becomes debt.

        Points of the lot that ran out unspent are gone already: those count as cancelled instead of expired.
        """
        booking = self._begin("reverse", now, note)
        booking.post("cancelled", points)
        lot = self.lots[lot_id]
        own = min(points, lot.remaining)
        if own:
            account = lot.state
            self._take(booking, lot, own, "reversed")
            self._post(booking, account, -own)
        gone = min(points - own, lot.expired)
        if gone:
            lot.expired -= gone
            self.touched[lot.id] = lot
            booking.post("expired", -gone)
        spent = self._consume(booking, points - own - gone)
        self._post(booking, "available", -spent)
        self._post(booking, "debt", own + gone + spent - points)
        return self._finish(booking)

    def restore(
        self, movements: Iterable[tuple[UUID, int]], now: datetime, note: Note, gone: Mapping[UUID, Lot] | None = None
    ) -> Transaction:
        """Undo a redemption: give the points back to the lots they came from, with the expiry those have.

        For lots that are ``gone`` into another wallet the points come into new ones like them.
        """
        booking = self._begin("restore", now, note)
        total = 0
        for lot_id, points in movements:
            if gone and lot_id in gone:
                lot = replace(gone[lot_id], id=new_id(), wallet_id=self.id, granted=points, remaining=0, expired=0)
                lot.is_new = True
                self.lots[lot.id] = lot
            else:
                lot = self.lots[lot_id]
            self._put(booking, lot, points)
            total += points
        booking.post("redeemed", -total)
        self._post(booking, "available", total)
        self._repay(booking)
        return self._finish(booking)

    # -- merges --------------------------------------------------------------------------------------------------------

    def give(self, what: "HandOver", now: datetime) -> None:
        """Let lots, with all that is left of them, and debt go to another wallet, which must `receive` them."""
        booking = self._begin(what.type, now, Note(key=what.key and f"{what.key}:out"))
        for lot in what.lots:
            self._post(booking, lot.state, -lot.remaining)
            booking.movements[lot.id] = -lot.remaining
            del self.lots[lot.id]
        self._post(booking, "held", -what.held)
        self._post(booking, "debt", what.debt)
        booking.post("merged", -booking.points)
        self._finish(booking)

    def receive(self, what: "HandOver", now: datetime) -> None:
        """Take what another wallet gave. Lots keep their ids: an order's grant or a redemption still finds them."""
        booking = self._begin(what.type, now, Note(key=what.key and f"{what.key}:in"))
        for lot in what.lots:
            lot.wallet_id = self.id
            self.lots[lot.id] = lot
            self._post(booking, lot.state, lot.remaining)
            booking.movements[lot.id] = lot.remaining
        self._post(booking, "held", what.held)
        self._post(booking, "debt", -what.debt)
        booking.post("merged", -booking.points)
        self._finish(booking)

    def set_off(self, kind: Type, now: datetime) -> Transaction | None:
        """Repay debt from what is available, if both are there; returns what was booked."""
        if not (self.debt and self.available):
            return None
        booking = self._begin(kind, now, NO_NOTE)
        self._repay(booking)
        return self._finish(booking)

    def take_back_set_off(self, movements: Iterable[tuple[UUID, int]], now: datetime) -> None:
        """Undo a set-off: the points are in their lots again, and owed again."""
        booking = self._begin("unmerge", now, NO_NOTE)
        total = 0
        for lot_id, points in movements:
            self._put(booking, self.lots[lot_id], points)
            total += points
        self._post(booking, "available", total)
        self._post(booking, "debt", -total)
        self._finish(booking)

    def settle(self, now: datetime) -> None:
        """Book what time has done so far: releases and expiries, each at its own moment's turn."""
        due = [(lot.due_at, lot.turn, lot.id) for lot in self.lots.values() if lot.remaining and lot.due_at <= now]
        heapify(due)
        while due:
            lot = self.lots[heappop(due)[2]]
            if lot.state == "available":
                self._expire(lot, now)
            elif lot.state == "pending":
                self._release(lot, now)
                if lot.remaining and lot.due_at <= now:
                    heappush(due, (lot.due_at, lot.turn, lot.id))

    def _release(self, lot: Lot, now: datetime) -> None:
        booking = self._begin("release", now, Note(order_id=lot.order_id))
        lot.state = "available"
        self.touched[lot.id] = lot
        self._post(booking, "pending", -lot.remaining)
        self._post(booking, "available", lot.remaining)
        self._repay(booking)
        self._finish(booking)

    def _expire(self, lot: Lot, now: datetime) -> None:
        booking = self._begin("expire", now, Note(order_id=lot.order_id))
        points = lot.remaining
        self._take(booking, lot, points, "expired")
        lot.expired += points
        self._post(booking, "available", -points)
        booking.post("expired", points)
        self._finish(booking)

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _begin(self, kind: Type, now: datetime, note: Note) -> Transaction:
        self.sequence += 1
        return Transaction(
            new_id(), self.id, self.sequence, kind, now, note.key, note.reason, note.order_id, note.reverses_id
        )

    def _finish(self, booking: Transaction) -> Transaction:
        booking.entries = {account: points for account, points in booking.entries.items() if points}
        booking.movements = {lot: points for lot, points in booking.movements.items() if points}
        booking.after = (self.available, self.pending, self.held, self.debt)
        self.booked.append(booking)
        return booking

    def _post(self, booking: Transaction, account: str, points: int) -> None:
        """Enter on one of the wallet's accounts and keep its balance; debt is stored as the number owed."""
        booking.post(account, points)
        change = -points if account == "debt" else points
        setattr(self, account, getattr(self, account) + change)

    def _grant(self, booking: Transaction, points: int, times: "LotTimes", now: datetime, order_id: UUID | None) -> Lot:
        state: LotState = "pending" if times.available_at > now else "available"
        lot = Lot(
            new_id(),
            self.id,
            state,
            points,
            points,
            0,
            0,
            times.earned_at,
            times.available_at,
            times.expires_at,
            order_id,
            is_new=True,
        )
        self.lots[lot.id] = self.touched[lot.id] = lot
        booking.movements[lot.id] = points
        self._post(booking, state, points)
        self._repay(booking)
        return lot

    def _spend(self, kind: Type, account: str, points: int, now: datetime, note: Note) -> Transaction:
        if points > self.available:
            raise InsufficientBalance(
                f"{points} points are wanted, {self.available} are available",
                zh=f"需要 {points} 积分，可用 {self.available} 积分",
                errors=[FieldError("/points", "insufficient_balance", "More than are available", "超过可用积分")],
                extra={"available": self.available, "requested": points},
            )
        booking = self._begin(kind, now, note)
        self._consume(booking, points)
        self._post(booking, "available", -points)
        booking.post(account, points)
        return self._finish(booking)

    def _repay(self, booking: Transaction) -> None:
        owed = min(self.debt, self.available)
        if owed:
            self._consume(booking, owed)
            self._post(booking, "available", -owed)
            self._post(booking, "debt", owed)

    def _consume(self, booking: Transaction, points: int) -> int:
        """Take up to ``points`` from available lots in their turn; returns how many were there."""
        left = points
        if not left:
            return 0
        for lot in sorted((lot for lot in self.lots.values() if lot.state == "available"), key=lambda each: each.turn):
            part = min(left, lot.remaining)
            self._take(booking, lot, part, "exhausted")
            left -= part
            if not left:
                break
        return points - left

    def _take(self, booking: Transaction, lot: Lot, points: int, end: LotState) -> None:
        lot.remaining -= points
        booking.movements[lot.id] = booking.movements.get(lot.id, 0) - points
        if not lot.remaining:
            lot.state = end
        self.touched[lot.id] = lot

    def _put(self, booking: Transaction, lot: Lot, points: int) -> None:
        lot.remaining += points
        lot.state = "available"
        booking.movements[lot.id] = booking.movements.get(lot.id, 0) + points
        self.touched[lot.id] = lot


@dataclass(frozen=True, slots=True)
class HandOver:
    """What goes from one wallet to another because they are one person's, or are no more.

    Attributes:
        type: ``merge`` or ``unmerge``.
        lots: in the giving wallet.
        debt: points owed that go along.
        held: points set aside that go along.
        key: what it is booked under, once.

    """

    type: Type
    lots: Sequence[Lot]
    debt: int = 0
    held: int = 0
    key: str | None = None


@dataclass(frozen=True, slots=True)
class LotTimes:
    """When a lot was earned, becomes usable and ends."""

    earned_at: datetime
    available_at: datetime
    expires_at: datetime | None


def hand_over(giver: Wallet, taker: Wallet, what: HandOver, now: datetime) -> None:
    """Let lots and debt change wallets; both book it, and over both it sums to zero."""
    giver.give(what, now)
    taker.receive(what, now)


# -- orders ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Accrual:
    """What the ledger knows of one order.

    Attributes:
        paid_amount: minor units, None until the payment is known.
        refunded_amount: largest total refunded that was told.
        granted: points of the grant.
        reversed: how many of them were taken back.

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

    @property
    def to_reverse(self) -> int:
        """Return how many points of the grant must still be taken back.

        The total taken back depends on the total refunded alone: ``floor(granted x refunded / paid)``, and all of it
        from the whole price on. So any split of a refund takes back the same, in the end exactly the grant.
        """
        if self.cancelled or (self.paid_amount is not None and self.refunded_amount >= self.paid_amount):
            return self.granted - self.reversed
        if not self.paid_amount:
            return 0
        return max(0, self.granted * self.refunded_amount // self.paid_amount - self.reversed)


@dataclass(frozen=True, slots=True)
class OrderNews:
    """What one message says about an order, as far as points care.

    Attributes:
        paid_amount: set when it says that the order was paid.
        refunded_amount: total refunded so far, set when it says so.
        cancelled: set when it says that the order was cancelled.

    """

    order_id: UUID
    customer_id: UUID
    paid_amount: int | None = None
    currency: str = ""
    paid_at: datetime | None = None
    refunded_amount: int = 0
    cancelled: bool = False


def account_for(wallet: Wallet, accrual: Accrual, programme: Programme, news: OrderNews, now: datetime) -> None:
    """Bring a wallet up to date with what a message says about one of its orders; saying it again changes nothing."""
    if wallet.complete:
        wallet.settle(now)
    if news.paid_amount is not None and accrual.paid_amount is None:
        accrual.paid_amount = news.paid_amount
        accrual.wallet_id = wallet.id
        points = programme.points_for(news.paid_amount, news.currency)
        if points:
            lot = wallet.earn(points, lot_times(programme, news.paid_at or now), now, _note("earn", news.order_id))
            accrual.lot_id, accrual.granted = lot.id, points
    accrual.refunded_amount = max(accrual.refunded_amount, news.refunded_amount)
    accrual.cancelled = accrual.cancelled or news.cancelled
    points = accrual.to_reverse
    if points and accrual.lot_id is not None:
        accrual.reversed += points
        note = _note(f"reverse:{accrual.reversed}", news.order_id)
        wallet.take_back(accrual.lot_id, points, now, note)


def lot_times(programme: Programme, earned_at: datetime) -> LotTimes:
    """Return the times of points earned then."""
    available_at = programme.available_at(earned_at)
    return LotTimes(earned_at, available_at, programme.expires_at(available_at))


def _note(what: str, order_id: UUID) -> Note:
    return Note(key=f"order:{order_id}:{what}", order_id=order_id)


def takes_back(news: OrderNews, accrual: Accrual) -> bool:
    """Tell whether this work may take points back and so needs the wallet's lots; most work only grants."""
    return bool(news.refunded_amount or news.cancelled or accrual.refunded_amount or accrual.cancelled)
