"""Compensations and limits of approval: inputs and wire shapes."""

from typing import Any, Final, Literal
from uuid import UUID

from pydantic import Field

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.money import Money, PositiveMoney
from crm_api.core.text import Line, Prose, Token

CompensationKind = Literal["refund", "replacement", "points", "voucher", "apology", "service"]
CompensationState = Literal["proposed", "approved", "settled", "failed", "rejected", "cancelled", "reversed"]

MAX_POINTS: Final = 10**9
MAX_QUANTITY: Final = 10_000
_ID: Final = "01981a6e-0000-7000-8000-000000000000"

_TEXTS: Final = {
    "kind": "`points` and `voucher` are paid here, by themselves, once they are approved. `refund`, `replacement`, "
    "`service` (something done for nothing) and `apology` are done by the shop, which then settles them.",
    "amount": "Minor units. For `refund`: what is paid back. For `replacement` and `service`: what it is worth, raised "
    "to the catalogue's price of all pieces when that is more; limits of approval go by it. For `voucher`: its worth, "
    "where its campaign does not tell (a gift, a share without a maximum).",
    "points": "For `points`: how many.",
    "programme_id": "For `points`: in which loyalty programme; the default one when null.",
    "campaign_id": "For `voucher`: of which campaign; one with codes of its own.",
    "order_id": "The order it is for, one of the same customer's; the case's own one when left out.",
    "sku": "For `replacement` and `service`: what.",
    "quantity": "For `replacement`: how many pieces; 1 when left out.",
    "note": "Why, and what was promised; for the shop's own people.",
    "staff_id": "The staff member who acts, when one key serves several: their limits count, and who is somebody else "
    "goes by them.",
}


def _field(name: str, default: Any = ..., **more: Any) -> Any:
    return Field(default, description=_TEXTS[name], **more)


class CompensationCreate(Input):
    """What a customer is to get for a complaint."""

    model_config = with_examples(
        {"kind": "points", "points": 500, "note": "冰袋融化，按金额两倍补偿积分"},
        {"kind": "refund", "amount": {"amount": 8800, "currency": "CNY"}, "note": "两只虾变质，退部分货款"},
        {
            "kind": "replacement",
            "sku": "SHRIMP-2KG",
            "quantity": 1,
            "amount": {"amount": 16800, "currency": "CNY"},
        },
        {"kind": "apology", "note": "店长电话致歉"},
    )

    kind: CompensationKind = _field("kind")
    amount: PositiveMoney | None = _field("amount", None)
    points: int | None = _field("points", None, ge=1, le=MAX_POINTS, strict=True)
    programme_id: UUID | None = _field("programme_id", None)
    campaign_id: UUID | None = _field("campaign_id", None)
    order_id: UUID | None = _field("order_id", None)
    sku: Token | None = _field("sku", None)
    quantity: int | None = _field("quantity", None, ge=1, le=MAX_QUANTITY, strict=True)
    note: Prose | None = _field("note", None)
    staff_id: UUID | None = _field("staff_id", None)


class CompensationApproval(Input):
    """Who approves, and why."""

    model_config = with_examples({"note": "同意"})

    staff_id: UUID | None = _field("staff_id", None)
    note: Prose | None = Field(default=None, description="For the record.")


class CompensationRefusal(Input):
    """Who decides against it, and why."""

    model_config = with_examples({"reason": "超出商品金额"})

    staff_id: UUID | None = _field("staff_id", None)
    reason: Line = Field(description="Why; shown with the compensation.")


class CompensationSettlement(Input):
    """How the shop has done what it promised."""

    model_config = with_examples({"reference": "wechat-refund-50000408", "note": "已原路退回"})

    reference: Token | None = Field(
        default=None,
        description="The number of the refund, of the parcel or of the appointment; only an apology does without. One "
        "refund settles one compensation.",
    )
    note: Prose | None = Field(default=None, description="For the record.")
    staff_id: UUID | None = _field("staff_id", None)


class CompensationReversal(Input):
    """Why it is taken back."""

    model_config = with_examples({"reason": "客户退回了补发的商品", "reference": "SF1234567890"})

    reason: Line = Field(description="Why; shown with the compensation, and with the points in the ledger.")
    reference: Token | None = Field(
        default=None,
        description="For what the shop did itself: the number under which it came back; needed for `refund`, "
        "`replacement` and `service`.",
    )
    staff_id: UUID | None = _field("staff_id", None)


class Compensation(Wire):
    """What a customer gets for a complaint."""

    id: ResourceId
    complaint_id: UUID = Field(description="For which case.")
    customer_id: UUID = Field(description="Who gets it.")
    order_id: UUID | None = Field(description="For which order; null when for none in particular.")
    kind: CompensationKind = _field("kind")
    state: CompensationState = Field(
        description="`proposed`: somebody has to approve it. `approved`: to be paid or done. `settled`: paid or done. "
        "`failed`: could not be paid, see `reason`; retry or cancel it. `rejected`, `cancelled`: will not be. "
        "`reversed`: was taken back."
    )
    amount: Money | None = Field(description="What is paid back or what it is worth, in minor units; null for points.")
    points: int | None = _field("points")
    programme_id: UUID | None = _field("programme_id")
    campaign_id: UUID | None = _field("campaign_id")
    sku: str | None = _field("sku")
    quantity: int | None = _field("quantity")
    note: str | None = _field("note")
    proposed_by: UUID = Field(description="The key that proposed it.")
    proposed_by_staff_id: UUID | None = Field(description="The staff member who proposed it; null when nobody said.")
    proposed_at: Instant = Field(description="When it was proposed.")
    decided_by: UUID | None = Field(
        description="The key that approved or rejected it; the proposer's own when it was within their limit."
    )
    decided_by_staff_id: UUID | None = Field(description="The staff member who approved or rejected it.")
    decided_at: Instant | None = Field(description="When it was approved or rejected.")
    decision_note: str | None = Field(description="What was said with the approval.")
    reason: str | None = Field(description="Why it was rejected or cancelled, failed, or was taken back.")
    failure: str | None = Field(description="Stable code of what went wrong when it `failed`, such as `no_programme`.")
    reference: str | None = Field(description="The shop's number of the refund, parcel or appointment.")
    reversal_reference: str | None = Field(description="The shop's number under which it came back.")
    transaction_id: UUID | None = Field(description="For points: the ledger's transaction that gave them.")
    voucher_id: UUID | None = Field(description="For vouchers: the voucher that was given.")
    settled_at: Instant | None = Field(description="When it was paid or done.")
    ended_at: Instant | None = Field(description="When it was rejected, cancelled or taken back.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


# -- limits of approval ------------------------------------------------------------------------------------------------

_LIMITS: Final = {
    "name": "For people; unique.",
    "role": "For staff with this title, such as 客服主管.",
    "staff_id": "For this staff member.",
    "key_id": "For this API key. Where staff act through the key, it is the most anybody can approve with it.",
    "kind": "Only for compensations of this kind; for all when null.",
    "amount": "Up to so much money for one case, all its compensations added up; none when null.",
    "points": "Up to so many points for one case; none when null.",
    "unlimited": "Without limit; then `amount` and `points` stay away.",
}


def _limit(name: str, default: Any = ..., **more: Any) -> Any:
    return Field(default, description=_LIMITS[name], **more)


class ApprovalLimitCreate(Input):
    """What somebody may approve alone. Names a role, a staff member or a key; none of them means everybody."""

    model_config = with_examples(
        {"name": "客服", "role": "客服", "amount": {"amount": 5000, "currency": "CNY"}, "points": 500},
        {"name": "客服主管", "role": "客服主管", "amount": {"amount": 50000, "currency": "CNY"}, "points": 5000},
        {"name": "店长", "staff_id": _ID, "unlimited": True},
    )

    name: Line = _limit("name")
    role: Line | None = _limit("role", None)
    staff_id: UUID | None = _limit("staff_id", None)
    key_id: UUID | None = _limit("key_id", None)
    kind: CompensationKind | None = _limit("kind", None)
    amount: PositiveMoney | None = _limit("amount", None)
    points: int | None = _limit("points", None, ge=0, le=MAX_POINTS, strict=True)
    unlimited: bool = _limit("unlimited", False, strict=True)


class ApprovalLimitUpdate(Input):
    """What to change of a limit; what is left out stays. Whom it is for does not change: make another one."""

    model_config = with_examples({"points": 800}, {"amount": {"amount": 8000, "currency": "CNY"}})

    name: Line = _limit("name", "")
    kind: CompensationKind | None = _limit("kind", None)
    amount: PositiveMoney | None = _limit("amount", None)
    points: int | None = _limit("points", None, ge=0, le=MAX_POINTS, strict=True)
    unlimited: bool = _limit("unlimited", False, strict=True)


class ApprovalLimit(Wire):
    """What somebody may approve alone."""

    id: ResourceId
    name: str = _limit("name")
    role: str | None = _limit("role")
    staff_id: UUID | None = _limit("staff_id")
    key_id: UUID | None = _limit("key_id")
    kind: CompensationKind | None = _limit("kind")
    amount: Money | None = _limit("amount")
    points: int | None = _limit("points")
    unlimited: bool = _limit("unlimited")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt
