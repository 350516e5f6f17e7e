"""Vouchers: inputs and wire shapes."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.money import MAX_MINOR, Currency, Money, PositiveMoney
from crm_api.core.rules import RuleTree
from crm_api.core.text import Line, Prose, Slug, Token, storable
from crm_api.vouchers.codes import MIN_GENERATED

CampaignState = Literal["active", "paused", "archived"]
VoucherKind = Literal["amount", "percent", "gift", "free_shipping"]
BatchState = Literal["queued", "running", "completed", "failed"]
VoucherState = Literal["active", "void"]
UseState = Literal["locked", "redeemed", "rolled_back", "released", "lapsed"]
Verdict = Literal["applicable", "inapplicable", "skipped"]

MAX_CODES: Final = 20
"""Vouchers of one cart."""
MAX_LINES: Final = 500
MAX_BATCH: Final = 1_000_000
MAX_LOCK_SECONDS: Final = 86_400

Uses = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]
Skus = Annotated[list[Token], Field(max_length=500)]
Categories = Annotated[list[Line], Field(max_length=100)]
Code = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        description="As somebody typed it: small letters, spaces and dashes do not matter.",
        examples=["8xq7-bzwq-9fn3-d"],
    ),
    AfterValidator(storable),
]
Codes = Annotated[list[Code], Field(min_length=1, max_length=MAX_CODES, description="The vouchers, in any order.")]
Session = Annotated[Token, Field(description="The checkout's own id, of yours.", examples=["checkout-4711"])]
OrderRef = Annotated[
    Token, Field(description="The order's number at yours; one order is redeemed for once.", examples=["T-20261111-1"])
]

_TEXTS: Final = {
    "name": "For the shop; unique.",
    "description": "For the shop's own people.",
    "state": "`paused` for a while, `archived` for good: its vouchers do not apply meanwhile.",
    "kind": "`amount`: so much off. `percent`: a share off. `gift`: goods that are free. `free_shipping`: the freight.",
    "amount_off": "For `amount`: what comes off.",
    "percent": "For `percent`: 0.01 to 100, two decimals at most; what comes off is rounded down.",
    "max_discount": "At most so much comes off, whatever the kind.",
    "gift_sku": "For `gift`: what is free. Pieces of it in the cart cost nothing; if there are none, add them.",
    "gift_quantity": "For `gift`: how many pieces.",
    "shared_code": "One code for everybody, chosen by the shop: 3 to 11 letters and digits of any script. Without it "
    "the campaign has codes of its own for each voucher.",
    "prefix": "What its codes begin with; letters and digits without 0, 1, I, L, O.",
    "code_length": "Characters of a code after the prefix, the check character included: 11 random ones at least, "
    "whatever the prefix.",
    "starts_at": "Vouchers apply from then on; from the beginning when null.",
    "ends_at": "Vouchers apply until before then; without end when null.",
    "valid_days": "A voucher given to a customer ends so many days after; with the campaign when null.",
    "rule": "For which customers, as a rule tree or text: a tier, a segment, anything rules can name. Everybody "
    "when null.",
    "skus": "Only these goods; with `categories`, either will do. Any when both are empty.",
    "categories": "Only goods in or below these categories (`海鲜` covers `海鲜/虾`).",
    "excluded_skus": "Never these goods.",
    "excluded_categories": "Never goods in or below these categories.",
    "min_amount": "The goods it is for must cost at least so much, before discounts.",
    "min_quantity": "The goods it is for must be at least so many pieces.",
    "uses_per_voucher": "How often one voucher (or the shared code) can be used; any number when null. Left out: once, "
    "a shared code any number of times.",
    "uses_per_customer": "How often a customer can use the campaign's vouchers; any number when null.",
    "uses_total": "How often all of the campaign's vouchers can be used; any number when null.",
    "priority": "Of several vouchers the smallest applies first.",
    "exclusive": "Goes with no other voucher.",
    "stacking_group": "Of vouchers of one group only the first applies.",
    "birthday_days_before": "Every customer it is for is given a voucher so many days before each birthday, solar or "
    "lunar, once a year; nobody when null.",
}


def _field(name: str, default: Any = ..., **more: Any) -> Any:
    return Field(default, description=_TEXTS[name], **more)


class VoucherCampaignCreate(Input):
    """A campaign of vouchers."""

    model_config = with_examples(
        {
            "name": "双十一满 300 减 50",
            "kind": "amount",
            "amount_off": {"amount": 5000, "currency": "CNY"},
            "min_amount": {"amount": 30000, "currency": "CNY"},
            "ends_at": "2026-11-12T00:00:00+08:00",
        },
        {
            "name": "Spring",
            "kind": "percent",
            "percent": 15,
            "max_discount": {"amount": 10000, "currency": "CNY"},
            "shared_code": "MAY15",
            "uses_total": 1000,
            "uses_per_customer": 1,
            "uses_per_voucher": None,
            "rule": {"field": "order_count", "op": "gte", "value": 1},
        },
        {"name": "Birthday", "kind": "gift", "gift_sku": "CAKE-1", "birthday_days_before": 7, "valid_days": 30},
    )

    name: Line = _field("name")
    description: Prose | None = _field("description", None)
    state: Literal["active", "paused"] = _field("state", "active")
    kind: VoucherKind = _field("kind")
    amount_off: PositiveMoney | None = _field("amount_off", None)
    percent: float | None = _field("percent", None, ge=0.01, le=100, strict=True, allow_inf_nan=False)
    max_discount: PositiveMoney | None = _field("max_discount", None)
    gift_sku: Token | None = _field("gift_sku", None)
    gift_quantity: int = _field("gift_quantity", 1, ge=1, le=10_000, strict=True)
    shared_code: Code | None = _field("shared_code", None)
    prefix: str = _field("prefix", "", max_length=10, examples=["SPRNG"])
    code_length: int = _field("code_length", 13, ge=MIN_GENERATED, le=24, strict=True)
    starts_at: Instant | None = _field("starts_at", None)
    ends_at: Instant | None = _field("ends_at", None)
    valid_days: int | None = _field("valid_days", None, ge=1, le=3650, strict=True)
    rule: RuleTree | None = _field("rule", None)
    skus: Skus = _field("skus", [])
    categories: Categories = _field("categories", [])
    excluded_skus: Skus = _field("excluded_skus", [])
    excluded_categories: Categories = _field("excluded_categories", [])
    min_amount: PositiveMoney | None = _field("min_amount", None)
    min_quantity: int | None = _field("min_quantity", None, ge=1, le=10**6, strict=True)
    uses_per_voucher: Uses | None = _field("uses_per_voucher", 1)
    uses_per_customer: Uses | None = _field("uses_per_customer", None)
    uses_total: Uses | None = _field("uses_total", None)
    priority: int = _field("priority", 100, ge=0, le=10**6, strict=True)
    exclusive: bool = _field("exclusive", False, strict=True)
    stacking_group: Slug | None = _field("stacking_group", None)
    birthday_days_before: int | None = _field("birthday_days_before", None, ge=0, le=60, strict=True)


class VoucherCampaignUpdate(Input):
    """What to change of a campaign; what is left out stays. What its vouchers are worth cannot be changed."""

    model_config = with_examples({"state": "paused"}, {"ends_at": "2026-12-01T00:00:00+08:00", "uses_total": 2000})

    name: Line = _field("name", "")
    description: Prose | None = _field("description", None)
    state: CampaignState = _field("state", "active")
    max_discount: PositiveMoney | None = _field("max_discount", None)
    starts_at: Instant | None = _field("starts_at", None)
    ends_at: Instant | None = _field("ends_at", None)
    valid_days: int | None = _field("valid_days", None, ge=1, le=3650, strict=True)
    rule: RuleTree | None = _field("rule", None)
    skus: Skus = _field("skus", [])
    categories: Categories = _field("categories", [])
    excluded_skus: Skus = _field("excluded_skus", [])
    excluded_categories: Categories = _field("excluded_categories", [])
    min_amount: PositiveMoney | None = _field("min_amount", None)
    min_quantity: int | None = _field("min_quantity", None, ge=1, le=10**6, strict=True)
    uses_per_voucher: Uses | None = _field("uses_per_voucher", None)
    uses_per_customer: Uses | None = _field("uses_per_customer", None)
    uses_total: Uses | None = _field("uses_total", None)
    priority: int = _field("priority", 100, ge=0, le=10**6, strict=True)
    exclusive: bool = _field("exclusive", False, strict=True)
    stacking_group: Slug | None = _field("stacking_group", None)
    birthday_days_before: int | None = _field("birthday_days_before", None, ge=0, le=60, strict=True)


class VoucherCampaign(Wire):
    """A campaign of vouchers."""

    id: ResourceId
    name: str = _field("name")
    description: str | None = _field("description")
    state: CampaignState = _field("state")
    kind: VoucherKind = _field("kind")
    amount_off: Money | None = _field("amount_off")
    percent: float | None = _field("percent")
    max_discount: Money | None = _field("max_discount")
    gift_sku: str | None = _field("gift_sku")
    gift_quantity: int | None = _field("gift_quantity")
    shared_code: str | None = _field("shared_code")
    prefix: str = _field("prefix")
    code_length: int = _field("code_length")
    starts_at: Instant | None = _field("starts_at")
    ends_at: Instant | None = _field("ends_at")
    valid_days: int | None = _field("valid_days")
    rule: dict[str, Any] | None = _field("rule")
    skus: list[str] = _field("skus")
    categories: list[str] = _field("categories")
    excluded_skus: list[str] = _field("excluded_skus")
    excluded_categories: list[str] = _field("excluded_categories")
    min_amount: Money | None = _field("min_amount")
    min_quantity: int | None = _field("min_quantity")
    uses_per_voucher: int | None = _field("uses_per_voucher")
    uses_per_customer: int | None = _field("uses_per_customer")
    uses_total: int | None = _field("uses_total")
    priority: int = _field("priority")
    exclusive: bool = _field("exclusive")
    stacking_group: str | None = _field("stacking_group")
    birthday_days_before: int | None = _field("birthday_days_before")
    vouchers: int = Field(description="Vouchers there are, those of all batches and those given to customers.")
    redeemed: int = Field(description="Uses that stand: redeemed and not rolled back.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class VoucherBatchCreate(Input):
    """Codes to make."""

    model_config = with_examples({"count": 10000})

    count: int = Field(ge=1, le=MAX_BATCH, strict=True, description="How many, 1 to 1,000,000.")


class VoucherBatch(Wire):
    """Codes made at once, by a job."""

    id: ResourceId
    campaign_id: UUID = Field(description="Of which campaign.")
    state: BatchState = Field(description="Where the job stands; `failed` with the reason in `error`.")
    count: int = Field(description="How many are wanted.")
    made: int = Field(description="How many there are so far.")
    error: str | None = Field(description="Why it failed; null otherwise.")
    started_at: Instant | None = Field(description="Null while it is queued.")
    finished_at: Instant | None = Field(description="Null until it has ended.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class VoucherIssue(Input):
    """A voucher to give to a customer."""

    model_config = with_examples(
        {"customer_id": "01981a6e-0000-7000-8000-000000000000", "key": "complaint-17", "reason": "Sorry for the delay"}
    )

    customer_id: UUID = Field(description="To whom.")
    key: Token | None = Field(
        default=None,
        description="Of yours: the same key gives one voucher, however often it is sent. Without it each call gives "
        "one.",
        examples=["complaint-17"],
    )
    reason: Line | None = Field(default=None, description="Why, for the customer and for the record.")


class VoucherUpdate(Input):
    """What to change of a voucher; what is left out stays."""

    model_config = with_examples({"state": "void"}, {"expires_at": "2026-12-31T16:00:00+00:00"})

    state: VoucherState = Field(default="active", description="`void` takes it back: it does not apply any more.")
    expires_at: Instant | None = Field(
        default=None, description="It applies until before then; with its campaign when null."
    )


class VoucherLookup(Input):
    """A code to look up."""

    model_config = with_examples({"code": "spring-15"})

    code: Code


class Voucher(Wire):
    """A voucher: one code."""

    id: ResourceId
    campaign_id: UUID = Field(description="Of which campaign; it says what the voucher is worth.")
    batch_id: UUID | None = Field(description="Made with which batch; null when it was not.")
    customer_id: UUID | None = Field(description="Whose it is, and only theirs; anybody's when null.")
    code: str = Field(
        description="What the customer shows. Who lacks the scope `vouchers:reveal` sees its last four characters.",
        examples=["8XQ7BZWQ9FN3D"],
    )
    state: VoucherState = Field(description="`void` was taken back.")
    redeemed: int = Field(description="Uses that stand: redeemed and not rolled back.")
    expires_at: Instant | None = Field(description="It applies until before then; with its campaign when null.")
    issued_at: Instant | None = Field(description="When it was given to the customer.")
    occasion: str | None = Field(description="What it was given for by itself.", examples=["birthday:2026"])
    reason: str | None = Field(description="Why it was given.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class CartItem(Input):
    """A line of a cart."""

    sku: Token = Field(description="What.", examples=["SHRIMP-1"])
    quantity: int = Field(default=1, ge=1, le=10**6, strict=True, description="How many.")
    unit_price: int = Field(
        ge=0, le=MAX_MINOR, strict=True, description="Of one piece, in minor units.", examples=[12900]
    )
    category: Line | None = Field(
        default=None, description="Its category; that of the product with this SKU when left out.", examples=["海鲜/虾"]
    )


class VoucherCart(Input):
    """What somebody is about to buy; all amounts are minor units of its currency."""

    currency: Currency
    items: list[CartItem] = Field(min_length=1, max_length=MAX_LINES, description="The lines.")
    shipping: int | None = Field(
        default=None, ge=0, le=MAX_MINOR, strict=True, description="Freight; left out while it is not known."
    )

    @model_validator(mode="after")
    def _adds_up(self) -> "VoucherCart":
        if sum(item.quantity * item.unit_price for item in self.items) + (self.shipping or 0) > MAX_MINOR:
            raise PydanticCustomError("cart_too_large", "The cart costs more than can be counted")
        return self


_CART: Final[JsonDict] = {
    "currency": "CNY",
    "items": [{"sku": "SHRIMP-1", "quantity": 3, "unit_price": 12900, "category": "海鲜/虾"}],
    "shipping": 1500,
}
_CUSTOMER: Final = "01981a6e-0000-7000-8000-000000000000"
CustomerId = Annotated[
    UUID | None, Field(description="Who buys; needed for vouchers that depend on the customer.", examples=[_CUSTOMER])
]
Cart = Annotated[VoucherCart, Field(description="What is in the cart.")]


class VoucherValidate(Input):
    """Vouchers to try on a cart."""

    model_config = with_examples({"codes": ["SPRING15"], "customer_id": _CUSTOMER, "cart": _CART})

    codes: Codes
    customer_id: CustomerId = None
    session_id: Session | None = Field(
        default=None, description="The checkout: vouchers that it has locked count as free for it."
    )
    cart: Cart


class VoucherLock(Input):
    """Vouchers to set aside for a checkout."""

    model_config = with_examples(
        {"codes": ["SPRING15"], "customer_id": _CUSTOMER, "session_id": "checkout-4711", "cart": _CART, "seconds": 900}
    )

    codes: Codes
    customer_id: CustomerId = None
    session_id: Session
    cart: Cart
    seconds: int = Field(
        default=900, ge=1, le=MAX_LOCK_SECONDS, strict=True, description="For how long, 1 second to a day."
    )


class VoucherRelease(Input):
    """A checkout that is over without an order."""

    model_config = with_examples({"session_id": "checkout-4711"})

    session_id: Session


class VoucherRedeem(Input):
    """Vouchers to use for an order."""

    model_config = with_examples(
        {"codes": ["SPRING15"], "customer_id": _CUSTOMER, "order_ref": "T-20261111-1", "cart": _CART},
        {"codes": ["SPRING15"], "session_id": "checkout-4711", "order_ref": "T-20261111-2", "cart": _CART},
    )

    codes: Codes
    customer_id: CustomerId = None
    session_id: Session | None = Field(default=None, description="The checkout that locked them, if one did.")
    order_ref: OrderRef
    cart: VoucherCart | None = Field(
        default=None,
        description="What is in the cart. May be left out when the session has locked exactly these vouchers: then "
        "they are redeemed as they were locked, whatever has changed since.",
    )


class VoucherRollback(Input):
    """An order whose vouchers are given back."""

    model_config = with_examples({"order_ref": "T-20261111-1", "reason": "取消订单"})

    order_ref: OrderRef
    reason: Line | None = Field(default=None, description="Why, for the record.")


class RedemptionRollback(Input):
    """Why one use is given back."""

    model_config = with_examples({"reason": "取消订单"})

    reason: Line | None = Field(default=None, description="Why, for the record.")


class VoucherRedemption(Wire):
    """One use of a voucher: set aside, redeemed, or over."""

    id: ResourceId
    campaign_id: UUID = Field(description="Of which campaign.")
    voucher_id: UUID = Field(description="Of which voucher.")
    customer_id: UUID | None = Field(description="By whom; null when nobody was named.")
    session_id: str | None = Field(description="The checkout.")
    order_ref: str | None = Field(description="The order's number; null while it is only locked.")
    state: UseState = Field(
        description="`locked` for a checkout, `redeemed`, `rolled_back`; `released` by the checkout, `lapsed` when its "
        "time was over. A lock counts until `locked_until`, whatever is written here."
    )
    position: int = Field(description="In which place it applied, from 1.")
    discount: Money = Field(description="What it took off in all.")
    shipping_discount: int = Field(description="Of that, off the freight; minor units.")
    line_discounts: list[int] = Field(
        description="What it took off each line, in the order of the cart; minor units.", examples=[[5000, 0]]
    )
    locked_until: Instant | None = Field(description="Until when it is set aside.")
    redeemed_at: Instant | None = Field(description="When it was redeemed.")
    ended_at: Instant | None = Field(description="When it was given back.")
    reason: str | None = Field(description="Why it was given back.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class VoucherReason(Wire):
    """Why a voucher does not apply."""

    code: str = Field(description="Stable.", examples=["below_minimum_amount"])
    en: str = Field(description="In English.")
    zh: str = Field(description="In Chinese.")


class VoucherGift(Wire):
    """Goods that are free."""

    sku: str = Field(description="What.")
    quantity: int = Field(description="How many pieces.")


class VoucherVerdict(Wire):
    """What becomes of one voucher."""

    code: str = Field(description="As it was sent.")
    verdict: Verdict = Field(
        description="`applicable`; `inapplicable`: not here, by itself; `skipped`: because of another voucher."
    )
    reason: VoucherReason | None = Field(description="Why not; null when it is applicable.")
    voucher_id: UUID | None = Field(description="Which voucher; null when the code means none.")
    campaign_id: UUID | None = Field(description="Of which campaign.")
    kind: VoucherKind | None = Field(description="What it gives.")
    position: int | None = Field(description="In which place it applies, from 1.")
    discount: int = Field(description="What it takes off in all, in minor units.")
    shipping_discount: int = Field(description="Of that, off the freight.")
    line_discounts: list[int] = Field(description="What it takes off each line, in the order of the cart.")
    gift: VoucherGift | None = Field(description="What is free; add it to the cart if it is not there.")


class VoucherValidation(Wire):
    """What vouchers do to a cart; all amounts in minor units of its currency."""

    currency: str = Field(description="ISO 4217 code.")
    subtotal: int = Field(description="What the lines cost.")
    shipping: int | None = Field(description="Freight as sent.")
    discount: int = Field(description="What all applicable vouchers take off.")
    total: int = Field(description="Lines and freight less the discount; never below 0.")
    vouchers: list[VoucherVerdict] = Field(description="One for each code, in the order sent.")


class VoucherReleased(Wire):
    """How many vouchers are free again."""

    released: int = Field(description="Vouchers that the checkout had locked.")
