"""A shop whose customers earn points: short ways to say what happens to it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from crm_api.core.clock import FixedClock
from crm_api.core.ids import new_id
from crm_api.core.messages import Message
from crm_api.db.pool import Database
from crm_api.earning.jobs import follow_orders
from crm_api.loyalty.models import AdjustmentCreate, BalanceQuery, RedemptionCreate, ReversalCreate
from crm_api.loyalty.repository import drift
from crm_api.loyalty.review_service import ReviewService
from crm_api.loyalty.service import LoyaltyService, OrderNews, Source
from tests.support.api import TestTenant

START = datetime(2026, 1, 1, 4, 0, tzinfo=UTC)
"""Noon in Shanghai."""


def paid(tenant_id, customer_id, order_id, amount, *, at=START, currency="CNY"):
    payload = {
        "order_id": str(order_id),
        "customer_id": str(customer_id),
        "amount": amount,
        "currency": currency,
        "placed_at": at.isoformat(),
        "paid_at": at.isoformat(),
    }
    return Message(new_id(), tenant_id, "order.paid", order_id, payload, at)


def refunded(tenant_id, customer_id, order_id, total, *, at=START):
    payload = {"order_id": str(order_id), "customer_id": str(customer_id), "refunded_amount": total}
    return Message(new_id(), tenant_id, "order.refunded", order_id, payload, at)


def cancelled(tenant_id, customer_id, order_id, *, at=START):
    payload = {"order_id": str(order_id), "customer_id": str(customer_id)}
    return Message(new_id(), tenant_id, "order.cancelled", order_id, payload, at)


@dataclass
class Shop:
    """A tenant, its database and its clock."""

    database: Database
    tenant: TestTenant
    clock: FixedClock = field(default_factory=lambda: FixedClock(START))

    def __post_init__(self):
        self.database.clock = self.clock

    async def run(self, work):
        return await self.database.run(self.tenant.actor, work)

    async def programme(self, **changes):
        """Change the default programme."""
        sets = ", ".join(f"{name} = ${n}" for n, name in enumerate(changes, 2))
        values = [Decimal(v) if name == "points_per_unit" else v for name, v in changes.items()]
        sql = f"UPDATE loyalty_programmes SET {sets} WHERE tenant_id = $1 AND is_default"
        await self.run(lambda unit: unit.connection.execute(sql, self.tenant.id, *values))

    async def customer(self, points=0):
        customer_id = new_id()
        sql = "INSERT INTO customers (tenant_id, id, name) VALUES ($1, $2, 'somebody')"
        await self.run(lambda unit: unit.connection.execute(sql, self.tenant.id, customer_id))
        if points:
            await self.adjust(customer_id, points)
        return customer_id

    async def hear(self, *messages):
        await self.run(lambda unit: follow_orders(unit, messages))

    async def pay(self, customer_id, amount, order_id=None, **more):
        order_id = order_id or new_id()
        await self.hear(paid(self.tenant.id, customer_id, order_id, amount, **{"at": self.clock.now(), **more}))
        return order_id

    async def refund(self, customer_id, order_id, total):
        await self.hear(refunded(self.tenant.id, customer_id, order_id, total))

    async def cancel(self, customer_id, order_id):
        await self.hear(cancelled(self.tenant.id, customer_id, order_id))

    async def redeem(self, customer_id, points, key=None) -> UUID:
        data = RedemptionCreate(points=points, reason="mug")
        return await self.run(lambda unit: LoyaltyService(unit).redeem(customer_id, data, key=key))

    async def adjust(self, customer_id, points, key=None) -> UUID:
        data = AdjustmentCreate(points=points, reason="goodwill")
        return await self.run(lambda unit: LoyaltyService(unit).adjust(customer_id, data, key=key))

    async def restore(self, redemption_id):
        return await self.run(lambda unit: LoyaltyService(unit).reverse_redemption(redemption_id, ReversalCreate()))

    async def news(self, customer_id, order_id, **said):
        """Tell the ledger of an order itself, past the earning rules."""
        news = OrderNews(order_id, customer_id, **said)
        await self.run(lambda unit: LoyaltyService(unit).take_in([news]))

    async def grant(self, customer_id, points, key=None, **more) -> UUID:
        named = {"key": key or str(new_id()), "source": Source("reward", new_id()), **more}
        return await self.run(lambda unit: LoyaltyService(unit).grant(customer_id, points, **named))

    async def release(self, grant_id, at=None):
        await self.run(lambda unit: LoyaltyService(unit).release(grant_id, at=at))

    async def take_back(self, grant_id, points=None, key=None) -> UUID:
        named = {"key": key or str(new_id())}
        return await self.run(lambda unit: LoyaltyService(unit).take_back(grant_id, points, **named))

    async def hold(self, customer_id, points, **more) -> UUID:
        return await self.run(lambda unit: LoyaltyService(unit).hold(customer_id, points, **more))

    async def post(self, hold_id, points=None, **more):
        return await self.run(lambda unit: LoyaltyService(unit).post_hold(hold_id, points, **more))

    async def void(self, hold_id):
        return await self.run(lambda unit: LoyaltyService(unit).void_hold(hold_id))

    async def give_back(self, hold_id, points=None):
        return await self.run(lambda unit: LoyaltyService(unit).reverse_hold(hold_id, points))

    async def transfer(self, giver, taker, points, key=None) -> UUID:
        return await self.run(lambda unit: LoyaltyService(unit).transfer(giver, taker, points, key=key))

    async def approve(self, review_id):
        return await self.run(lambda unit: ReviewService(unit).approve(review_id))

    async def waive(self, review_id):
        await self.run(lambda unit: ReviewService(unit).waive(review_id))

    async def reviews(self, state="open"):
        rows = await self.rows(
            "SELECT id, points FROM loyalty_reviews WHERE tenant_id = $1 AND state = $2 ORDER BY id",
            self.tenant.id,
            state,
        )
        return [tuple(row) for row in rows]

    async def let_go(self):
        """Return what refunds let go and what has not come back of it, by customer."""
        rows = await self.rows(
            "SELECT w.customer_id, sum(r.points - r.recovered)::bigint FROM loyalty_reviews r "
            "JOIN loyalty_wallets w ON w.id = r.wallet_id WHERE r.tenant_id = $1 AND r.state = 'let_go' GROUP BY 1",
            self.tenant.id,
        )
        return dict(tuple(row) for row in rows)

    async def balance_at(self, customer_id, at):
        """Return available, pending, held, debt at a moment."""
        async with self.database.read(self.tenant.actor) as unit:
            found = await LoyaltyService(unit).balance_at(customer_id, BalanceQuery(at=at))
        return found.available, found.pending, found.held, found.debt

    async def hold_state(self, hold_id):
        [row] = await self.rows("SELECT state, points, posted, reversed FROM loyalty_holds WHERE id = $1", hold_id)
        return tuple(row)

    async def settle(self, limit=500):
        return await self.run(lambda unit: LoyaltyService(unit).settle_due(limit))

    async def rows(self, sql, *values):
        return await self.run(lambda unit: unit.connection.fetch(sql, *values))

    async def balance(self, customer_id):
        """Return available, pending, held, debt."""
        [row] = await self.rows(
            "SELECT available, pending, held, debt FROM loyalty_accounts WHERE tenant_id = $1 AND id = $2",
            self.tenant.id,
            customer_id,
        )
        return tuple(row)

    async def history(self, customer_id):
        rows = await self.rows(
            "SELECT t.type, t.points FROM loyalty_transactions t JOIN loyalty_wallets w ON w.id = t.wallet_id "
            "WHERE w.customer_id = $1 ORDER BY t.sequence",
            customer_id,
        )
        return [tuple(row) for row in rows]

    async def accounts(self, customer_id):
        """Return the sum of entries by account."""
        rows = await self.rows(
            "SELECT e.account, sum(e.points)::bigint FROM loyalty_entries e "
            "JOIN loyalty_transactions t ON t.id = e.transaction_id JOIN loyalty_wallets w ON w.id = t.wallet_id "
            "WHERE w.customer_id = $1 GROUP BY e.account",
            customer_id,
        )
        return dict(tuple(row) for row in rows)

    async def lots(self, customer_id):
        rows = await self.rows(
            "SELECT l.state, l.granted, l.remaining FROM loyalty_lots l JOIN loyalty_wallets w ON w.id = l.wallet_id "
            "WHERE w.customer_id = $1 ORDER BY l.id",
            customer_id,
        )
        return [tuple(row) for row in rows]

    async def drift(self):
        return await self.run(drift)
