"""Shopify's webhooks as our commands (Admin API webhook payloads of 2024-01 and later; older ones fit too)."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from crm_api.core.money import PositiveMoney, to_minor
from crm_api.core.text import as_line
from crm_api.integrations.commands import Buyer, Command, Contact, Ignore, RecordRefund, SeeCustomer, UpsertOrder
from crm_api.orders.models import OrderLineInput, OrderStatus, RefundCreate

PLATFORM: Final = "shopify"


class _Payload(BaseModel):
    """The fields we read; Shopify sends many more and may add some."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)


class _Customer(_Payload):
    id: str
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None


class _Line(_Payload):
    id: str = ""
    title: str
    quantity: int = 1
    price: str
    sku: str | None = None
    total_discount: str = "0"


class _Transaction(_Payload):
    amount: str
    kind: str
    status: str = "success"
    currency: str | None = None


class _RefundedLine(_Payload):
    line_item_id: str
    quantity: int = 0


class _Refund(_Payload):
    id: str
    order_id: str
    created_at: AwareDatetime
    note: str | None = None
    transactions: list[_Transaction] = Field(default_factory=list)
    refund_line_items: list[_RefundedLine] = Field(default_factory=list)


class _Shipping(_Payload):
    price: str = "0"


class _Order(_Payload):
    id: str
    currency: str
    total_price: str
    total_discounts: str = "0"
    financial_status: str | None = None
    fulfillment_status: str | None = None
    cancelled_at: AwareDatetime | None = None
    created_at: AwareDatetime
    processed_at: AwareDatetime | None = None
    updated_at: AwareDatetime
    email: str | None = None
    phone: str | None = None
    note: str | None = None
    customer: _Customer | None = None
    line_items: list[_Line] = Field(default_factory=list)
    shipping_lines: list[_Shipping] = Field(default_factory=list)
    refunds: list[_Refund] = Field(default_factory=list)


def read(topic: str, payload: Mapping[str, Any]) -> Command:
    """Return what a message asks for.

    Args:
        topic: X-Shopify-Topic.
        payload: the body.

    Raises:
        pydantic.ValidationError: the body is not what the topic promises.
        ValueError: an amount is no number.

    """
    if topic.startswith("orders/") and topic != "orders/delete":
        return _order(_Order.model_validate(payload))
    if topic == "refunds/create":
        return _refund(_Refund.model_validate(payload))
    if topic in {"customers/create", "customers/update"}:
        return SeeCustomer(_buyer(_Customer.model_validate(payload)))
    return Ignore(f"topic {topic} is not used")


def _order(order: _Order) -> UpsertOrder:
    currency = order.currency

    def money(text: str) -> PositiveMoney:
        return PositiveMoney(amount=to_minor(text, currency), currency=currency)

    refunded = sum(
        to_minor(each.amount, currency)
        for refund in order.refunds
        for each in refund.transactions
        if each.kind == "refund" and each.status == "success"
    )
    status = _status(order)
    returned = Counter[str]()
    for refund in order.refunds:
        for each in refund.refund_line_items:
            returned[each.line_item_id] += each.quantity
    lines = [
        OrderLineInput(
            title=as_line(line.title)[:200].strip() or "-",
            quantity=max(1, line.quantity),
            refunded_quantity=min(max(1, line.quantity), max(0, returned[line.id])),
            unit_price=money(line.price),
            amount=PositiveMoney(
                amount=max(0, to_minor(line.price, currency) * line.quantity - to_minor(line.total_discount, currency)),
                currency=currency,
            ),
            sku=line.sku or None,
        )
        for line in order.line_items
    ]
    shipping = sum(to_minor(each.price, currency) for each in order.shipping_lines)
    return UpsertOrder(
        PLATFORM,
        order.id,
        _buyer(order.customer) if order.customer else _guest(order),
        {
            "status": status,
            "total": money(order.total_price),
            "discount": money(order.total_discounts),
            "shipping": PositiveMoney(amount=shipping, currency=currency),
            "refunded": PositiveMoney(amount=refunded, currency=currency) if refunded else None,
            "placed_at": order.processed_at or order.created_at,
            "platform_updated_at": order.updated_at,
            "lines": lines or None,
            "buyer_note": order.note,
            "channel": "shopify",
        },
    )


def _status(order: _Order) -> OrderStatus:
    if order.cancelled_at is not None or order.financial_status == "voided":
        return "cancelled"
    if order.financial_status == "refunded":
        return "refunded"
    if order.financial_status in {"paid", "partially_refunded"}:
        return "shipped" if order.fulfillment_status == "fulfilled" else "paid"
    return "pending_payment"


def _buyer(customer: _Customer) -> Buyer:
    name = as_line(" ".join(part for part in (customer.first_name, customer.last_name) if part))
    contacts = [
        Contact(kind, value) for kind, value in (("email", customer.email), ("mobile", customer.phone)) if value
    ]
    return Buyer(PLATFORM, customer.id, name or customer.email or f"Shopify {customer.id}", tuple(contacts))


def _guest(order: _Order) -> Buyer:
    # A guest has no id of their own; the same address is taken for the same person.
    known = order.email or order.phone
    return Buyer(PLATFORM, "".join(f"guest:{known or order.id}".split()), known or "guest", ())


def _refund(refund: _Refund) -> Command:
    paid_back = [each for each in refund.transactions if each.kind == "refund" and each.status == "success"]
    currency = next((each.currency for each in paid_back if each.currency), None)
    if currency is None:
        return Ignore("no money was paid back")
    amount = sum(to_minor(each.amount, currency) for each in paid_back)
    return RecordRefund(
        PLATFORM,
        refund.order_id,
        RefundCreate(
            external_id=refund.id,
            amount=PositiveMoney(amount=amount, currency=currency),
            reason=as_line(refund.note or "")[:200].strip() or None,
            refunded_at=refund.created_at,
        ),
    )
