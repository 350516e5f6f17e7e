"""A shop whose customers bring friends: short ways to say what happens to it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from crm_api.core.clock import FixedClock
from crm_api.core.ids import new_id
from crm_api.customers.models import CustomerCreate
from crm_api.customers.service import CustomerService
from crm_api.db.outbox import message_of
from crm_api.db.pool import Database
from crm_api.merges.service import MergeService
from crm_api.orders.models import OrderUpsert, RefundCreate
from crm_api.orders.service import OrderService
from crm_api.referrals.jobs import SUBSCRIBERS, follow, settle_tenant
from crm_api.referrals.models import (
    Case,
    ReferralCodeCreate,
    ReferralProgrammeCreate,
    ReferralSignUp,
    ReferralTransition,
)
from crm_api.referrals.programmes import ReferralProgrammeService
from crm_api.referrals.repository import case_of
from crm_api.referrals.service import ReferralService
from tests.support.api import TestTenant

START = datetime(2026, 1, 1, 4, 0, tzinfo=UTC)
"""Noon in Shanghai."""
TERMS = {
    "name": "老带新",
    "minimum_order": {"amount": 100_00, "currency": "CNY"},
    "referrer_reward": {"points": 200},
    "friend_reward": {"points": 100},
}
_OUTBOX = """
SELECT tenant_id, id, type, subject_id, payload, occurred_at FROM outbox
WHERE tenant_id = $1 AND NOT id = ANY ($2::uuid[]) ORDER BY xid, id
"""


@dataclass
class Shop:
    """A tenant, its database and its clock."""

    database: Database
    tenant: TestTenant
    clock: FixedClock = field(default_factory=lambda: FixedClock(START))
    heard: list[UUID] = field(default_factory=list)
    numbers: Any = field(default_factory=lambda: count(1))

    def __post_init__(self):
        self.database.clock = self.clock

    async def run(self, work):
        return await self.database.run(self.tenant.actor, work)

    async def rows(self, sql, *values):
        return await self.run(lambda unit: unit.connection.fetch(sql, *values))

    def later(self, **delta):
        self.clock.advance(timedelta(**delta))

    # -- what happens --------------------------------------------------------------------------------------------------

    async def programme(self, **changes):
        data = ReferralProgrammeCreate.model_validate({**TERMS, **changes})
        return await self.run(lambda unit: ReferralProgrammeService(unit).create(data))

    async def customer(self, **fields):
        data = CustomerCreate.model_validate({"name": "somebody", **fields})
        return await self.run(lambda unit: CustomerService(unit).create(data, allow_duplicate=True))

    async def code(self, programme_id, customer_id, **fields):
        data = ReferralCodeCreate(customer_id=customer_id, **fields)
        code_id, _ = await self.run(lambda unit: ReferralService(unit).give_code(programme_id, data))
        [row] = await self.rows("SELECT code FROM referral_codes WHERE id = $1", code_id)
        return row["code"]

    async def sign_up(self, code, friend_id, **fields):
        data = ReferralSignUp(code=code, customer_id=friend_id, **fields)
        return await self.run(lambda unit: ReferralService(unit).sign_up(data))

    async def pair(self, programme_id=None, **changes):
        """Return a referrer, a friend, and the referral between them."""
        programme_id = programme_id or await self.programme(**changes)
        referrer, friend = await self.customer(), await self.customer()
        referral = await self.sign_up(await self.code(programme_id, referrer), friend)
        return referrer, friend, referral

    async def order(self, customer_id, amount=150_00, *, number=None, **changes):
        """Put an order; the same number again changes it."""
        number = number or f"o{next(self.numbers)}"
        now = self.clock.now()
        data = OrderUpsert.model_validate(
            {
                "status": "paid",
                "customer_id": customer_id,
                "total": {"amount": amount, "currency": "CNY"},
                "placed_at": now,
                "platform_version": next(self.numbers),
                **changes,
            }
        )
        done = await self.run(lambda unit: OrderService(unit).upsert("taobao", number, data))
        return done.order_id

    async def refund(self, order_id, amount):
        data = RefundCreate.model_validate({"amount": {"amount": amount, "currency": "CNY"}})
        await self.run(lambda unit: OrderService(unit).refund(order_id, data))

    async def merge(self, winner, *losers):
        return await self.run(lambda unit: MergeService(unit).merge(winner, losers))

    async def undo(self, merge_id):
        await self.run(lambda unit: MergeService(unit).undo(merge_id))

    async def decide(self, referral_id, action, reason="looked at it"):
        goal = ReferralTransition(action=action, reason=reason)
        await self.run(lambda unit: ReferralService(unit).decide(referral_id, goal))

    # -- what follows --------------------------------------------------------------------------------------------------

    async def messages(self):
        rows = await self.rows(_OUTBOX, self.tenant.id, self.heard)
        self.heard += [row["id"] for row in rows]
        return [message_of(row) for row in rows]

    async def hear(self, messages=None):
        """Let the subscriber hear what was told since the last time."""
        told = await self.messages() if messages is None else messages
        wanted = [each for each in told if each.type in SUBSCRIBERS[0].types]
        await self.run(lambda unit: follow(unit, wanted))
        return told

    async def settle(self):
        """Let the worker do all there is to do now; returns the types of the messages that were told."""
        told = await self.hear()
        await settle_tenant(self.database, self.tenant.id)
        return [each.type for each in told + await self.hear()]

    # -- what is there -------------------------------------------------------------------------------------------------

    async def case(self, referral_id) -> Case:
        [row] = await self.rows("SELECT * FROM referrals WHERE id = $1", referral_id)
        case = case_of(row)
        assert await self.run(lambda unit: ReferralService(unit).replayed(referral_id)) == case
        return case

    async def state(self, referral_id):
        case = await self.case(referral_id)
        return case.state if case.void_reason is None else f"voided: {case.void_reason}"

    async def points(self, customer_id):
        """Return available points less debt."""
        [row] = await self.rows(
            "SELECT available - debt AS points FROM loyalty_accounts WHERE tenant_id = $1 AND id = $2",
            self.tenant.id,
            customer_id,
        )
        return row["points"]

    async def findings(self, referral_id):
        return [each.code for each in (await self.case(referral_id)).findings]


def somebody() -> UUID:
    """Return an id."""
    return new_id()
