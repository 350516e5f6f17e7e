"""Points follow orders, and time."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from crm_api.accounts.service import all_tenants
from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from crm_api.core.work import Schedule, Subscriber
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.loyalty.accruals import OrderNews
from crm_api.loyalty.service import BATCH, LoyaltyService

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


async def follow_orders(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Grant and take back points as orders are paid, refunded and cancelled.

    One subscriber for all, so that one cursor orders them. They come by their transactions' ids, which is nearly
    but not always how they happened (see the relay): the accrual keeps what it was told, and any order ends alike.
    """
    news = [each for each in map(news_of, messages) if each is not None]
    await LoyaltyService(unit).take_in(news)


async def settle(database: Database) -> None:
    """Release pending points and end expired ones, tenant by tenant; two workers at once do no harm."""
    async with database.system() as connection:
        tenants = await all_tenants(connection)
    for tenant in tenants:
        actor = Actor.system(tenant.id, "loyalty.settle")
        while await database.run(actor, lambda unit: LoyaltyService(unit).settle_due()) >= BATCH:
            pass


SUBSCRIBERS = [
    Subscriber("loyalty", ORDER_NEWS, follow_orders),
]
SCHEDULES = [Schedule("loyalty.settle", "*/5 * * * *", settle)]
