"""Made-up messages of the shape Shopify sends, and their signature."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

SECRET = "shpss_demo_secret_of_nobody"  # noqa: S105 - signs the demo's own messages to itself


@dataclass(frozen=True)
class Webhook:
    """One message: its id, topic and body."""

    id: str
    topic: str
    body: bytes

    def headers(self, secret: str = SECRET) -> dict[str, str]:
        """Return the headers Shopify would send."""
        signature = base64.b64encode(hmac.digest(secret.encode(), self.body, hashlib.sha256)).decode()
        return {
            "content-type": "application/json",
            "x-shopify-topic": self.topic,
            "x-shopify-webhook-id": self.id,
            "x-shopify-hmac-sha256": signature,
        }


def _order(number: int, *, status: str, minute: int, refunds: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    buyer = number % 4
    return {
        "id": 820_000_000_000 + number,
        "currency": "USD",
        "total_price": f"{20 + number}.50",
        "total_discounts": "0.00",
        "financial_status": status,
        "fulfillment_status": None,
        "cancelled_at": None,
        "created_at": f"1998-06-{10 + number:02}T10:00:00-04:00",
        "updated_at": f"1998-06-{10 + number:02}T10:{minute:02}:00-04:00",
        "email": f"buyer{buyer}@example.com",
        "customer": {
            "id": 700_000 + buyer,
            "first_name": "明",
            "last_name": "王",
            "email": f"buyer{buyer}@example.com",
        },
        "line_items": [{"title": "CD", "quantity": 1, "price": f"{20 + number}.50", "sku": f"CD-{number}"}],
        "shipping_lines": [],
        "refunds": refunds or [],
    }


ORDERS = 8
CUSTOMERS = 4
REFUNDED = 3
REFUND_CENTS = 1000


def messages() -> list[Webhook]:
    """Return the messages of eight orders, with repeats, a late one, and a refund that comes before its order.

    Each order is created unpaid and then paid; for every other one the older message arrives last.
    """
    refund = {
        "id": 509_000 + REFUNDED,
        "order_id": 820_000_000_000 + REFUNDED,
        "created_at": "1998-06-20T10:00:00-04:00",
        "note": "scratched",
        "transactions": [{"amount": "10.00", "kind": "refund", "status": "success", "currency": "USD"}],
    }
    sent = []
    for number in range(1, ORDERS + 1):
        created = ("orders/create", _order(number, status="pending", minute=1))
        paid = ("orders/paid", _order(number, status="paid", minute=2))
        sent += [created, paid] if number % 2 else [paid, created]
    sent.append(("refunds/create", refund))
    found = [
        Webhook(f"demo-{index}", topic, json.dumps(payload, ensure_ascii=False).encode())
        for index, (topic, payload) in enumerate(sent)
    ]
    return [*found, *found[:5]]


def spend() -> int:
    """Return what the eight orders cost, in cents."""
    return sum((20 + number) * 100 + 50 for number in range(1, ORDERS + 1))


def points() -> int:
    """Return the points the eight orders earn: one per whole dollar, less the refunded part of one order's.

    A refund takes back the grant's share of the money, rounded down (docs/domains/loyalty.md).
    """
    granted, paid = 20 + REFUNDED, (20 + REFUNDED) * 100 + 50
    return sum(20 + number for number in range(1, ORDERS + 1)) - granted * REFUND_CENTS // paid
