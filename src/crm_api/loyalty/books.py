"""How a wallet is booked: its accounts, its lots and holds, and the entries that change them together. Pure.

Accounts and signs (every transaction's entries sum to zero)::

    wallet      available  pending  held   +n: the customer gains     debt   −n: the customer owes n more
    programme   issued     −n: points came into being
                redeemed  expired  cancelled   +n: points went out of being
                adjusted   −n given by hand, +n taken by hand
                merged     +n to, −n from the wallet of somebody who is the same person: zero over both
                transferred   likewise between the wallets of two people: zero over both

Invariants of a wallet at every moment: ``available`` is the sum of the remaining points of its available lots,
``pending`` that of its pending lots, ``held`` the sum of what is held of its lots and of its open holds, and who owes
(``debt > 0``) has nothing available.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from crm_api.core.errors import FieldError, InsufficientBalance
from crm_api.core.ids import new_id
from crm_api.loyalty.lots import Hold, LetGo, Lot, LotTimes, Note, Place, Transaction
from crm_api.loyalty.models import EntryType, LotState
from crm_api.loyalty.programmes import Kind, Programme


@dataclass(slots=True)
class Books:
    """A customer's wallet as it is booked, with those lots that the work at hand can touch.

    Attributes:
        lots: by id; all open ones when ``complete``, and those that something is held of.
        holds: open ones by id, when ``complete``.
        let_go: what was let go and has not come back, the earliest first; loaded where points may come back.
        complete: whether the open lots were loaded: needed for everything but earning without debt.
        booked: transactions to write, in order.
        touched: lots to write.
        touched_holds: holds to write.
        touched_let_go: what was let go, or came back of it, to write.

    """

    id: UUID
    customer_id: UUID
    available: int = 0
    pending: int = 0
    held: int = 0
    debt: int = 0
    sequence: int = 0
    programme_id: UUID | None = None
    kind: Kind = "spendable"
    lots: dict[UUID, Lot] = field(default_factory=dict)
    holds: dict[UUID, Hold] = field(default_factory=dict)
    complete: bool = False
    booked: list[Transaction] = field(default_factory=list)
    touched: dict[UUID, Lot] = field(default_factory=dict)
    touched_holds: dict[UUID, Hold] = field(default_factory=dict)
    let_go: list[LetGo] = field(default_factory=list)
    touched_let_go: dict[UUID, LetGo] = field(default_factory=dict)

    def _begin(self, kind: EntryType, at: datetime, note: Note) -> Transaction:
        self.sequence += 1
        return Transaction(
            new_id(), self.id, self.sequence, kind, at, note.key, note.reason, note.order_id, note.reverses_id
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

    def _grant(self, booking: Transaction, points: int, times: LotTimes, note: Note, priority: int) -> Lot:
        waits = times.available_at is None or times.available_at > booking.at
        state: LotState = "pending" if waits else "available"
        lot = Lot(
            booking.id,
            self.id,
            state,
            points,
            points,
            0,
            priority,
            times.earned_at,
            times.available_at,
            times.expires_at,
            note.order_id,
            note.source.kind if note.source else None,
            note.source.id if note.source else None,
            is_new=True,
            since=booking.at,
        )
        booking.lot_id = lot.id
        self.lots[lot.id] = self.touched[lot.id] = lot
        booking.movements[lot.id] = points
        self._post(booking, state, points)
        self._repay(booking)
        return lot

    def _require(self, points: int) -> None:
        if points > self.available:
            raise InsufficientBalance(
                f"{points} points are wanted, {self.available} are available",
                zh=f"需要 {points} 积分，可用 {self.available} 积分",
                errors=[FieldError("/points", "insufficient_balance", "More than are available", "超过可用积分")],
                extra={"available": self.available, "requested": points},
            )

    def _spend(self, kind: EntryType, account: str, points: int, now: datetime, note: Note) -> Transaction:
        self._require(points)
        booking = self._begin(kind, now, note)
        self._consume(booking, points)
        self._post(booking, "available", -points)
        booking.post(account, points)
        return self._finish(booking)

    def _lack(self, booking: Transaction, short: int, policy: str) -> None:
        """Book points that should be taken back and are not there."""
        if policy == "negative":
            self._post(booking, "debt", -short)
            return
        booking.short, booking.review = short, policy == "review"
        if short and policy == "clamp" and self.kind == "spendable" and booking.lot_id is not None:
            gone = LetGo(booking.place, booking.lot_id, booking.order_id, short, is_new=True)
            self.let_go.append(gone)
            self.touched_let_go[booking.id] = gone

    def _recover(self, back: Transaction, spent: Place | None) -> None:
        """Take, of points that came back, what was let go because they were spent; the earliest first."""
        there = {lot_id: points for lot_id, points in back.movements.items() if points > 0}
        for gone in self.let_go:
            points = min(gone.left, sum(there.values()))
            if points and (spent is None or spent.is_before(gone.place)):
                booking = self._begin("reverse", back.at, Note(order_id=gone.order_id))
                booking.lot_id = gone.lot_id
                for lot_id in list(there):
                    part = min(there[lot_id], points + sum(booking.movements.values()))
                    there[lot_id] -= part
                    self._take(booking, self.lots[lot_id], part, "reversed" if lot_id == gone.lot_id else "exhausted")
                self._post(booking, "available", -points)
                booking.post("cancelled", points)
                gone.recovered += points
                self.touched_let_go[gone.place.id] = gone
                self._finish(booking)

    def _give_back(
        self,
        booking: Transaction,
        movements: Iterable[tuple[UUID, int]],
        gone: Mapping[UUID, Lot],
        programme: Programme | None,
    ) -> None:
        """Put spent points back into their lots."""
        total = 0
        for lot_id, points in movements:
            lot = gone[lot_id].like(self.id, points) if lot_id in gone else self.lots[lot_id]
            self.lots[lot.id] = lot
            ended = lot.expires_at is not None and lot.expires_at <= booking.at
            if ended and programme is not None and programme.restore_policy == "grace":
                lot.expires_at = programme.grace_until(booking.at)
            self._put(booking, lot, points)
            total += points
        booking.post("redeemed", -total)
        self._post(booking, "available", total)
        self._repay(booking)

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
        lot.since = booking.at
        booking.movements[lot.id] = booking.movements.get(lot.id, 0) + points
        self.touched[lot.id] = lot
