"""Helpers of the order tests: messages, what is stored, and facts added up by brute force."""

import itertools
import statistics
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from crm_api.orders.models import OrderUpsert
from crm_api.orders.service import OrderService

DAY = datetime(2025, 3, 1, 12, tzinfo=UTC)
BOUGHT = {"paid", "shipped", "completed"}


def yuan(amount, currency="CNY"):
    return {"amount": amount, "currency": currency}


def message(customer="c1", *, status="paid", total=10_000, currency="CNY", placed_at=DAY, **fields):
    """Return an order message; the customer is an outside id, a whole reference, or None."""
    if isinstance(customer, str):
        customer = {"external_id": customer}
    buyer = {} if "customer_id" in fields else {"customer": customer}
    return OrderUpsert.model_validate(
        {"status": status, "total": yuan(total, currency), "placed_at": placed_at, **buyer, **fields}
    )


async def put(database, actor, external_id, data, platform="taobao"):
    return await database.run(actor, lambda unit: OrderService(unit).upsert(platform, external_id, data))


async def put_many(database, actor, rows):
    return await database.run(actor, lambda unit: OrderService(unit).upsert_many(rows))


async def refund(database, actor, order_id, data):
    return await database.run(actor, lambda unit: OrderService(unit).refund(order_id, data))


async def rows(database, actor, sql, *arguments):
    """Query inside the tenant; ``$1`` is its id."""
    async with database.read(actor) as unit:
        return [dict(row) for row in await unit.connection.fetch(sql, actor.tenant_id, *arguments)]


async def order(database, actor, order_id):
    (found,) = await rows(database, actor, "SELECT * FROM orders WHERE tenant_id = $1 AND id = $2", order_id)
    return found


async def announced(database, actor, order_id):
    """Return (type, payload) of the messages about an order, oldest first."""
    async with database.system() as connection:
        found = await connection.fetch(
            "SELECT type, payload FROM outbox WHERE tenant_id = $1 AND subject_id = $2 ORDER BY id",
            actor.tenant_id,
            order_id,
        )
    return [(row["type"], row["payload"]) for row in found]


FACTS = """
SELECT i.external_id, f.* FROM customer_purchase_facts f
JOIN customer_identities i ON i.tenant_id = $1 AND i.customer_id = f.customer_id
WHERE f.tenant_id = $1
"""


async def facts(database, actor):
    """Return the kept facts by the customers' outside ids."""
    beside = {"tenant_id", "external_id", "customer_id", "updated_at"}
    return {
        row["external_id"]: {name: value for name, value in row.items() if name not in beside}
        for row in await rows(database, actor, FACTS)
    }


async def brute_force(database, actor, *, zone="Asia/Shanghai", own="CNY"):
    """Return the facts as the orders and lines in the database add up in plain Python."""
    orders = await rows(
        database,
        actor,
        """
        SELECT o.*, i.external_id AS buyer,
               ARRAY(SELECT l.category FROM order_lines l WHERE l.tenant_id = $1 AND l.order_id = o.id) AS seen
        FROM orders o JOIN customer_identities i ON i.tenant_id = $1 AND i.customer_id = o.customer_id
        WHERE o.tenant_id = $1
        """,
    )
    known = {row["external_id"] for row in await rows(database, actor, FACTS)}
    return {buyer: _facts([each for each in orders if each["buyer"] == buyer], ZoneInfo(zone), own) for buyer in known}


def _facts(orders, zone, own):
    bought = [each for each in orders if each["status"] in BOUGHT]
    paid = [each for each in orders if each["status"] in {*BOUGHT, "refunded"}]
    currency = _currency(orders, bought, own)
    in_it = [each for each in bought if each["currency"] == currency]
    kept = [each["paid_amount"] - each["refunded_amount"] for each in in_it]
    days = sorted({each["placed_at"].astimezone(zone).date() for each in bought})
    gaps = [(later - earlier).days for earlier, later in itertools.pairwise(days)]
    tastes = Counter(category for each in bought for category in set(each["seen"]) - {None})
    first = min((each["placed_at"] for each in bought), default=None)
    last = max((each["placed_at"] for each in bought), default=None)
    median = float(statistics.median(gaps)) if gaps else None
    return {
        "order_count": sum(each["status"] != "cancelled" for each in orders),
        "paid_order_count": len(bought),
        "first_order_at": first,
        "last_order_at": last,
        "currency": currency,
        "gross_spend_amount": sum(each["paid_amount"] for each in paid if each["currency"] == currency),
        "net_spend_amount": sum(
            each["paid_amount"] - each["refunded_amount"] for each in paid if each["currency"] == currency
        ),
        "average_order_amount": (
            int((Decimal(sum(kept)) / len(kept)).quantize(Decimal(1), ROUND_HALF_UP)) if kept else None
        ),
        "other_currency_order_count": len(bought) - len(in_it),
        "median_gap_days": median,
        "favourite_categories": sorted(tastes, key=lambda category: (-tastes[category], category))[:3],
        "next_expected_at": None if median is None else last + timedelta(days=median),
    }


def _currency(orders, bought, own):
    counts = Counter(each["currency"] for each in bought)
    if own in counts or not orders:
        return own
    currencies = {each["currency"] for each in orders}
    return min(currencies, key=lambda each: (-counts[each], each != own, each))
