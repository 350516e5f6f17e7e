"""What an order would earn: decided by the same engine, on the same rows, and then undone."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import asyncpg

from crm_api.core.actor import Actor
from crm_api.core.errors import Conflict, Invalid, NotFound
from crm_api.core.ids import new_id
from crm_api.core.rules import AsOf, rule_sentence
from crm_api.db.uow import UnitOfWork
from crm_api.earning import subjects
from crm_api.earning.engine import Engine, Subject, book_of, told
from crm_api.earning.models import OrderTrigger, SimulationCreate
from crm_api.earning.repository import EarningRepository, OccasionRepository
from crm_api.earning.repository.conditions import Part
from crm_api.earning.rules import Decision
from crm_api.earning.words import in_words
from crm_api.loyalty.service import LoyaltyService
from crm_api.orders.service import OrderService

READS = ("loyalty:read", "orders:read", "customers:read")


class _Undo(Exception):
    """Ends the savepoint that a simulation works in."""


@asynccontextmanager
async def _undone(unit: UnitOfWork) -> AsyncIterator[None]:
    """Return a context whose writes are undone at its end."""
    with suppress(_Undo):
        async with unit.savepoint():
            yield
            raise _Undo


class SimulationService:
    """Simulations: nothing is stored, sent or logged.

    A written-out order is taken in for a moment like any other, inside a savepoint that is always undone: so rules see
    the customer as the real order would leave them (their first order is an order), and the answer is what will be
    booked, not like it.
    """

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit that has a transaction."""
        self.unit = unit
        self.repository = EarningRepository(unit)

    async def run(self, data: SimulationCreate) -> dict[str, Any]:
        """Return what an order would earn, as `models.Simulation`.

        Raises:
            Invalid: neither or both kinds of order are given, or the order cannot be.
            NotFound: there is no such order or customer.
            Conflict: the shop has no programme.

        """
        for scope in READS:
            self.unit.actor.require(scope)
        if (data.order_id is None) == (data.order is None):
            raise Invalid.field(
                "/order_id", "required", "Send either order_id or order", "order_id 与 order 只能二选一"
            )
        if data.order_id is not None:
            return await self._of(data.order_id, data.trigger)
        async with _undone(self.unit):
            shown = await self._of(await self._taken_in(data), data.trigger)
        known = await OccasionRepository(self.unit).living([shown["customer_id"]])
        return {**shown, "order_id": None, "customer_id": shown["customer_id"] if known else None}

    async def _taken_in(self, data: SimulationCreate) -> UUID:
        """Store the written-out order until the savepoint ends; its messages are never sent."""
        assert data.order is not None  # noqa: S101 - asked by `run`
        actor = Actor.system(self.unit.tenant_id, "earning.simulate")
        aside = UnitOfWork(self.unit.connection, actor, self.unit.clock, self.unit.settings)
        taken = await OrderService(aside).upsert(data.platform, f"simulation-{new_id()}", data.order)
        return taken.order_id

    async def _of(self, order_id: UUID, trigger: OrderTrigger) -> dict[str, Any]:
        row = (await OccasionRepository(self.unit).orders([order_id])).get(order_id)
        if row is None:
            raise NotFound
        subject = subjects.of_order(trigger, row, self.unit.now())
        shown = {
            "order_id": order_id,
            "customer_id": row["customer_id"],
            "trigger": trigger,
            "at": subject.occasion.at,
        }
        known = (await self.repository.known(trigger, [order_id])).get(order_id)
        if known is not None:
            decisions = [_worded(each, []) for each in known["decisions"]]
            return {**shown, "at": known["occurred_at"], **_sums(known), "booked": True, "decisions": decisions}
        given = (await self.repository.granted([order_id])).get(order_id) if trigger == "order_paid" else None
        if given is not None:
            granted = given["granted"]
            own = {**_OWN, "before_caps": granted, "points": granted, "qualifying": 0}
            sums = {"points": granted, "qualifying": 0}
            return {**shown, **sums, "booked": True, "decisions": [_worded(own, [])]}
        programme = await LoyaltyService(self.unit).programme()
        engine = Engine(self.unit, programme)
        book = await book_of(self.unit, trigger)
        verdicts = await engine.judge(trigger, [subject], book, keep=False)
        if not verdicts:
            raise Conflict("The order's customer was deleted", zh="订单的客户已被删除", code="customer_deleted")
        [verdict] = verdicts
        decisions = [_worded(told(each), await self._why(engine, subject, each)) for each in verdict.decisions]
        sums = {"points": verdict.points, "qualifying": verdict.qualifying}
        return {**shown, **sums, "booked": False, "decisions": decisions}

    async def _why(self, engine: Engine, subject: Subject, decision: Decision) -> list[dict[str, Any]]:
        """Return what the leaves of the condition that failed found; nothing where none did."""
        part = _FAILED.get(decision.reason or "")
        if part is None:
            return []
        checked = engine.checked[decision.terms.rule_id, decision.terms.revision]
        about = subject.occasion.customer_id if part == "customer" else subject.about
        as_of = AsOf(subject.occasion.at, await engine.conditions.zone())
        explained = await engine.conditions.explained(checked, part, about, as_of)
        if explained is None:
            return []
        probe, found = explained
        return [
            {
                "pointer": f"/{part}{each.part.node.pointer}",
                "sentence": rule_sentence(each.part.raw, each.part.rules.catalogue, {}),
                "asked": probe.asked(each.part),
                "found": each.found,
                "holds": each.holds,
            }
            for each in found
            if each.part.is_leaf
        ]


_FAILED: Mapping[str, Part] = {"customer_not_matched": "customer", "order_not_matched": "order"}
_OWN: Mapping[str, Any] = {
    "rule_id": None,
    "revision": 0,
    "name": "",
    "outcome": "earned",
    "reason": None,
    "capped_by": [],
    "beaten_by": None,
}


def _sums(known: asyncpg.Record) -> dict[str, int]:
    return {"points": known["points"], "qualifying": known["qualifying"]}


def _worded(decision: Mapping[str, Any], explanation: list[dict[str, Any]]) -> dict[str, Any]:
    english, chinese = in_words(decision)
    return {**decision, "explanation": explanation, "en": english, "zh": chinese}
