"""Payloads of the shape Shopify sends, made up here."""

import base64
import hashlib
import hmac
import json
from typing import Any

SECRET = "shpss_made_up_for_tests"


def order(order_id: int = 5001, **changes: Any) -> dict[str, Any]:
    """Return an order of two positions for CNY 259.00, paid."""
    return {
        "id": order_id,
        "currency": "CNY",
        "total_price": "259.00",
        "total_discounts": "10.00",
        "financial_status": "paid",
        "fulfillment_status": None,
        "cancelled_at": None,
        "created_at": "2026-11-01T10:00:00+08:00",
        "processed_at": "2026-11-01T10:00:00+08:00",
        "updated_at": "2026-11-01T10:05:00+08:00",
        "email": "li@example.com",
        "customer": {
            "id": 9001,
            "first_name": "雷",
            "last_name": "李",
            "email": "li@example.com",
            "phone": "+8613912345678",
        },
        "line_items": [
            {
                "id": 31,
                "title": "青岛大虾 500g",
                "quantity": 2,
                "price": "99.50",
                "sku": "PRAWN-500",
                "total_discount": "0.00",
            },
            {"id": 32, "title": "礼盒", "quantity": 1, "price": "60.00", "sku": None, "total_discount": "10.00"},
        ],
        "shipping_lines": [{"price": "10.00"}],
        "refunds": [],
        "an_unknown_field": {"of": ["tomorrow"]},
        **changes,
    }


def refund(refund_id: int = 7001, order_id: int = 5001, amount: str = "60.00") -> dict[str, Any]:
    """Return a refund of a part of it."""
    return {
        "id": refund_id,
        "order_id": order_id,
        "created_at": "2026-11-02T10:00:00+08:00",
        "note": "broken",
        "transactions": [{"amount": amount, "kind": "refund", "status": "success", "currency": "CNY"}],
        "refund_line_items": [{"line_item_id": 32, "quantity": 1}],
    }


def shopify(payload: Any, topic: str, webhook_id: str, *, secret: str = SECRET) -> tuple[bytes, dict[str, str]]:
    """Return body and headers as Shopify would send them."""
    body = json.dumps(payload, ensure_ascii=False).encode()
    signature = base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()
    return body, {
        "content-type": "application/json",
        "x-shopify-topic": topic,
        "x-shopify-webhook-id": webhook_id,
        "x-shopify-hmac-sha256": signature,
    }
