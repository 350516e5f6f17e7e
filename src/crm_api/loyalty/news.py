"""What messages say about an order's points. `earning` hears them and lets its rules say how many."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from crm_api.core.messages import Message
from crm_api.loyalty.accruals import OrderNews

ORDER_NEWS = frozenset({"order.paid", "order.completed", "order.refunded", "order.cancelled", "order.withdrawn"})
"""Types of messages that points follow."""


def news_of(message: Message) -> OrderNews | None:
    """Return what a message says about an order's points; None when it has no customer and so earns none."""
    payload: Mapping[str, Any] = message.payload
    if not payload.get("customer_id"):
        return None
    order = UUID(payload["order_id"]), UUID(payload["customer_id"])
    if message.type in {"order.cancelled", "order.withdrawn"}:
        return OrderNews(*order, cancelled=True)
    if message.type == "order.refunded":
        return OrderNews(*order, refunded_amount=max(0, int(payload["refunded_amount"])))
    completed_at = _moment(payload.get("completed_at"))
    if message.type == "order.completed":
        return OrderNews(*order, completed_at=completed_at or message.occurred_at)
    paid_at = _moment(payload.get("paid_at") or payload.get("placed_at")) or message.occurred_at
    return OrderNews(
        *order,
        paid_amount=max(0, int(payload["amount"])),
        currency=payload["currency"],
        paid_at=paid_at,
        completed_at=completed_at,
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
