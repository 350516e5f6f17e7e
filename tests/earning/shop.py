"""A shop with earning rules: short ways to make rules, to let orders come in and to let subscribers hear of it."""

from dataclasses import dataclass, field
from itertools import count
from typing import Any

from crm_api.core.messages import Message
from crm_api.earning.booking import EarningService
from crm_api.earning.jobs import SUBSCRIBERS
from crm_api.earning.models import (
    EarningCreate,
    EarningLimitsUpdate,
    EarningRuleCreate,
    EarningRuleUpdate,
    SimulatedOrder,
    SimulationCreate,
)
from crm_api.earning.service import EarningLimitsService, EarningRuleService
from crm_api.earning.simulation import SimulationService
from crm_api.orders.models import OrderUpsert, RefundCreate
from crm_api.orders.service import OrderService
from tests.loyalty.shop import START
from tests.loyalty.shop import Shop as LoyaltyShop


def yuan(amount):
    """Return an amount in whole yuan as money."""
    return {"amount": amount * 100, "currency": "CNY"}


def fixed(points):
    return {"kind": "fixed", "points": points}


def per_unit(points, per=1, **more):
    return {"kind": "per_unit", "points": points, "per": per, **more}


@dataclass
class Shop(LoyaltyShop):
    """A tenant, its database, its clock, and how far its subscribers have heard."""

    numbers: Any = field(default_factory=lambda: count(1))
    heard: set = field(default_factory=set)

    async def rule(self, formula, trigger="order_paid", **parts):
        """Make an active rule; returns its id."""
        data = EarningRuleCreate(
            **{"name": f"rule {next(self.numbers)}", "trigger": trigger, "formula": formula, "draft": False, **parts}
        )
        return await self.run(lambda unit: EarningRuleService(unit).create(data))

    async def change(self, rule_id, **parts):
        await self.run(lambda unit: EarningRuleService(unit).update(rule_id, EarningRuleUpdate(**parts)))

    async def archive(self, rule_id):
        await self.run(lambda unit: EarningRuleService(unit).archive(rule_id))

    async def limit(self, **caps):
        await self.run(lambda unit: EarningLimitsService(unit).change(EarningLimitsUpdate(**caps)))

    def body(self, customer_id, total, status="paid", **parts):
        """Return an order of so many yuan, one line unless told otherwise."""
        lines = parts.pop("lines", [("any", total, 1)])
        now = self.clock.now()
        return OrderUpsert(
            **{
                "customer_id": customer_id,
                "status": status,
                "total": yuan(total),
                "placed_at": now,
                "lines": [
                    {
                        "title": category,
                        "category": category,
                        "quantity": quantity,
                        "unit_price": yuan(price),
                        "amount": yuan(price),
                    }
                    for category, price, quantity in lines
                ],
                **parts,
            }
        )

    async def order(self, customer_id, total, status="paid", number=None, **parts):
        """Let an order come in and be heard of; returns its id."""
        body = self.body(customer_id, total, status, **parts)
        name = f"T-{number or next(self.numbers)}"
        taken = await self.run(lambda unit: OrderService(unit).upsert("taobao", name, body))
        await self.listen()
        return taken.order_id

    async def pay_back(self, order_id, amount):
        """Refund an order in yuan."""
        data = RefundCreate(external_id=f"R-{next(self.numbers)}", amount=yuan(amount))
        await self.run(lambda unit: OrderService(unit).refund(order_id, data))
        await self.listen()

    async def listen(self, *, again=False):
        """Let every subscriber of earning hear what it has not heard, or everything once more."""
        rows = await self.rows("SELECT * FROM outbox WHERE tenant_id = $1 ORDER BY id", self.tenant.id)
        fields = ("id", "tenant_id", "type", "subject_id", "payload", "occurred_at")
        fresh = [
            Message(**{name: row[name] for name in fields}) for row in rows if again or row["id"] not in self.heard
        ]
        self.heard |= {each.id for each in fresh}
        for subscriber in SUBSCRIBERS:
            wanted = [each for each in fresh if each.type in subscriber.types]
            if wanted:
                await self.run(lambda unit, subscriber=subscriber, wanted=wanted: subscriber.handle(unit, wanted))

    async def simulate(self, **asked):
        if "order" in asked:
            asked["order"] = SimulatedOrder(**asked["order"].model_dump(exclude_unset=True))
        return await self.run(lambda unit: SimulationService(unit).run(SimulationCreate(**asked)))

    async def tell(self, customer_id, trigger="survey", reference="answer-1", **parts):
        data = EarningCreate(trigger=trigger, customer_id=customer_id, reference=reference, **parts)
        return await self.run(lambda unit: EarningService(unit).record(data))

    async def points(self, customer_id, kind="spendable"):
        """Return points there are, usable or not, less debt."""
        [row] = await self.rows(
            "SELECT coalesce(sum(available + pending - debt), 0)::bigint FROM loyalty_wallets "
            "WHERE tenant_id = $1 AND customer_id = $2 AND kind = $3",
            self.tenant.id,
            customer_id,
            kind,
        )
        return row[0]

    async def earnings(self):
        """Return what was decided, the earliest first, each with its outcomes by rule."""
        return await self.rows("SELECT * FROM earnings WHERE tenant_id = $1 ORDER BY occurred_at, id", self.tenant.id)


__all__ = ["START", "Shop", "fixed", "per_unit", "yuan"]
