"""What messages say about an order's points. `earning` hears them and lets its rules say how many."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from crm_api.core.messages import Message
from crm_api.loyalty.accruals import OrderNews

ORDER_NEWS = frozenset(
    {"order.paid", "order.updated", "order.completed", "order.refunded", "order.cancelled", "order.withdrawn"}
)
"""Types of messages that points follow."""


def news_of(message: Message) -> OrderNews | None:
    """Return what a message says about an order's points; None when it says nothing of them or has no customer."""
    payload: Mapping[str, Any] = message.payload
    if not payload.get("customer_id"):
        return None
    moved = bool(payload.get("previous_customer_id"))
    payment = payload if message.type == "order.paid" else payload.get("payment")
    if message.type == "order.updated" and not moved and payment is None:
        return None
    news = OrderNews(UUID(payload["order_id"]), UUID(payload["customer_id"]), moved=moved)
    if payment is not None:
        news = _paid(news, payment, message)
    if message.type in {"order.cancelled", "order.withdrawn"}:
        return replace(news, cancelled=True)
    if message.type == "order.refunded":
        return replace(news, refunded_amount=max(0, int(payload["refunded_amount"])))
    if message.type == "order.completed":
        return replace(news, completed_at=_moment(payload.get("completed_at")) or message.occurred_at)
    return news


def _paid(news: OrderNews, payment: Mapping[str, Any], message: Message) -> OrderNews:
    return replace(
        news,
        paid_amount=max(0, int(payment["amount"])),
        currency=payment["currency"],
        paid_at=_moment(payment.get("paid_at") or payment.get("placed_at")) or message.occurred_at,
        completed_at=_moment(payment.get("completed_at")),
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
