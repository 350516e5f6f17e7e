"""Loyalty: inputs and wire shapes."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, field_validator

from crm_api.core.errors import FieldError
from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.money import Currency
from crm_api.core.text import Caption, Line, TimeZone
from crm_api.loyalty.programmes import ExpiryEnd, Kind, PendingFrom, RefundPolicy, RestorePolicy, Rounding

MAX_POINTS = 10**9

EntryType = Literal[
    "earn",
    "grant",
    "release",
    "redeem",
    "restore",
    "reverse",
    "adjust",
    "expire",
    "hold",
    "post",
    "void",
    "timeout",
    "transfer",
    "merge",
    "unmerge",
]
LotState = Literal["pending", "available", "exhausted", "expired", "cancelled", "reversed"]
HoldState = Literal["open", "posted", "voided", "timed_out", "partly_reversed", "reversed"]
ReviewState = Literal["open", "approved", "waived", "let_go"]
ProgrammeId = Annotated[
    UUID | None, Field(default=None, description="The loyalty programme; the shop's default one if left out.")
]
Reason = Annotated[Line, Field(examples=["Coffee mug"], description="Why, for the customer and for the record.")]


Points = Annotated[int, Field(ge=1, le=MAX_POINTS, strict=True, examples=[100], description="How many, 1 to 10^9.")]


class RedemptionCreate(Input):
    """Points to spend."""

    model_config = with_examples({"points": 20, "reason": "兑换马克杯"})

    points: Points
    reason: Reason
    programme_id: ProgrammeId = None


class AdjustmentCreate(Input):
    """Points to give or to take by hand."""

    model_config = with_examples({"points": 50, "reason": "生日赠送"})

    points: int = Field(
        ge=-MAX_POINTS, le=MAX_POINTS, strict=True, examples=[-50], description="How many; negative takes. Never 0."
    )
    reason: Reason
    programme_id: ProgrammeId = None
    kind: Kind = Field(default="spendable", description="Points to spend, or points that make tiers.")
    expires_at: Instant | None = Field(
        default=None, description="When points given end; as the programme says if left out."
    )

    @field_validator("points")
    @classmethod
    def _not_zero(cls, points: int) -> int:
        if points == 0:
            msg = "an adjustment of 0 points does nothing"
            raise ValueError(msg)
        return points


class ReversalCreate(Input):
    """Why a redemption is undone."""

    model_config = with_examples({"reason": "马克杯缺货"})

    reason: Reason | None = Field(default=None, description="Why, for the customer and for the record.")


class TransferCreate(Input):
    """Points for another customer."""

    model_config = with_examples(
        {"to_customer_id": "01981a6e-0000-7000-8000-000000000001", "points": 5, "reason": "转给家人"}
    )

    to_customer_id: UUID = Field(description="Who gets the points. They end when they would have for the giver.")
    points: Points
    reason: Reason
    programme_id: ProgrammeId = None


class HoldCreate(Input):
    """Points to set aside."""

    model_config = with_examples({"points": 100, "reason": "下单抵扣", "until": "2026-12-01T12:00:00Z"})

    points: Points
    reason: Reason
    until: Instant | None = Field(
        default=None,
        description="When it times out, at most 366 days ahead; after the programme's `hold_minutes` if left out.",
    )
    programme_id: ProgrammeId = None


class HoldPost(Input):
    """How many of the held points are spent."""

    model_config = with_examples({"points": 80})

    points: Points | None = Field(
        default=None, description="How many are spent: all if left out. The others go back to the customer."
    )


class HoldReverse(Input):
    """How many of the points a hold has spent are given back."""

    model_config = with_examples({"points": 30, "reason": "部分退货"})

    points: Points | None = Field(
        default=None, description="How many are given back: all that were not yet, if left out."
    )
    reason: Reason | None = Field(default=None, description="Why, for the customer and for the record.")


class ReviewDecision(Input):
    """Why it was decided so."""

    model_config = with_examples({"note": "老客户，免追"})

    note: Line | None = Field(default=None, description="Why, for the record.")


# -- programmes --------------------------------------------------------------------------------------------------------

_TEXTS = {
    "name": "For the shop's staff.",
    "currency_name": "What the shop calls its points.",
    "is_default": "Whether it is the programme that orders earn in, and that is meant where none is named. A shop with "
    "programmes has exactly one: making another the default one is how this changes.",
    "currency": "Only purchases in this currency earn; null: in every currency, unit for unit.",
    "points_per_unit": "Points for one unit of money (yuan, dollar), before rounding.",
    "rounding": "How a fraction of the smallest part of a point is rounded.",
    "scale": "Decimal digits of a point. All amounts are whole numbers of the smallest part: with 2, 1234 means 12.34 "
    "points. It cannot change once the programme has wallets.",
    "pending_days": "Days between the payment (or completion) of an order and its points being usable.",
    "pending_from": "Where those days begin: when the order was paid, or when the buyer had received it all.",
    "expiry_months": "Months that usable points live; null with `expiry_days` null: for ever.",
    "expiry_days": "Further days that usable points live.",
    "expiry_end": "Points live on to the end of this day, month, quarter, half-year or year, in the programme's zone.",
    "refund_policy": "What becomes of points to take back that the customer has no more: `negative` (owed, and repaid "
    "by later points), `clamp` (let go) or `review` (listed until somebody decides).",
    "restore_policy": "What becomes of spent points that are given back after their end: `expire` at once, or `grace`.",
    "grace_days": "Days that such points live on with `grace`.",
    "hold_minutes": "How long points are held when the hold does not say.",
    "time_zone": "IANA name; days begin and end in it. The shop's own if left out.",
}
_Months = Annotated[int, Field(ge=0, le=1200, strict=True)]
_ExpiryDays = Annotated[int, Field(ge=0, le=36500, strict=True)]
_Days = Annotated[int, Field(ge=0, le=3650, strict=True)]
_Rate = Annotated[float, Field(ge=0, le=10_000, strict=True, allow_inf_nan=False)]
_Scale = Annotated[int, Field(ge=0, le=4, strict=True)]
_Minutes = Annotated[int, Field(ge=1, le=525_600, strict=True)]


class LoyaltyProgrammeCreate(Input):
    """A loyalty programme to start."""

    model_config = with_examples(
        {"name": "会员积分", "currency": "CNY", "points_per_unit": 1, "pending_days": 7, "expiry_months": 12}
    )

    name: Caption = Field(description=_TEXTS["name"])
    currency_name: Caption = Field(default="积分", description=_TEXTS["currency_name"])
    is_default: bool = Field(default=False, strict=True, description=_TEXTS["is_default"])
    currency: Currency | None = Field(default=None, description=_TEXTS["currency"])
    points_per_unit: _Rate = Field(default=1.0, description=_TEXTS["points_per_unit"])
    rounding: Rounding = Field(default="floor", description=_TEXTS["rounding"])
    scale: _Scale = Field(default=0, description=_TEXTS["scale"])
    pending_days: _Days = Field(default=0, description=_TEXTS["pending_days"])
    pending_from: PendingFrom = Field(default="paid", description=_TEXTS["pending_from"])
    expiry_months: _Months | None = Field(default=None, description=_TEXTS["expiry_months"])
    expiry_days: _ExpiryDays | None = Field(default=None, description=_TEXTS["expiry_days"])
    expiry_end: ExpiryEnd = Field(default="day", description=_TEXTS["expiry_end"])
    refund_policy: RefundPolicy = Field(default="negative", description=_TEXTS["refund_policy"])
    restore_policy: RestorePolicy = Field(default="expire", description=_TEXTS["restore_policy"])
    grace_days: _Days = Field(default=0, description=_TEXTS["grace_days"])
    hold_minutes: _Minutes = Field(default=60, description=_TEXTS["hold_minutes"])
    time_zone: TimeZone | None = Field(default=None, description=_TEXTS["time_zone"])


class LoyaltyProgrammeUpdate(Input):
    """What to change of a programme; what is left out stays. Points given before keep what they were given with."""

    model_config = with_examples({"expiry_months": 24, "expiry_end": "year"})

    name: Caption = Field(default="", description=_TEXTS["name"])
    currency_name: Caption = Field(default="", description=_TEXTS["currency_name"])
    is_default: bool = Field(default=False, strict=True, description=_TEXTS["is_default"])
    currency: Currency | None = Field(default=None, description=_TEXTS["currency"])
    points_per_unit: _Rate = Field(default=1.0, description=_TEXTS["points_per_unit"])
    rounding: Rounding = Field(default="floor", description=_TEXTS["rounding"])
    scale: _Scale = Field(default=0, description=_TEXTS["scale"])
    pending_days: _Days = Field(default=0, description=_TEXTS["pending_days"])
    pending_from: PendingFrom = Field(default="paid", description=_TEXTS["pending_from"])
    expiry_months: _Months | None = Field(default=None, description=_TEXTS["expiry_months"])
    expiry_days: _ExpiryDays | None = Field(default=None, description=_TEXTS["expiry_days"])
    expiry_end: ExpiryEnd = Field(default="day", description=_TEXTS["expiry_end"])
    refund_policy: RefundPolicy = Field(default="negative", description=_TEXTS["refund_policy"])
    restore_policy: RestorePolicy = Field(default="expire", description=_TEXTS["restore_policy"])
    grace_days: _Days = Field(default=0, description=_TEXTS["grace_days"])
    hold_minutes: _Minutes = Field(default=60, description=_TEXTS["hold_minutes"])
    time_zone: TimeZone = Field(default="Asia/Shanghai", description=_TEXTS["time_zone"])


class LoyaltyProgramme(Wire):
    """How points are earned, how long they live and what undoing them does."""

    id: ResourceId
    name: str = Field(description=_TEXTS["name"], examples=["会员积分"])
    currency_name: str = Field(description=_TEXTS["currency_name"], examples=["积分"])
    is_default: bool = Field(description=_TEXTS["is_default"])
    currency: str | None = Field(description=_TEXTS["currency"], examples=["CNY"])
    points_per_unit: float = Field(description=_TEXTS["points_per_unit"], examples=[1.0])
    rounding: Rounding = Field(description=_TEXTS["rounding"])
    scale: int = Field(description=_TEXTS["scale"])
    pending_days: int = Field(description=_TEXTS["pending_days"])
    pending_from: PendingFrom = Field(description=_TEXTS["pending_from"])
    expiry_months: int | None = Field(description=_TEXTS["expiry_months"])
    expiry_days: int | None = Field(description=_TEXTS["expiry_days"])
    expiry_end: ExpiryEnd = Field(description=_TEXTS["expiry_end"])
    refund_policy: RefundPolicy = Field(description=_TEXTS["refund_policy"])
    restore_policy: RestorePolicy = Field(description=_TEXTS["restore_policy"])
    grace_days: int = Field(description=_TEXTS["grace_days"])
    hold_minutes: int = Field(description=_TEXTS["hold_minutes"])
    time_zone: str = Field(description=_TEXTS["time_zone"], examples=["Asia/Shanghai"])
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


# -- balances and what they are made of --------------------------------------------------------------------------------


class LoyaltyBalance(Wire):
    """The four balances of an account at some time."""

    available: int = Field(description="Points that can be spent.", examples=[120])
    pending: int = Field(description="Points earned but not yet usable.", examples=[0])
    held: int = Field(description="Points set aside by open holds.", examples=[0])
    debt: int = Field(description="Points owed after a refund of points already spent; later points repay it.")


class LoyaltyAccount(Wire):
    """A customer's points."""

    customer_id: UUID = Field(description="Whose points these are; the account's own id too.")
    available: int = Field(description="Points that can be spent.", examples=[120])
    pending: int = Field(description="Points earned but not yet usable.", examples=[0])
    held: int = Field(description="Points set aside by open holds.", examples=[0])
    debt: int = Field(description="Points owed after a refund of points already spent; later points repay it.")
    currency_name: str = Field(description="What the shop calls its points.", examples=["积分"])
    scale: int = Field(description=_TEXTS["scale"], examples=[0])
    programme_id: UUID | None = Field(description="The shop's default programme; null while it has none.")


class LoyaltyWallet(Wire):
    """A customer's points of one kind in one programme."""

    id: ResourceId
    customer_id: UUID = Field(description="Whose points these are.")
    programme_id: UUID = Field(description="The loyalty programme.")
    kind: Kind = Field(description="spendable, or qualifying: points that make tiers.")
    available: int = Field(description="Points that can be spent; of qualifying points, those that count.")
    pending: int = Field(description="Points earned but not yet usable.")
    held: int = Field(description="Points set aside by open holds.")
    debt: int = Field(description="Points owed after a refund of points already spent; later points repay it.")
    created_at: CreatedAt
    updated_at: UpdatedAt


class LoyaltyLot(Wire):
    """Points granted together: when they are usable, when they end, and what is left of them."""

    id: ResourceId
    wallet_id: UUID = Field(description="The wallet they are in.")
    state: LotState = Field(
        description="pending, available, exhausted (all spent or held), expired, cancelled (taken back while pending) "
        "or reversed (taken back)."
    )
    granted: int = Field(description="Points it was given with.", examples=[100])
    remaining: int = Field(description="Points that are left to be spent.", examples=[40])
    held: int = Field(description="Points of it that open holds have; they do not end.", examples=[0])
    expired: int = Field(description="Points of it that ended unspent.", examples=[0])
    reversed: int = Field(description="Points of the grant that were undone, wherever they were taken from.")
    priority: int = Field(description="Lower is spent first; then what ends first, then what was earned first.")
    earned_at: Instant = Field(description="When they were earned.")
    available_at: Instant | None = Field(description="From when on they are usable; null: until something happens.")
    expires_at: Instant | None = Field(description="When they end; null: never, or not known while they wait.")
    order_id: UUID | None = Field(description="The order they came with.")
    source_kind: str | None = Field(
        description="What they were given for: reward, referral, earning_rule, transfer …; null: an order, or by hand.",
        examples=["referral"],
    )
    source_id: UUID | None = Field(description="Which reward, referral and so on.")


class LoyaltyHold(Wire):
    """Points set aside until it is certain whether they are spent."""

    id: ResourceId
    wallet_id: UUID = Field(description="The wallet they are in.")
    customer_id: UUID = Field(description="Whose points these are.")
    state: HoldState = Field(
        description="open, posted (spent), voided, timed_out; a posted one is partly_reversed and then reversed as "
        "points are given back."
    )
    points: int = Field(description="Points set aside.", examples=[100])
    posted: int = Field(description="How many of them were spent; the others went back.", examples=[80])
    reversed: int = Field(description="How many of the spent ones were given back.", examples=[0])
    until: Instant | None = Field(description="When an open hold times out.")
    reason: str | None = Field(description="What it is for.", examples=["下单抵扣"])
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class LoyaltyReview(Wire):
    """Points that a refund should have taken back and that the customer had no more."""

    id: ResourceId
    wallet_id: UUID = Field(description="The wallet they should come from.")
    customer_id: UUID = Field(description="Who had no more.")
    lot_id: UUID = Field(description="The grant that was undone.")
    state: ReviewState = Field(
        description="open, approved (taken back, as debt if need be), waived (let go by a person), or let_go (by the "
        "programme's refund_policy clamp, without a decision)."
    )
    points: int = Field(description="How many were missing.", examples=[30])
    recovered: int = Field(
        description="Of points let_go: how many came back since (a redemption undone, a hold voided) and were taken.",
        examples=[0],
    )
    note: str | None = Field(description="Why it was decided so.")
    decided_at: Instant | None = Field(description="When it was decided.")
    decided_by: UUID | None = Field(description="The key or staff member that decided.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class BalanceQuery(Input):
    """Which balance to tell."""

    at: Instant | None = Field(default=None, description="The moment; now if left out. Not in the future.")
    programme_id: ProgrammeId = None
    kind: Kind = Field(default="spendable", description="Points to spend, or points that make tiers.")


class LoyaltyBalanceAt(Wire):
    """The four balances of a customer at a moment. What is told of the past stays as it was told."""

    customer_id: UUID = Field(description="Whose points these are.")
    programme_id: UUID = Field(description="The loyalty programme.")
    kind: Kind = Field(description="spendable or qualifying.")
    at: Instant = Field(description="The moment.")
    available: int = Field(description="Points that could be spent.", examples=[120])
    pending: int = Field(description="Points earned but not yet usable.", examples=[0])
    held: int = Field(description="Points set aside.", examples=[0])
    debt: int = Field(description="Points owed.", examples=[0])


class LoyaltyEntry(Wire):
    """One thing that happened to a customer's points."""

    id: ResourceId
    type: EntryType = Field(
        description="earn (from an order), grant (for something else), release (pending points became available), "
        "redeem, restore (spent points were given back), reverse (a grant was undone), adjust (by hand), expire, hold, "
        "post (held points were spent), void and timeout (a hold ended unspent), transfer (from or to another "
        "customer), merge (points of somebody who is the same person), unmerge (they went back)."
    )
    wallet_id: UUID = Field(description="The wallet it was booked on.")
    points: int = Field(
        description="Change of the customer's points as the customer sees it: pending points count when they are "
        "earned, so a release shows 0.",
        examples=[-100],
    )
    available_change: int = Field(description="Change of what can be spent.", examples=[-100])
    reason: str | None = Field(description="Given with the booking; null for what the service did by itself.")
    order_id: UUID | None = Field(description="The order it came from.")
    reverses_id: UUID | None = Field(description="The redemption that was undone.")
    hold_id: UUID | None = Field(description="The hold it is about.")
    lot_id: UUID | None = Field(description="The lot it granted, released, ended or took back.")
    balance_after: LoyaltyBalance = Field(description="The account once this was booked.")
    at: Instant = Field(description="When it was booked.")


class LoyaltyReceipt(Wire):
    """What was booked, and the account after it."""

    transaction: LoyaltyEntry = Field(description="What was booked.")
    account: LoyaltyAccount = Field(description="The account after it.")


# -- what services exchange --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpeningRow:
    """The points a customer brings along from an earlier system.

    Attributes:
        customer_id: whose.
        points: how many, 1 to ``MAX_POINTS``.
        expires_on: the last day, in the programme's zone, on which they can be spent; as the programme says when None.
        reason: for the customer and for the record.

    """

    customer_id: UUID
    points: int
    expires_on: date | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class OpeningVerdict:
    """What became of one opening balance.

    Attributes:
        transaction_id: the transaction that gives the points, None when the row failed.
        verdict: what happened.
        errors: why it failed.

    """

    transaction_id: UUID | None
    verdict: Literal["created", "unchanged", "failed"]
    errors: tuple[FieldError, ...] = ()
