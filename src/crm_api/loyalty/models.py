"""Loyalty: inputs and wire shapes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, field_validator

from crm_api.core.errors import FieldError
from crm_api.core.models import Input, Instant, ResourceId, Wire, with_examples
from crm_api.core.text import Line
from crm_api.loyalty.programmes import Kind

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


class LoyaltyBalance(Wire):
    """The four balances of an account at some time."""

    available: int = Field(description="Points that can be spent.", examples=[120])
    pending: int = Field(description="Points earned but not yet usable.", examples=[0])
    held: int = Field(description="Points set aside for a redemption in progress.", examples=[0])
    debt: int = Field(description="Points owed after a refund of points already spent; later points repay it.")


class LoyaltyAccount(Wire):
    """A customer's points."""

    customer_id: UUID = Field(description="Whose points these are; the account's own id too.")
    available: int = Field(description="Points that can be spent.", examples=[120])
    pending: int = Field(description="Points earned but not yet usable.", examples=[0])
    held: int = Field(description="Points set aside for a redemption in progress.", examples=[0])
    debt: int = Field(description="Points owed after a refund of points already spent; later points repay it.")
    currency_name: str = Field(description="What the shop calls its points.", examples=["积分"])


class LoyaltyEntry(Wire):
    """One thing that happened to a customer's points."""

    id: ResourceId
    type: EntryType = Field(
        description="earn (from an order), release (pending points became available), redeem, restore (a redemption "
        "was undone), reverse (an order was refunded or cancelled), adjust (by hand), expire, merge (points of "
        "somebody who is the same person), unmerge (they went back)."
    )
    points: int = Field(
        description="Change of the customer's points as the customer sees it: pending points count when they are "
        "earned, so a release shows 0.",
        examples=[-100],
    )
    available_change: int = Field(description="Change of what can be spent.", examples=[-100])
    reason: str | None = Field(description="Given with the booking; null for what the service did by itself.")
    order_id: UUID | None = Field(description="The order it came from.")
    reverses_id: UUID | None = Field(description="The redemption that was undone.")
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
        expires_at: when they end; as the programme says when None.
        reason: for the customer and for the record.

    """

    customer_id: UUID
    points: int
    expires_at: datetime | None = None
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
