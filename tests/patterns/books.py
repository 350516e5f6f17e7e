"""Helpers of the pattern tests: histories put in at once, and patterns worked out by hand."""

import itertools
import statistics
from collections import Counter, defaultdict
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from math import ceil
from uuid import UUID
from zoneinfo import ZoneInfo

from crm_api.core.actor import Actor
from crm_api.core.ids import new_id
from crm_api.orders.repository import OrderRepository

NOON = datetime(2026, 3, 2, 4, tzinfo=UTC)
"""Noon in Shanghai."""
ZONE = ZoneInfo("Asia/Shanghai")
BOUGHT = {"paid", "shipped", "completed"}


@dataclass
class Line:
    """A position; ``amount`` is what it costs after a discount of its own."""

    product: UUID | None = None
    category: str | None = None
    quantity: int = 1
    returned: int = 0
    price: int = 1000
    cut: int = 0

    @property
    def amount(self):
        return max(0, self.price * self.quantity - self.cut)

    @property
    def value(self):
        """What was kept of it, in minor units."""
        return rounded(Decimal(self.amount) * (self.quantity - self.returned) / self.quantity)


@dataclass
class Order:
    """An order; its total follows from its lines unless it has none."""

    customer: UUID
    at: datetime = NOON
    status: str = "paid"
    currency: str = "CNY"
    discount: int = 0
    inside: bool = False  # the discount only adds up what the lines say
    refunded: int = 0
    bare: int = 1000  # total of an order without lines
    lines: list[Line] = field(default_factory=list)
    id: UUID = field(default_factory=new_id)

    @property
    def total(self):
        goods = sum(line.amount for line in self.lines) if self.lines else self.bare
        return goods if self.inside else max(0, goods - self.discount)

    @property
    def paid(self):
        return self.total if self.status in BOUGHT | {"refunded"} else 0

    @property
    def paid_back(self):
        return self.paid if self.status == "refunded" else min(self.refunded, self.paid)


class _Undone(Exception):
    """Ends a unit without a trace."""


@asynccontextmanager
async def rolled_back(database, tenant):
    """Open a write unit of which nothing stays."""
    with suppress(_Undone):
        async with database.write(Actor.system(tenant.id)) as unit:
            yield unit
            raise _Undone


def rounded(number):
    return int(Decimal(number).quantize(Decimal(1), ROUND_HALF_UP))


async def make_customers(unit, number):
    ids = sorted(new_id() for _ in range(number))
    await unit.connection.execute(
        "INSERT INTO customers (tenant_id, id, name) SELECT $1, id, 'x' FROM unnest($2::uuid[]) AS g (id)",
        unit.tenant_id,
        ids,
    )
    return ids


async def make_products(unit, categories):
    """Make a product per category, called ``SKU-<id>``; returns their ids."""
    ids = sorted(new_id() for _ in categories)
    await unit.connection.execute(
        "INSERT INTO products (tenant_id, id, sku, name, category) "
        "SELECT $1, id, 'SKU-' || id, 'x', category FROM unnest($2::uuid[], $3::text[]) AS g (id, category)",
        unit.tenant_id,
        ids,
        categories,
    )
    return ids


async def put(unit, orders):
    """Write orders with their lines as they are, and add up the customers' facts."""
    await unit.connection.executemany(
        "INSERT INTO orders (tenant_id, id, customer_id, platform, external_id, status, reported_status, currency, "
        "total_amount, discount_amount, paid_amount, refunded_amount, placed_at, categories) "
        "VALUES ($1, $2, $3, 'shop', $4, $5, $5, $6, $7, $8, $9, $10, $11, $12)",
        [
            (
                unit.tenant_id,
                o.id,
                o.customer,
                str(o.id),
                o.status,
                o.currency,
                o.total,
                o.discount,
                o.paid,
                o.paid_back,
                o.at,
                sorted({line.category for line in o.lines if line.category}),
            )
            for o in orders
        ],
    )
    await unit.connection.executemany(
        "INSERT INTO order_lines (tenant_id, id, order_id, position, title, quantity, refunded_quantity, "
        "unit_price_amount, amount, currency, product_id, category) "
        "VALUES ($1, $2, $3, $4, 'x', $5, $6, $7, $8, $9, $10, $11)",
        [
            (
                unit.tenant_id,
                new_id(),
                o.id,
                position,
                line.quantity,
                line.returned,
                line.price,
                line.amount,
                o.currency,
                line.product,
                line.category,
            )
            for o in orders
            for position, line in enumerate(o.lines)
        ],
    )
    await OrderRepository(unit).refresh_facts({o.customer for o in orders})


# -- one customer, by hand ---------------------------------------------------------------------------------------------


def expected(orders, settings, own="CNY"):
    """Return the figures of one customer's orders."""
    bought = [o for o in orders if o.status in BOUGHT]
    main = main_currency(orders, own)
    days = sorted({o.at.astimezone(ZONE).date() for o in bought})
    gaps = sorted((b - a).days for a, b in itertools.pairwise(days))
    values = sorted(o.paid - o.paid_back for o in bought if o.currency == main)
    low, middle, high = quartiles(values) if values else (None,) * 3
    told = {
        "purchases": len(bought),
        "purchase_days": len(days),
        "low": low if low is None else rounded(low),
        "median": middle if middle is None else rounded(middle),
        "high": high if high is None else rounded(high),
    }
    return told | cycle(days, gaps, settings) | prices(bought, main, len(days), settings)


def main_currency(orders, own):
    """Return the currency that purchase facts are in."""
    bought, seen = Counter(o.currency for o in orders if o.status in BOUGHT), {o.currency for o in orders}
    if not seen:
        return None
    if bought[own]:
        return own
    return min(seen, key=lambda c: (-bought[c], c != own, c))


def quartiles(values):
    """Return the three by linear interpolation (type 7)."""
    if len(values) == 1:
        return [Decimal(values[0])] * 3
    return statistics.quantiles([Decimal(v) for v in values], n=4, method="inclusive")


def cycle(days, gaps, settings):
    names = ("cycle_days", "cycle_low_days", "cycle_high_days", "expected", "from", "to", "coverage")
    if len(days) < settings.min_purchase_days:
        return dict.fromkeys(names)
    low, middle, high = quartiles(gaps)
    n = len(gaps)
    # The widest pair of order statistics that leaves out no more than wanted; at least the shortest and longest gap.
    j = 1
    while n + 1 - 2 * (j + 1) > 0 and (n + 1 - 2 * (j + 1)) * 100 >= settings.coverage_percent * (n + 1):
        j += 1
    last = days[-1]
    figures = (
        float(middle),
        float(low),
        float(high),
        last + timedelta(days=rounded(middle)),
        last + timedelta(days=gaps[j - 1]),
        last + timedelta(days=gaps[n - j]),
        (n + 1 - 2 * j) / (n + 1),
    )
    return dict(zip(names, figures, strict=True))


def positions(order):
    """Yield (value, on discount) of the kept lines of a purchase; one without lines is one line."""
    if not order.lines:
        yield order.paid - order.paid_back, order.discount > 0
    cuts, goods = sum(min(x.cut, x.price * x.quantity) for x in order.lines), sum(x.amount for x in order.lines)
    whole = order.discount > 0 and (order.discount > cuts or order.total < goods)
    for line in order.lines:
        if line.quantity > line.returned:
            yield line.value, whole or (line.cut > 0 and line.price > 0)


def prices(bought, main, days, settings):
    every = [each for order in bought for each in positions(order)]
    spend = [each for order in bought if order.currency == main for each in positions(order)]
    total, cut = sum(v for v, _ in spend), sum(v for v, cheaper in spend if cheaper)
    level = None
    if days >= settings.min_purchase_days and total:
        level = "high" if cut * 100 >= settings.high_percent * total else "low"
        if level == "low" and cut * 100 >= settings.medium_percent * total:
            level = "medium"
    return {
        "line_share": round(sum(cheaper for _, cheaper in every) / len(every), 6) if every else None,
        "spend_share": round(cut / total, 6) if total else None,
        "level": level,
    }


def favourites(orders, settings, own="CNY"):
    """Return (category, score, share of lines, share of spend), the favourite first."""
    main = main_currency(orders, own)
    lines = [
        (line, o)
        for o in orders
        if o.status in BOUGHT
        for line in o.lines
        if line.category and line.quantity > line.returned
    ]
    latest = max((o.at for _, o in lines), default=None)
    weights, spend = defaultdict(float), defaultdict(float)
    for line, o in lines:
        weight = 0.5 ** ((latest - o.at).total_seconds() / 86400 / settings.half_life_days)
        weights[line.category] += weight
        spend[line.category] += weight * line.value if o.currency == main else 0
    found = []
    for category, weight in weights.items():
        share = weight / sum(weights.values())
        paid = spend[category] / sum(spend.values()) if sum(spend.values()) else None
        found.append((category, (share + (share if paid is None else paid)) / 2, share, paid))
    return sorted(found, key=lambda each: (-round(each[1], 6), each[0].encode()))[:5]


# -- pairs, by hand ----------------------------------------------------------------------------------------------------


def pairs(orders, basis, kind, as_of, settings):
    """Return (one, other) → (baskets, with one, with other, with both, support, confidence, lift)."""
    baskets = defaultdict(set)
    for o in orders:
        if o.status in BOUGHT and as_of - timedelta(days=settings.basket_days) <= o.at < as_of:
            for line in o.lines:
                item = line.product if kind == "product" else line.category
                if item is not None and line.quantity > line.returned:
                    baskets[o.id if basis == "order" else o.customer].add(item)
    n = len(baskets)
    least = max(settings.min_baskets, ceil(Decimal(str(settings.min_support)) * n))
    single = Counter(item for items in baskets.values() for item in items)
    both = Counter(pair for items in baskets.values() for pair in itertools.permutations(items, 2))
    return {
        (a, b): (n, single[a], single[b], k, k / n, k / single[a], k * n / (single[a] * single[b]))
        for (a, b), k in both.items()
        if k >= least
    }
