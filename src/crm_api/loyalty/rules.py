"""The ledger's arithmetic: pure, no I/O. A wallet is changed in memory and says what must be written.

How a wallet is booked, and what always holds of it, is `books`.

Time: whatever time does is booked at the moment it was due, however late somebody looks. So the balance at a past
moment is the sum of the entries up to then, and stays that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Literal
from uuid import UUID

from crm_api.loyalty.books import Books
from crm_api.loyalty.lots import (
    NEVER,
    NO_NOTE,
    HandOver,
    Hold,
    Lot,
    LotTimes,
    Note,
    Part,
    Place,
    Source,
    Transaction,
)
from crm_api.loyalty.models import EntryType, HoldState
from crm_api.loyalty.programmes import Programme


@dataclass(slots=True)
class Wallet(Books):
    """A customer's wallet, locked: what can be done with it."""

    # -- giving and taking ---------------------------------------------------------------------------------------------

    def earn(
        self, points: int, times: LotTimes, now: datetime, note: Note, kind: EntryType = "earn", priority: int = 0
    ) -> Lot:
        """Grant points; usable ones repay debt first."""
        booking = self._begin(kind, now, note)
        lot = self._grant(booking, points, times, note, priority)
        booking.post("issued", -points)
        self._finish(booking)
        return lot

    def earn_more(self, lot_id: UUID | None, points: int, times: LotTimes, now: datetime, note: Note) -> Lot:
        """Grant more points for what a lot was granted for: they wait and end with it; without a lot they are one.

        A lot that has ended gets the end of ``times``.
        """
        if lot_id is None:
            return self.earn(points, times, now, note)
        booking, lot = self._begin("earn", now, note), self.lots[lot_id]
        booking.lot_id = lot.id
        if lot.expires_at is not None and lot.expires_at <= now:
            lot.expires_at = times.expires_at
        waits = lot.available_at is None or lot.available_at > now
        lot.granted += points
        self._put(booking, lot, points)
        lot.state = "pending" if waits else "available"
        self._post(booking, lot.state, points)
        booking.post("issued", -points)
        self._repay(booking)
        self._finish(booking)
        return lot

    def redeem(self, points: int, now: datetime, note: Note = NO_NOTE) -> Transaction:
        """Spend points.

        Raises:
            InsufficientBalance: fewer are available.

        """
        return self._spend("redeem", "redeemed", points, now, note)

    def adjust(self, points: int, times: LotTimes, now: datetime, note: Note) -> Transaction:
        """Give (positive) or take (negative, never below zero) points by hand."""
        if points < 0:
            return self._spend("adjust", "adjusted", -points, now, note)
        booking = self._begin("adjust", now, note)
        self._grant(booking, points, times, note, 0)
        booking.post("adjusted", -points)
        return self._finish(booking)

    def take_back(self, lot_id: UUID, points: int, now: datetime, note: Note, policy: str = "negative") -> Transaction:
        """Undo points of a grant: from its own lot, then from other available lots, and the rest as the policy says.

        Points of the lot that ran out unspent are gone already: those count as cancelled instead of expired. Held
        points stay held. The rest becomes debt (``negative``), is let go as long as it stays spent (``clamp``) or is
        left for somebody to decide (``review``); qualifying points are never owed.
        """
        booking = self._begin("reverse", now, note)
        lot = self.lots[lot_id]
        booking.lot_id = lot_id
        lot.reversed += points
        own = min(points, lot.remaining)
        if own:
            account = lot.state
            self._take(booking, lot, own, "cancelled" if account == "pending" else "reversed")
            self._post(booking, account, -own)
        gone = min(points - own, lot.expired)
        lot.expired -= gone
        self.touched[lot.id] = lot
        booking.post("expired", -gone)
        spent = self._consume(booking, points - own - gone)
        self._post(booking, "available", -spent)
        short = points - own - gone - spent
        self._lack(booking, short, "clamp" if self.kind == "qualifying" else policy)
        booking.post("cancelled", points - booking.short)
        return self._finish(booking)

    def collect(self, lot_id: UUID, points: int, now: datetime, note: Note) -> Transaction:
        """Take points back that were left for somebody to decide on: what is available, the rest becomes debt."""
        booking = self._begin("reverse", now, note)
        booking.lot_id = lot_id
        spent = self._consume(booking, points)
        self._post(booking, "available", -spent)
        self._post(booking, "debt", spent - points)
        booking.post("cancelled", points)
        return self._finish(booking)

    def restore(
        self,
        movements: Iterable[tuple[UUID, int]],
        now: datetime,
        note: Note,
        gone: Mapping[UUID, Lot] | None = None,
        programme: Programme | None = None,
        spent: Place | None = None,
    ) -> Transaction:
        """Undo a redemption: give the points back to the lots they came from, with the expiry those have.

        Lots that have ended live on for the programme's days of grace, if it has any; else the points end at once.
        For lots that are ``gone`` into another wallet the points come into new ones like them. What was let go because
        they were ``spent`` is taken of them (all that was let go, if it is not known when they were).
        """
        booking = self._begin("restore", now, note)
        self._give_back(booking, movements, gone or {}, programme)
        self._finish(booking)
        self._recover(booking, spent)
        return booking

    def send(self, points: int, now: datetime, note: Note) -> list[tuple[Lot, int]]:
        """Spend points on somebody else; returns the lots they came from. Raises as `redeem`."""
        booking = self._spend("transfer", "transferred", points, now, note)
        return [(self.lots[lot_id], -moved) for lot_id, moved in booking.movements.items()]

    def accept(self, parts: Iterable[tuple[Lot, int]], now: datetime, note: Note) -> Transaction:
        """Take points that somebody else sent: they end when they would have."""
        booking = self._begin("transfer", now, note)
        source = note.source or Source("transfer")
        total = 0
        for theirs, points in parts:
            lot = theirs.like(self.id, points)
            lot.order_id, lot.source_kind, lot.source_id = None, source.kind, source.id
            self.lots[lot.id] = lot
            self._put(booking, lot, points)
            total += points
        self._post(booking, "available", total)
        booking.post("transferred", -total)
        self._repay(booking)
        return self._finish(booking)

    # -- holds ---------------------------------------------------------------------------------------------------------

    def hold(
        self, points: int, until: datetime | None, now: datetime, note: Note, owner_id: UUID | None = None
    ) -> Transaction:
        """Set points aside: nobody else spends them, and they do not end. Raises as `redeem`."""
        self._require(points)
        booking = self._begin("hold", now, note)
        self._consume(booking, points)
        hold = Hold(booking.id, self.id, points, until, note.reason, owner_id=owner_id, is_new=True)
        hold.place = booking.place
        booking.hold_id = hold.id
        for lot_id, moved in booking.movements.items():
            self.lots[lot_id].held -= moved
            hold.parts.append(Part(lot_id, -moved))
        self.holds[hold.id] = self.touched_holds[hold.id] = hold
        self._post(booking, "available", -points)
        self._post(booking, "held", points)
        return self._finish(booking)

    def post(self, hold: Hold, points: int, now: datetime, note: Note) -> Transaction:
        """Spend ``points`` of an open hold; the others go back."""
        booking = self._close(hold, "post", "posted", now, note)
        hold.posted = points
        booking.post("redeemed", points)
        return self._free(booking, hold, points)

    def void(
        self, hold: Hold, now: datetime, note: Note = NO_NOTE, kind: Literal["void", "timeout"] = "void"
    ) -> Transaction:
        """Give all points of an open hold back to where they came from; what has ended since ends now."""
        booking = self._close(hold, kind, "voided" if kind == "void" else "timed_out", now, note)
        return self._free(booking, hold, 0)

    def reverse(
        self, hold: Hold, points: int, now: datetime, note: Note, gone: Mapping[UUID, Lot], programme: Programme
    ) -> Transaction:
        """Give ``points`` back that a hold has spent, as `restore` does."""
        booking = self._begin("restore", now, note)
        booking.hold_id = hold.id
        standing = hold.posted - hold.reversed
        moved = [(part.lot_id, part.points) for part in hold.between(standing - points, standing)]
        self._give_back(booking, moved, gone, programme)
        hold.reversed += points
        hold.state = "reversed" if hold.reversed == hold.posted else "partly_reversed"
        self.touched_holds[hold.id] = hold
        self._finish(booking)
        self._recover(booking, hold.place)
        return booking

    def _close(self, hold: Hold, kind: EntryType, state: HoldState, now: datetime, note: Note) -> Transaction:
        booking = self._begin(kind, now, note)
        booking.hold_id = hold.id
        hold.state = state
        self.touched_holds[hold.id] = hold
        del self.holds[hold.id]
        self._post(booking, "held", -hold.points)
        for part in hold.parts:
            lot = self.lots[part.lot_id]
            lot.held -= part.points
            self.touched[lot.id] = lot
        return booking

    def _free(self, booking: Transaction, hold: Hold, spent: int) -> Transaction:
        """Put back what of a hold was not spent."""
        for part in hold.between(spent, hold.points):
            self._put(booking, self.lots[part.lot_id], part.points)
        self._post(booking, "available", hold.points - spent)
        self._repay(booking)
        self._finish(booking)
        self._recover(booking, hold.place)
        return booking

    # -- merges --------------------------------------------------------------------------------------------------------

    def give(self, what: HandOver, now: datetime) -> None:
        """Let lots, with all that is left of them, holds and debt go to another wallet, which must `receive` them."""
        booking = self._begin(what.type, now, Note(key=what.key and f"{what.key}:out"))
        for lot in what.lots:
            if lot.remaining:
                self._post(booking, lot.state, -lot.remaining)
            booking.movements[lot.id] = -lot.remaining
            del self.lots[lot.id]
        for hold in what.holds:
            del self.holds[hold.id]
        self._post(booking, "held", -what.held)
        self._post(booking, "debt", what.debt)
        booking.post("merged", -booking.points)
        self._finish(booking)

    def receive(self, what: HandOver, now: datetime) -> None:
        """Take what another wallet gave. Lots keep their ids: an order's grant or a redemption still finds them."""
        booking = self._begin(what.type, now, Note(key=what.key and f"{what.key}:in"))
        for lot in what.lots:
            lot.wallet_id = self.id
            self.lots[lot.id] = lot
            if lot.remaining:
                self._post(booking, lot.state, lot.remaining)
            booking.movements[lot.id] = lot.remaining
        for hold in what.holds:
            hold.wallet_id = self.id
            self.holds[hold.id] = hold
        self._post(booking, "held", what.held)
        self._post(booking, "debt", -what.debt)
        booking.post("merged", -booking.points)
        self._finish(booking)

    def part(self, taker: "Wallet", lots: Iterable[UUID], holds: Iterable[UUID]) -> None:
        """Make holds and lots part cleanly before some of either go to another wallet.

        What a hold has of a lot that goes another way than itself becomes a lot of its own, like that one, in the
        wallet where the hold will be.
        """
        going, leaving = set(lots), set(holds)
        for hold in self.holds.values():
            home = taker if hold.id in leaving else self
            for part in hold.parts:
                if (part.lot_id in going) != (hold.id in leaving):
                    lot = self.lots[part.lot_id]
                    own = lot.like(home.id, part.points)
                    own.held = part.points
                    lot.held -= part.points
                    part.lot_id = own.id
                    home.lots[own.id] = home.touched[own.id] = own
                    self.touched[lot.id] = lot
                    hold.parted = True
                    home.touched_holds[hold.id] = hold

    def set_off(self, kind: EntryType, now: datetime) -> Transaction | None:
        """Repay debt from what is available, if both are there; returns what was booked."""
        if not (self.debt and self.available):
            return None
        booking = self._begin(kind, now, NO_NOTE)
        self._repay(booking)
        return self._finish(booking)

    def owe_again(self, movements: Mapping[UUID, int], elsewhere: int, now: datetime) -> None:
        """Undo a set-off: the points are in their lots again, and owed again.

        Args:
            movements: lot → points.
            elsewhere: how many more points go back to lots that are in other wallets now; those `get_again` them.
            now: the moment.

        """
        here = sum(movements.values())
        self._come_back(movements, here + elsewhere, elsewhere, now)

    def get_again(self, movements: Mapping[UUID, int], now: datetime) -> None:
        """Have points in lots again by which another wallet's debt was repaid while both were one person's."""
        self._come_back(movements, 0, -sum(movements.values()), now)

    def _come_back(self, movements: Mapping[UUID, int], owed: int, merged: int, now: datetime) -> None:
        booking = self._begin("unmerge", now, NO_NOTE)
        for lot_id, points in movements.items():
            self._put(booking, self.lots[lot_id], points)
        self._post(booking, "available", sum(movements.values()))
        self._post(booking, "debt", -owed)
        booking.post("merged", merged)
        self._finish(booking)

    # -- time ----------------------------------------------------------------------------------------------------------

    def settle(self, now: datetime) -> None:
        """Book what time has done so far, in its order and each at its own moment: time-outs, releases, expiries."""
        due = [(lot.due_at, lot.turn, lot.id) for lot in self.lots.values() if lot.remaining and lot.due_at <= now]
        due += [
            (hold.due_at, (0, NEVER, NEVER, hold.id), hold.id) for hold in self.holds.values() if hold.due_at <= now
        ]
        heapify(due)
        while due:
            moment, _, key = heappop(due)
            for lot in self._pass(key, moment):
                if lot.remaining and lot.due_at <= now:
                    heappush(due, (max(lot.due_at, moment), lot.turn, lot.id))

    def clear(self, lot_id: UUID, available_at: datetime, programme: Programme, now: datetime) -> None:
        """Let pending points that waited for something become usable at a moment, in the past means now.

        What was told of the past stays: then they were pending. Points to spend live from then on as long as the
        programme says, unless it was said when they end.
        """
        lot = self.lots[lot_id]
        if lot.state == "pending":
            lot.available_at = max(available_at, now)
            if self.kind == "spendable":
                lot.expires_at = lot.expires_at or programme.expires_at(lot.available_at)
            self.touched[lot.id] = lot

    def _pass(self, key: UUID, moment: datetime) -> list[Lot]:
        """Do what is due to a hold or a lot; returns lots that something may be due to now."""
        hold = self.holds.get(key)
        if hold is not None:
            self.void(hold, moment, kind="timeout")
            return [self.lots[part.lot_id] for part in hold.parts]
        lot = self.lots[key]
        if not lot.remaining or lot.due_at > moment:
            return []  # put into the queue twice, and seen to
        at = max(moment, lot.since or moment)
        if lot.state == "available":
            self._expire(lot, at)
            return []
        self._release(lot, at)
        return [lot]

    def _release(self, lot: Lot, at: datetime) -> None:
        booking = self._begin("release", at, Note(order_id=lot.order_id))
        booking.lot_id = lot.id
        lot.state = "available"
        self.touched[lot.id] = lot
        self._post(booking, "pending", -lot.remaining)
        self._post(booking, "available", lot.remaining)
        self._repay(booking)
        self._finish(booking)

    def _expire(self, lot: Lot, at: datetime) -> None:
        booking = self._begin("expire", at, Note(order_id=lot.order_id))
        booking.lot_id = lot.id
        points = lot.remaining
        self._take(booking, lot, points, "expired")
        lot.expired += points
        self._post(booking, "available", -points)
        booking.post("expired", points)
        self._finish(booking)


def hand_over(giver: Wallet, taker: Wallet, what: HandOver, now: datetime) -> None:
    """Let lots, holds and debt change wallets; both book it, and over both it sums to zero."""
    giver.give(what, now)
    taker.receive(what, now)


def transfer(giver: Wallet, taker: Wallet, points: int, now: datetime, note: Note) -> None:
    """Let points go to somebody else; they keep their end, and over both it sums to zero. Raises as `redeem`."""
    parts = giver.send(points, now, note)
    source = Source("transfer", giver.booked[-1].id)
    taker.accept(parts, now, replace(note, key=note.key and f"{note.key}:in", source=source))
