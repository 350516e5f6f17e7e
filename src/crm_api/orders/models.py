"""Orders: domain models and wire shapes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import Field, SkipValidation

from crm_api.catalogue.models import CategoryPath
from crm_api.core.batch import MAX_ITEMS, Mode, Ref
from crm_api.core.errors import FieldError
from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.money import Money, PositiveMoney
from crm_api.core.text import Line, Prose, Slug, Token
from crm_api.customers.models import CustomerRow

OrderStatus = Literal["pending_payment", "paid", "shipped", "completed", "cancelled", "refunded"]
Verdict = Literal["created", "updated", "unchanged", "stale"]

PARTS = ("tax", "paid_by_points", "paid_by_vouchers")
"""Parts of what was paid that only some senders tell; points may leave them out."""
MAX_LINES = 500
MAX_BULK = 5_000
MAX_VERSION = 2**63 - 1


class CustomerReference(Input):
    """The buyer as the order's platform knows them; created when unknown."""

    model_config = with_examples({"external_id": "tb_10086", "name": "王小明"})

    external_id: Annotated[Token, Field(examples=["tb_10086"])] = Field(
        description="Their id on the order's platform. A masked one such as t***b is nobody's: the order gets a buyer "
        "of its own."
    )
    name: Line | None = Field(default=None, description="Used when the customer has to be created.")


class OrderLineInput(Input):
    """One position of an order."""

    model_config = with_examples(
        {"sku": "SKU-1001", "title": "青岛大虾 500g", "quantity": 2, "unit_price": {"amount": 6900, "currency": "CNY"}}
    )

    sku: Token | None = Field(default=None, description="Links the line to the product with this SKU, if there is one.")
    title: Annotated[Line, Field(examples=["青岛大虾 500g"])] = Field(
        description="What was sold, as the platform words it."
    )
    quantity: int = Field(strict=True, default=1, ge=1, le=1_000_000, description="Pieces, from 1.")
    refunded_quantity: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        strict=True,
        description="Pieces of these that were refunded; 0 if left out. The money is told by `refunded` or by refunds.",
    )
    unit_price: PositiveMoney = Field(description="Price of one piece.")
    amount: PositiveMoney | None = Field(
        default=None, description="What the position costs after its own discounts; unit price × quantity if left out."
    )
    category: CategoryPath | None = Field(default=None, description="The product's own category if left out.")


class OrderUpsert(Input):
    """An order as its platform has it now.

    The platform's message replaces what is stored unless it is older. Which of two messages is newer is decided by
    ``platform_version``, then ``platform_updated_at``, then how far the status has come.
    """

    model_config = with_examples(
        {
            "customer": {"external_id": "tb_10086", "name": "王小明"},
            "status": "paid",
            "total": {"amount": 13600, "currency": "CNY"},
            "discount": {"amount": 1000, "currency": "CNY"},
            "shipping": {"amount": 800, "currency": "CNY"},
            "placed_at": "2026-11-11T00:03:20+08:00",
            "paid_at": "2026-11-11T00:04:05+08:00",
            "platform_version": 2,
            "channel": "mini_program",
            "buyer_note": "请周六上午送",
            "lines": [
                {
                    "sku": "SKU-1001",
                    "title": "青岛大虾 500g",
                    "quantity": 2,
                    "unit_price": {"amount": 6900, "currency": "CNY"},
                }
            ],
        },
    )

    customer_id: UUID | None = Field(default=None, description="The customer; or send `customer`.")
    customer: CustomerReference | None = Field(default=None, description="The buyer by their id on this platform.")
    status: OrderStatus = Field(description="How far the order has come.")
    total: PositiveMoney = Field(description="What the buyer owes in all: goods − discount + shipping.")
    discount: PositiveMoney | None = Field(default=None, description="Taken off the goods; 0 if left out.")
    shipping: PositiveMoney | None = Field(default=None, description="Freight the buyer pays; 0 if left out.")
    paid: PositiveMoney | None = Field(
        default=None, description="What has been paid; the total for a paid order if left out."
    )
    tax: PositiveMoney | None = Field(
        default=None, description="Tax in what was paid, where it is told; 0 if left out. Points may leave it out."
    )
    paid_by_points: PositiveMoney | None = Field(
        default=None, description="Part of `paid` that was paid by points; 0 if left out."
    )
    paid_by_vouchers: PositiveMoney | None = Field(
        default=None, description="Part of `paid` that was paid by vouchers; 0 if left out."
    )
    refunded: PositiveMoney | None = Field(
        default=None, description="What the platform has paid back so far; all that was paid when status is refunded."
    )
    placed_at: Instant = Field(description="When the buyer ordered (RFC 3339, any offset).")
    paid_at: Instant | None = Field(default=None, description="When the payment arrived; null before.")
    completed_at: Instant | None = Field(default=None, description="When the buyer had received it all; null before.")
    platform_version: int | None = Field(
        strict=True, default=None, ge=0, le=MAX_VERSION, description="Grows with each change on the platform."
    )
    platform_updated_at: Instant | None = Field(default=None, description="When the platform last changed it.")
    lines: list[OrderLineInput] | None = Field(
        default=None, max_length=MAX_LINES, description="All positions; left out, the known ones stay."
    )
    store_id: UUID | None = Field(default=None, description="The store that sold it.")
    staff_id: UUID | None = Field(default=None, description="Who sold it.")
    channel: Line | None = Field(
        default=None, examples=["mini_program"], description="Where on the platform it was sold."
    )
    buyer_note: Prose | None = Field(default=None, description="What the buyer wrote to the shop.")


class RefundCreate(Input):
    """Money paid back."""

    model_config = with_examples(
        {"external_id": "R-20261112-1", "amount": {"amount": 500, "currency": "CNY"}, "reason": "少发一份"}
    )

    external_id: Token | None = Field(
        default=None, description="The platform's id of the refund: sending it again changes nothing."
    )
    amount: PositiveMoney = Field(description="In the order's currency; all refunds together at most what was paid.")
    reason: Line | None = Field(default=None, description="Why the money went back.")
    refunded_at: Instant | None = Field(default=None, description="Now, if left out.")


class OrderBatchItem(OrderUpsert):
    """An order of a batch, as its platform has it now."""

    model_config = with_examples(
        {
            "ref": "row-17",
            "platform": "taobao",
            "external_id": "T-20261111-1",
            "customer": {"external_id": "tb_10086", "name": "王小明"},
            "status": "paid",
            "total": {"amount": 13600, "currency": "CNY"},
            "placed_at": "2026-11-11T03:20:00Z",
        }
    )

    ref: Ref = None
    platform: Annotated[Slug, Field(examples=["taobao"])] = Field(description="Lower-case name of the platform.")
    external_id: Annotated[Token, Field(examples=["T-20261111-1"])] = Field(description="The order's id there.")

    def order(self) -> OrderUpsert:
        """Return the order alone."""
        given = self.model_fields_set & OrderUpsert.model_fields.keys()
        parts = {name: getattr(self, name) for name in OrderUpsert.model_fields}
        return OrderUpsert.model_construct(_fields_set=given, **parts)


class OrderBatch(Input):
    """Orders as their platforms have them now, up to 1,000."""

    model_config = with_examples(
        {
            "mode": "per_item",
            "items": [
                {
                    "ref": "row-17",
                    "platform": "taobao",
                    "external_id": "T-20261111-1",
                    "customer": {"external_id": "tb_10086", "name": "王小明"},
                    "status": "paid",
                    "total": {"amount": 13600, "currency": "CNY"},
                    "placed_at": "2026-11-11T03:20:00Z",
                }
            ],
        }
    )

    mode: Mode = "all_or_none"
    items: list[SkipValidation[OrderBatchItem]] = Field(
        min_length=1,
        max_length=MAX_ITEMS,
        description="Each as for `PUT /v1/orders/{platform}/{external_id}`, with platform and id inside.",
    )


class OrderLine(Wire):
    """One position of an order."""

    id: ResourceId
    position: int = Field(description="From 1, in the order's own order.")
    sku: str | None = Field(description="As the platform sent it; null when it sent none.")
    title: str = Field(description="What was sold, as the platform words it.")
    quantity: int = Field(description="Pieces.")
    refunded_quantity: int = Field(description="Pieces of these that were refunded.")
    unit_price: Money = Field(description="Price of one piece.")
    amount: Money = Field(description="What the position costs after its own discounts.")
    product_id: UUID | None = Field(description="The product with this SKU; null when the catalogue has none.")
    category: str | None = Field(description="Path from the root of the category tree; null when not known.")


class Refund(Wire):
    """Money paid back."""

    id: ResourceId
    order_id: UUID = Field(description="The order it belongs to.")
    external_id: str = Field(description="The platform's id of the refund, or one made here.")
    amount: Money = Field(description="Money paid back.")
    reason: str | None = Field(description="Why; null when not told.")
    refunded_at: Instant = Field(description="When the money went back.")
    created_at: CreatedAt


class Order(Wire):
    """One purchase, as its platform has it."""

    id: ResourceId
    customer_id: UUID = Field(description="Who bought.")
    platform: str = Field(examples=["taobao"], description="Lower-case name of the platform.")
    external_id: str = Field(examples=["T-20261111-1"], description="The order's id on its platform.")
    status: OrderStatus = Field(description="How far the order has come.")
    total: Money = Field(description="What the buyer owes in all: goods − discount + shipping.")
    discount: Money = Field(description="Taken off the goods.")
    shipping: Money = Field(description="Freight the buyer pays.")
    paid: Money = Field(description="What has been paid.")
    tax: Money = Field(description="Tax in what was paid, where it was told.")
    paid_by_points: Money = Field(description="Part of `paid` that was paid by points.")
    paid_by_vouchers: Money = Field(description="Part of `paid` that was paid by vouchers.")
    refunded: Money = Field(description="What has been paid back so far.")
    placed_at: Instant = Field(description="When the buyer ordered.")
    paid_at: Instant | None = Field(description="When the payment arrived; null before.")
    completed_at: Instant | None = Field(description="When the buyer had received it all; null before.")
    platform_version: int | None = Field(description="Of the message shown here; null when the platform counts none.")
    platform_updated_at: Instant | None = Field(
        description="When the platform last changed it; null when it does not say."
    )
    store_id: UUID | None = Field(description="The store that sold it.")
    staff_id: UUID | None = Field(description="Who sold it.")
    channel: str | None = Field(description="Where on the platform it was sold.")
    buyer_note: str | None = Field(description="What the buyer wrote to the shop.")
    lines: list[OrderLine] = Field(description="All positions, in the order's own order.")
    refunds: list[Refund] = Field(description="Money paid back, each time.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class PurchaseFacts(Wire):
    """What a customer's purchases add up to. A purchase is an order that is paid, shipped or completed."""

    order_count: int = Field(description="Orders, whatever became of them, without the cancelled ones.")
    paid_order_count: int = Field(description="Purchases. Two on one day are two.")
    first_order_at: Instant | None = Field(description="When the first purchase was placed.")
    last_order_at: Instant | None = Field(description="When the latest purchase was placed.")
    gross_spend: Money | None = Field(description="All that was ever paid, in the customer's currency.")
    net_spend: Money | None = Field(description="Gross spend less refunds.")
    average_order_value: Money | None = Field(description="Mean of what purchases brought after refunds.")
    other_currency_order_count: int = Field(
        description="Purchases in other currencies; their amounts are not included."
    )
    median_gap_days: float | None = Field(description="Median days between days with a purchase (tenant's time zone).")
    favourite_categories: list[str] = Field(description="Up to three, by number of purchases.")
    next_expected_at: Instant | None = Field(description="Latest purchase plus the median gap.")
    updated_at: Instant = Field(description="When these figures last changed.")


# -- what services exchange --------------------------------------------------------------------------------------------


class Upserted(NamedTuple):
    """What became of one order message."""

    order_id: UUID
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One row of a bulk write: plain values, amounts in minor units, instants with their offset.

    What is None is not known and leaves what is stored as it is (``paid`` and ``refunded`` follow from the status).

    Attributes:
        platform: lower-case name of the platform.
        external_id: the order's id there.
        customer_external_id: the buyer's id there; unknown buyers are created. None when ``customer`` says who it is.
        placed_at: when it was placed.
        status: one of ``OrderStatus``.
        total_amount: minor units.
        currency: ISO 4217.
        customer_name: for buyers that have to be created; their outside id when None.
        paid_amount: minor units.
        refunded_amount: minor units.
        discount_amount: minor units.
        shipping_amount: minor units.
        paid_at: when it was paid.
        completed_at: when it was completed.
        platform_version: grows with each change on the platform.
        platform_updated_at: when the platform last changed it.
        channel: where it was sold.
        customer: the buyer by our own id, a mobile number or an e-mail address; whom nobody knows by these is created,
            with the name and the source of the row's profile.
        lines: all positions, in the order's currency; None leaves the known ones.

    """

    platform: str
    external_id: str
    customer_external_id: str | None
    placed_at: datetime
    status: str
    total_amount: int
    currency: str
    customer_name: str | None = None
    paid_amount: int | None = None
    refunded_amount: int | None = None
    discount_amount: int | None = None
    shipping_amount: int | None = None
    paid_at: datetime | None = None
    completed_at: datetime | None = None
    platform_version: int | None = None
    platform_updated_at: datetime | None = None
    channel: str | None = None
    customer: CustomerRow | None = None
    lines: tuple[OrderLineInput, ...] | None = None


@dataclass(frozen=True, slots=True)
class RowVerdict:
    """What became of one row.

    Attributes:
        order_id: the order, None when the row failed.
        verdict: as for a single order, or ``failed``; ``duplicate`` is a row that may only create but means a known
            order.
        errors: why it failed; pointers name the row's attributes (``/total_amount``).
        journal: what the row did, for ``OrderService.undo_many`` (see ``crm_api.orders.undo``).

    """

    order_id: UUID | None
    verdict: Verdict | Literal["failed", "duplicate"]
    errors: tuple[FieldError, ...] = field(default=())
    journal: Mapping[str, Any] = field(default_factory=dict)


BulkMode = Literal["upsert", "create_only", "update_only"]


@dataclass(frozen=True, slots=True)
class RefundRow:
    """One refund of a bulk write.

    Attributes:
        platform: lower-case name of the order's platform.
        order_external_id: the order's id there.
        external_id: the refund's id there: the same id again changes nothing.
        amount: decimal number in major units, plain.
        currency: ISO 4217; the order's own when None.
        refunded_at: when the money went back; now when None.
        reason: why.

    """

    platform: str
    order_external_id: str
    external_id: str
    amount: str
    currency: str | None = None
    refunded_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RefundVerdict:
    """What became of one refund row.

    Attributes:
        refund_id: the refund, None when the row failed.
        verdict: what happened.
        errors: why it failed; pointers name the row's attributes.

    """

    refund_id: UUID | None
    verdict: Literal["created", "unchanged", "failed"]
    errors: tuple[FieldError, ...] = field(default=())


OrderValues = dict[str, Any]
"""The columns of an order, by name."""
