"""What the ledger is made of: lots, holds and transactions. Pure.

They are changed by the wallet they lie in alone (`rules.Wallet`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from crm_api.core.ids import new_id
from crm_api.loyalty.models import EntryType, HoldState, LotState

WALLET_ACCOUNTS: Final = ("available", "pending", "held", "debt")
NEVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Source:
    """What points were given for.

    Attributes:
        kind: of the thing, in lower case: ``reward``, ``referral``, ``earning_rule``, ``transfer``.
        id: which.

    """

    kind: str
    id: UUID | None = None


@dataclass(frozen=True, slots=True)
class LotTimes:
    """When a lot was earned, becomes usable (None: when something happens) and ends."""

    earned_at: datetime
    available_at: datetime | None
    expires_at: datetime | None


@dataclass(slots=True)
class Lot:
    """Points granted together. Its id is that of the transaction that granted them.

    Attributes:
        remaining: not yet spent, held, expired or taken back; between 0 and ``granted``.
        expired: how many of them ran out unspent (less those that a refund has cancelled since).
        held: how many of them are set aside by open holds; those do not end.
        reversed: how many points of the grant were undone, wherever they came from then.
        priority: lower is spent first.
        available_at: None while they wait for something to happen.
        since: when points last came into it in this unit; time does nothing to it that would lie before.

    """

    id: UUID
    wallet_id: UUID
    state: LotState
    granted: int
    remaining: int
    expired: int
    priority: int
    earned_at: datetime
    available_at: datetime | None
    expires_at: datetime | None
    order_id: UUID | None = None
    source_kind: str | None = None
    source_id: UUID | None = None
    held: int = 0
    reversed: int = 0
    is_new: bool = False
    since: datetime | None = None

    @property
    def turn(self) -> tuple[int, datetime, datetime, UUID]:
        """Return its place in consumption: priority, then earliest expiry (none last), then first earned."""
        return (self.priority, self.expires_at or NEVER, self.earned_at, self.id)

    @property
    def due_at(self) -> datetime:
        """Return when time alone next changes it."""
        return (self.available_at if self.state == "pending" else self.expires_at) or NEVER

    def like(self, wallet_id: UUID, points: int) -> "Lot":
        """Return an empty lot of another wallet, or another of this one, that points of this one can go to."""
        lot = replace(self, id=new_id(), wallet_id=wallet_id, granted=points, remaining=0, expired=0)
        lot.held, lot.reversed, lot.state, lot.is_new = 0, 0, "exhausted", True
        return lot


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction stands among others: what was spent before something, and what after it."""

    id: UUID
    wallet_id: UUID
    sequence: int

    def is_before(self, other: "Place") -> bool:
        """Tell which came first: of one wallet by its count, else by the time in their ids (a merge lies between)."""
        if self.wallet_id == other.wallet_id:
            return self.sequence < other.sequence
        return self.id < other.id


@dataclass(slots=True)
class LetGo:
    """Points that a refund should have taken back, that were spent or held, and that the policy ``clamp`` let go.

    They are let go for as long as they stay spent: what comes back of points spent before is taken then. Otherwise to
    spend, to be refunded and to undo the spending would make points.

    Attributes:
        place: of the transaction that let them go.
        lot_id: the grant that was undone.
        points: how many.
        recovered: how many of them came back since and were taken.

    """

    place: Place
    lot_id: UUID
    order_id: UUID | None
    points: int
    recovered: int = 0
    is_new: bool = False

    @property
    def left(self) -> int:
        """Return how many are let go still."""
        return self.points - self.recovered


@dataclass(slots=True)
class Part:
    """Points that a hold took from one lot."""

    lot_id: UUID
    points: int


@dataclass(slots=True)
class Hold:
    """Points set aside for something that is not certain yet. Its id is that of the transaction that set them aside.

    Attributes:
        points: how many; they count as held while it is open.
        posted: how many of them were spent in the end; the others went back.
        reversed: how many of the spent ones were given back.
        until: when it times out; None is never.
        owner_id: what alone decides on it; None is whoever asks.
        parts: where the points came from, in the order they were taken. What is spent is taken from the front, and
            what is given back from the end of that, so that points that end first stay spent.
        parted: whether the parts name other lots than those they came from (`Wallet.part`).
        place: of the transaction that set the points aside.

    """

    id: UUID
    wallet_id: UUID
    points: int
    until: datetime | None = None
    reason: str | None = None
    state: HoldState = "open"
    posted: int = 0
    reversed: int = 0
    parts: list[Part] = field(default_factory=list)
    owner_id: UUID | None = None
    is_new: bool = False
    parted: bool = False
    place: Place | None = None

    @property
    def due_at(self) -> datetime:
        """Return when it times out."""
        return self.until or NEVER

    def between(self, start: int, end: int) -> list[Part]:
        """Return the parts of its points from the ``start``-th (0 is the first) up to but not the ``end``-th."""
        found, place = [], 0
        for part in self.parts:
            points = min(end, place + part.points) - max(start, place)
            if points > 0:
                found.append(Part(part.lot_id, points))
            place += part.points
        return found


@dataclass(slots=True)
class Transaction:
    """What is booked at once; its entries sum to zero.

    Attributes:
        lot_id: the lot it granted, released, ended or took back.
        short: points it should have taken back and that were not there: let go, or for somebody to decide on.
        review: whether somebody is to decide.

    """

    id: UUID
    wallet_id: UUID
    sequence: int
    type: EntryType
    at: datetime
    key: str | None = None
    reason: str | None = None
    order_id: UUID | None = None
    reverses_id: UUID | None = None
    hold_id: UUID | None = None
    lot_id: UUID | None = None
    entries: dict[str, int] = field(default_factory=dict)
    movements: dict[UUID, int] = field(default_factory=dict)
    after: tuple[int, int, int, int] = (0, 0, 0, 0)
    short: int = 0
    review: bool = False

    def post(self, account: str, points: int) -> None:
        """Add to an account."""
        self.entries[account] = self.entries.get(account, 0) + points

    @property
    def place(self) -> Place:
        """Return where it stands."""
        return Place(self.id, self.wallet_id, self.sequence)

    @property
    def points(self) -> int:
        """Return the change as the customer sees it."""
        return sum(self.entries.get(account, 0) for account in WALLET_ACCOUNTS)


@dataclass(frozen=True, slots=True)
class Note:
    """What goes with a transaction beside its numbers."""

    key: str | None = None
    reason: str | None = None
    order_id: UUID | None = None
    reverses_id: UUID | None = None
    source: Source | None = None


NO_NOTE: Final = Note()


@dataclass(frozen=True, slots=True)
class HandOver:
    """What goes from one wallet to another because they are one person's, or are no more.

    Attributes:
        type: ``merge`` or ``unmerge``.
        lots: in the giving wallet: those with points left, and those that the holds have points of.
        debt: points owed that go along.
        holds: open holds that go along; all they have lies in ``lots``, or in the taking wallet already
            (`Wallet.part`).
        key: what it is booked under, once.

    """

    type: EntryType
    lots: Sequence[Lot]
    debt: int = 0
    holds: Sequence[Hold] = ()
    key: str | None = None

    @property
    def held(self) -> int:
        """Return the points held that go along."""
        return sum(hold.points for hold in self.holds)
