"""Rewards: inputs and wire shapes."""

from typing import Any, Final, Literal
from uuid import UUID

from pydantic import Field

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.rules import RuleTree
from crm_api.core.text import Line, Prose, Token

RewardState = Literal["active", "paused", "archived"]
RewardKind = Literal["product", "voucher", "service"]
RewardRedemptionState = Literal["requested", "confirmed", "fulfilled", "cancelled"]

MAX_POINTS: Final = 10**9
MAX_STOCK: Final = 10**9
MAX_QUANTITY: Final = 100
_CUSTOMER: Final = "01981a6e-0000-7000-8000-000000000000"

_TEXTS: Final = {
    "name": "For customers; unique.",
    "description": "For customers.",
    "state": "`paused` for a while, `archived` for good.",
    "kind": "`product`: goods. `voucher`: a voucher of a campaign. `service`: anything else, such as a treatment.",
    "points": "What one piece costs.",
    "programme_id": "In which programme's points; the default one's when null.",
    "sku": "For goods: which.",
    "campaign_id": "For vouchers: of which campaign; one with codes of its own.",
    "stock": "Pieces there are in all, given out ones included; any number when null.",
    "per_customer": "How many pieces a customer can have; any number when null.",
    "starts_at": "It can be had from then on; from the beginning when null.",
    "ends_at": "It can be had until before then; without end when null.",
    "rule": "For which customers, as a rule tree or text: a tier, a segment, anything rules can name. Everybody "
    "when null.",
    "immediate": "Redemptions are confirmed at once, and vouchers given at once too; otherwise somebody confirms.",
    "hold_days": "How long points and stock are held for a redemption that nobody confirms; then it is cancelled.",
}


def _field(name: str, default: Any = ..., **more: Any) -> Any:
    return Field(default, description=_TEXTS[name], **more)


class RewardCreate(Input):
    """A reward."""

    model_config = with_examples(
        {"name": "马克杯", "kind": "product", "sku": "MUG-1", "points": 500, "stock": 100, "per_customer": 2},
        {"name": "SPA 30 分钟", "kind": "service", "points": 2000, "rule": "points >= 2000"},
    )

    name: Line = _field("name")
    description: Prose | None = _field("description", None)
    state: Literal["active", "paused"] = _field("state", "active")
    kind: RewardKind = _field("kind")
    points: int = _field("points", ge=1, le=MAX_POINTS, strict=True)
    programme_id: UUID | None = _field("programme_id", None)
    sku: Token | None = _field("sku", None)
    campaign_id: UUID | None = _field("campaign_id", None)
    stock: int | None = _field("stock", None, ge=0, le=MAX_STOCK, strict=True)
    per_customer: int | None = _field("per_customer", None, ge=1, le=MAX_STOCK, strict=True)
    starts_at: Instant | None = _field("starts_at", None)
    ends_at: Instant | None = _field("ends_at", None)
    rule: RuleTree | None = _field("rule", None)
    immediate: bool = _field("immediate", False, strict=True)
    hold_days: int = _field("hold_days", 7, ge=1, le=365, strict=True)


class RewardUpdate(Input):
    """What to change of a reward; what is left out stays. What has been requested keeps its price."""

    model_config = with_examples({"stock": 250, "per_customer": 3}, {"ends_at": "2036-01-01T00:00:00+08:00"})

    name: Line = _field("name", "")
    description: Prose | None = _field("description", None)
    state: RewardState = _field("state", "active")
    points: int = _field("points", 1, ge=1, le=MAX_POINTS, strict=True)
    sku: Token | None = _field("sku", None)
    stock: int | None = _field("stock", None, ge=0, le=MAX_STOCK, strict=True)
    per_customer: int | None = _field("per_customer", None, ge=1, le=MAX_STOCK, strict=True)
    starts_at: Instant | None = _field("starts_at", None)
    ends_at: Instant | None = _field("ends_at", None)
    rule: RuleTree | None = _field("rule", None)
    immediate: bool = _field("immediate", False, strict=True)
    hold_days: int = _field("hold_days", 7, ge=1, le=365, strict=True)


class Reward(Wire):
    """What points can be spent on."""

    id: ResourceId
    name: str = _field("name")
    description: str | None = _field("description")
    state: RewardState = _field("state")
    kind: RewardKind = _field("kind")
    points: int = _field("points")
    programme_id: UUID | None = _field("programme_id")
    sku: str | None = _field("sku")
    campaign_id: UUID | None = _field("campaign_id")
    stock: int | None = _field("stock")
    taken: int = Field(description="Pieces requested, confirmed or fulfilled; cancelled ones are back.")
    available: int | None = Field(description="Pieces left: `stock` less `taken`; null for any number.")
    per_customer: int | None = _field("per_customer")
    starts_at: Instant | None = _field("starts_at")
    ends_at: Instant | None = _field("ends_at")
    rule: dict[str, Any] | None = _field("rule")
    immediate: bool = _field("immediate")
    hold_days: int = _field("hold_days")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class RewardRequest(Input):
    """A reward that a customer wants."""

    model_config = with_examples({"customer_id": _CUSTOMER, "quantity": 1, "note": "蓝色"})

    customer_id: UUID = Field(description="Who wants it.")
    quantity: int = Field(default=1, ge=1, le=MAX_QUANTITY, strict=True, description="How many pieces, 1 to 100.")
    note: Line | None = Field(default=None, description="What the customer wishes: size, colour, when.")


class RewardCheck(Input):
    """A reward that a customer may want."""

    model_config = with_examples({"customer_id": _CUSTOMER})

    customer_id: UUID = Field(description="Who may want it.")
    quantity: int = Field(default=1, ge=1, le=MAX_QUANTITY, strict=True, description="How many pieces, 1 to 100.")


class RewardReason(Wire):
    """Why a reward cannot be had."""

    code: str = Field(description="Stable.", examples=["out_of_stock"])
    en: str = Field(description="In English.")
    zh: str = Field(description="In Chinese.")


class RewardVerdict(Wire):
    """Whether a customer can have a reward now."""

    can_have: bool = Field(description="Whether a redemption would be accepted at this moment.")
    reason: RewardReason | None = Field(description="Why not; null when it can be had.")
    points: int = Field(description="What it would cost in all.")
    available_points: int = Field(description="What the customer can spend.")


class RewardStep(Input):
    """What to note with a step."""

    model_config = with_examples({"reason": "已寄出，单号 SF123"})

    reason: Line | None = Field(default=None, description="For the customer and for the record.")


class RewardRedemption(Wire):
    """A reward that a customer wants, or has."""

    id: ResourceId
    reward_id: UUID = Field(description="Which reward.")
    customer_id: UUID = Field(description="Who.")
    state: RewardRedemptionState = Field(
        description="`requested`: points and stock are held. `confirmed`: the points are spent. `fulfilled`: the "
        "customer has it. `cancelled`: points and stock are back."
    )
    quantity: int = Field(description="How many pieces.")
    points: int = Field(description="What it costs in all, as it was when requested.")
    hold_id: UUID = Field(description="The ledger's hold of the points.")
    voucher_ids: list[UUID] = Field(description="The vouchers given, once it is fulfilled.")
    note: str | None = Field(description="What the customer wishes.")
    reason: str | None = Field(description="What was noted with the last step.")
    held_until: Instant | None = Field(description="When it is cancelled by itself unless somebody confirms it.")
    confirmed_at: Instant | None = Field(description="When it was confirmed.")
    fulfilled_at: Instant | None = Field(description="When the customer had it.")
    cancelled_at: Instant | None = Field(description="When it was cancelled.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt
