"""Orders: domain models and wire shapes."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import Field

from crm_api.catalogue.models import CategoryPath
from crm_api.core.errors import FieldError
from crm_api.core.models import Input, Instant, Wire
from crm_api.core.money import Money, PositiveMoney
from crm_api.core.text import Line, Prose, Token

OrderStatus = Literal["pending_payment", "paid", "shipped", "completed", "cancelled", "refunded"]
Verdict = Literal["created", "updated", "unchanged", "stale"]

MAX_LINES = 500
MAX_BULK = 5_000
MAX_VERSION = 2**63 - 1


class CustomerReference(Input):
    """The buyer as the order's platform knows them; created when unknown."""

    external_id: Annotated[Token, Field(description="Their id on the order's platform.", examples=["tb_10086"])]
    name: Line | None = Field(default=None, description="Used when the customer has to be created.")


class OrderLineInput(Input):
    """One position of an order."""

    sku: Token | None = Field(default=None, description="Links the line to the product with this SKU, if there is one.")
    title: Annotated[Line, Field(examples=["青岛大虾 500g"])]
    quantity: int = Field(default=1, ge=1, le=1_000_000)
    unit_price: PositiveMoney
    amount: PositiveMoney | None = Field(
        default=None, description="What the position costs after its own discounts; unit price × quantity if left out."
    )
    category: CategoryPath | None = Field(default=None, description="The product's own category if left out.")


class OrderUpsert(Input):
    """An order as its platform has it now.

    The platform's message replaces what is stored unless it is older. Which of two messages is newer is decided by
    ``platform_version``, then ``platform_updated_at``, then how far the status has come.
    """

    customer_id: UUID | None = Field(default=None, description="The customer; or send `customer`.")
    customer: CustomerReference | None = Field(default=None, description="The buyer by their id on this platform.")
    status: OrderStatus
    total: PositiveMoney = Field(description="What the buyer owes in all: goods − discount + shipping.")
    discount: PositiveMoney | None = None
    shipping: PositiveMoney | None = None
    paid: PositiveMoney | None = Field(
        default=None, description="What has been paid; the total for a paid order if left out."
    )
    refunded: PositiveMoney | None = Field(
        default=None, description="What the platform has paid back so far; all that was paid when status is refunded."
    )
    placed_at: Instant
    paid_at: Instant | None = None
    completed_at: Instant | None = None
    platform_version: int | None = Field(
        default=None, ge=0, le=MAX_VERSION, description="Grows with each change on the platform."
    )
    platform_updated_at: Instant | None = Field(default=None, description="When the platform last changed it.")
    lines: list[OrderLineInput] | None = Field(
        default=None, max_length=MAX_LINES, description="All positions; left out, the known ones stay."
    )
    store_id: UUID | None = None
    staff_id: UUID | None = None
    channel: Line | None = Field(default=None, examples=["mini_program"])
    buyer_note: Prose | None = None


class RefundCreate(Input):
    """Money paid back."""

    external_id: Token | None = Field(
        default=None, description="The platform's id of the refund: sending it again changes nothing."
    )
    amount: PositiveMoney
    reason: Line | None = None
    refunded_at: Instant | None = Field(default=None, description="Now, if left out.")


class OrderLine(Wire):
    """One position of an order."""

    id: UUID
    position: int = Field(description="From 1, in the order's own order.")
    sku: str | None
    title: str
    quantity: int
    unit_price: Money
    amount: Money = Field(description="What the position costs after its own discounts.")
    product_id: UUID | None
    category: str | None


class Refund(Wire):
    """Money paid back."""

    id: UUID
    order_id: UUID
    external_id: str
    amount: Money
    reason: str | None
    refunded_at: Instant
    created_at: Instant


class Order(Wire):
    """One purchase, as its platform has it."""

    id: UUID
    customer_id: UUID
    platform: str = Field(examples=["taobao"])
    external_id: str = Field(examples=["T-20261111-1"])
    status: OrderStatus
    total: Money
    discount: Money
    shipping: Money
    paid: Money
    refunded: Money
    placed_at: Instant
    paid_at: Instant | None
    completed_at: Instant | None
    platform_version: int | None
    platform_updated_at: Instant | None
    store_id: UUID | None
    staff_id: UUID | None
    channel: str | None
    buyer_note: str | None
    lines: list[OrderLine]
    refunds: list[Refund]
    version: int
    created_at: Instant
    updated_at: Instant


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
    updated_at: Instant


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
        customer_external_id: the buyer's id there; unknown buyers are created.
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

    """

    platform: str
    external_id: str
    customer_external_id: str
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


@dataclass(frozen=True, slots=True)
class RowVerdict:
    """What became of one row.

    Attributes:
        order_id: the order, None when the row failed.
        verdict: as for a single order, or ``failed``.
        errors: why it failed; pointers name the row's attributes (``/total_amount``).

    """

    order_id: UUID | None
    verdict: Verdict | Literal["failed"]
    errors: tuple[FieldError, ...] = field(default=())


OrderValues = dict[str, Any]
"""The columns of an order, by name."""
