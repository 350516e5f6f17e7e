"""Spreading customers anew: proposed, approved, applied in one transaction, undone."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from crm_api.core.errors import Conflict, Invalid
from crm_api.core.ids import new_id
from crm_api.customers.service import CustomerOwnerService
from crm_api.db.uow import UnitOfWork
from crm_api.staff.balancing import Member, fairness, plan
from crm_api.staff.rebalancing_models import (
    MAX_MOVES,
    RebalancingCause,
    RebalancingCreate,
    RebalancingDecision,
    RebalancingState,
)
from crm_api.staff.repository.assigning import HandlerRepository
from crm_api.staff.repository.rebalancing import RebalancingRepository

WRITE = "staff:write"
APPROVE = "staff:approve"

_STEPS: Mapping[RebalancingState, tuple[RebalancingState, str, str]] = {
    "approved": ("proposed", "approved", "批准"),
    "rejected": ("proposed", "rejected", "驳回"),
    "applied": ("approved", "applied", "执行"),
    "undone": ("applied", "undone", "撤销"),
}
"""State → from which it is reached, and what that is called."""


class RebalancingService:
    """Proposals to spread customers anew.

    Locks: the rebalancing, then the staff who take part by id, then customers by id.
    """

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.rows = RebalancingRepository(unit)
        self.handlers = HandlerRepository(unit)

    async def propose(self, data: RebalancingCreate) -> UUID:
        """Reckon who should pass whom to whom; nothing moves yet.

        Raises:
            Invalid: fewer than two take part, or nobody is there to take anything.

        """
        self.unit.actor.require(WRITE)
        return await self._propose(data, "asked")

    async def propose_for(self, staff_id: UUID) -> UUID | None:
        """Propose who takes over from somebody who has left, unless that is open already or there is nothing to do."""
        if await self.rows.open_for(staff_id):
            return None
        rows = await self.handlers.hold([staff_id], self.unit.now())
        if not rows or rows[0]["active"] or not await self.handlers.customer_loads([staff_id]):
            return None
        takers = await self.handlers.colleagues(staff_id)
        if not takers:
            return None
        data = RebalancingCreate(staff_ids=takers[:MAX_TAKERS], leaving_ids=[staff_id], max_moves=MAX_MOVES)
        return await self._propose(data, "left")

    async def _propose(self, data: RebalancingCreate, cause: RebalancingCause) -> UUID:
        members, kept = await self._members(data, spread=cause == "asked")
        found = plan(members, max_moves=data.max_moves)
        before = {each.id: each.load for each in members}
        rebalancing_id = new_id()
        row = {
            "state": "proposed",
            "cause": cause,
            "options": data.model_dump(mode="json", exclude={"note"}),
            "before": _told(before),
            "after": _told(found.loads),
            "gini_before": fairness(members, before),
            "gini_after": fairness(members, found.loads),
            "planned": len(found.moves),
            "unplaced": found.unplaced,
            "kept": kept,
        }
        await self.rows.insert({"id": rebalancing_id, **row, "note": data.note})
        await self.rows.add_moves(rebalancing_id, found.moves)
        self.unit.audit("rebalancing.proposed", "Rebalancing", rebalancing_id, after=row)
        self.unit.emit("rebalancing.proposed", rebalancing_id, {"cause": cause, "planned": len(found.moves)})
        return rebalancing_id

    async def _members(self, data: RebalancingCreate, *, spread: bool) -> tuple[list[Member], int]:
        """Return who takes part, and how many customers stay by an exception.

        Without ``spread`` only who leaves gives: for the others nothing changes but what they get.
        """
        await self._check_places(data)
        chosen = await self.rows.participants(data.team_id, data.store_id, data.staff_ids)
        rows = await self.handlers.hold(sorted({*chosen, *data.leaving_ids}), self.unit.now())
        leaving = {row["id"] for row in rows if not row["active"]} | set(data.leaving_ids)
        _check(data, {row["id"] for row in rows}, leaving)
        ids = [row["id"] for row in rows]
        customers = await self.rows.customers_of(ids)
        moving = set(data.move_customer_ids)
        _check_moving(data, {key for mine in customers.values() for key, _ in mine})
        staying = await self.rows.staying(ids, data.keep_customer_ids, data.keep_tags)
        since = None if data.keep_active_days is None else self.unit.now() - timedelta(days=data.keep_active_days)
        fixed = moving | staying
        members, kept = [], 0
        for row in rows:
            mine = customers[row["id"]]
            goes = row["id"] in leaving
            due = () if goes else tuple(key for key, _ in mine if key in moving)
            movable = tuple(
                key
                for key, spoken_at in mine
                if goes or (key not in fixed and not (since and spoken_at and spoken_at >= since))
            )
            kept += len(mine) - len(movable) - len(due)
            members.append(
                Member(
                    id=row["id"],
                    load=len(mine),
                    movable=movable if goes or spread else (),
                    capacity=row["customer_capacity"],
                    weight=row["weight"],
                    leaving=goes,
                    due=due,
                )
            )
        return members, kept

    async def _check_places(self, data: RebalancingCreate) -> None:
        if data.team_id is not None and not await self.rows.has_team(data.team_id):
            raise Invalid.field("/team_id", "unknown_reference", "There is no such team", "没有此团队")
        if data.store_id is not None and not await self.rows.has_store(data.store_id):
            raise Invalid.field("/store_id", "unknown_reference", "There is no such store", "没有此门店")

    async def approve(
        self, rebalancing_id: UUID, data: RebalancingDecision, *, expected_version: int | None = None
    ) -> None:
        """Allow it to be applied.

        Raises:
            Conflict: it is not ``proposed``.

        """
        self.unit.actor.require(APPROVE)
        await self._decide(rebalancing_id, "approved", data, expected_version)

    async def reject(
        self, rebalancing_id: UUID, data: RebalancingDecision, *, expected_version: int | None = None
    ) -> None:
        """Refuse it for good; raises as `approve` does."""
        self.unit.actor.require(APPROVE)
        await self._decide(rebalancing_id, "rejected", data, expected_version)

    async def _decide(
        self, rebalancing_id: UUID, to: RebalancingState, data: RebalancingDecision, expected_version: int | None
    ) -> None:
        await self._step(rebalancing_id, to, expected_version)
        decided = {"decision_note": data.note, "decided_by": self.unit.actor.id, "decided_at": self.unit.now()}
        await self._become(rebalancing_id, to, decided, {"note": data.note})

    async def apply(self, rebalancing_id: UUID, *, expected_version: int | None = None) -> None:
        """Let all customers change hands, in one transaction.

        Who has another owner by now, or is gone, is left out; so is who would go beyond a capacity, or to somebody who
        has left since.

        Raises:
            Conflict: it is not ``approved``.

        """
        self.unit.actor.require(WRITE)
        row = await self._step(rebalancing_id, "applied", expected_version)
        moves = await self.rows.moves(rebalancing_id, "planned")
        wanted = await self._with_room(moves)
        done = await CustomerOwnerService(self.unit).hand_over(
            wanted, "rebalancing", by_id=rebalancing_id, note=row["note"]
        )
        await self.rows.mark(rebalancing_id, done, was="planned", yes="applied", no="skipped")
        numbers = {"moved": len(done), "skipped": len(moves) - len(done)}
        await self._become(rebalancing_id, "applied", {**numbers, "applied_at": self.unit.now()}, numbers)

    async def _with_room(self, moves: Sequence[tuple[UUID, UUID, UUID]]) -> list[tuple[UUID, UUID | None, UUID | None]]:
        """Return the moves to people who are active and have room now."""
        ids = sorted({each for _, giver, taker in moves for each in (giver, taker)})
        rows = {row["id"]: row for row in await self.handlers.hold(ids, self.unit.now())}
        loads = await self.handlers.customer_loads(ids)
        rooms: dict[UUID, float] = {}
        for key, row in rows.items():
            limit = row["customer_capacity"]
            rooms[key] = float("inf") if limit is None else limit - loads.get(key, 0)
            if not row["active"]:
                rooms[key] = 0
        chosen: list[tuple[UUID, UUID | None, UUID | None]] = []
        for customer_id, giver, taker in moves:
            if rooms[taker] > 0:
                rooms[taker] -= 1
                chosen.append((customer_id, giver, taker))
        return chosen

    async def undo(self, rebalancing_id: UUID, *, expected_version: int | None = None) -> None:
        """Give customers back to whom they came from, in one transaction.

        Who has moved on since stays, and so does whose former owner has left: nobody would look after them.

        Raises:
            Conflict: it is not ``applied``.

        """
        self.unit.actor.require(WRITE)
        row = await self._step(rebalancing_id, "undone", expected_version)
        moves = await self.rows.moves(rebalancing_id, "applied")
        givers = await self.handlers.hold(sorted({giver for _, giver, _ in moves}), self.unit.now())
        here = {each["id"] for each in givers if each["active"]}
        done = await CustomerOwnerService(self.unit).hand_over(
            [(customer_id, taker, giver) for customer_id, giver, taker in moves if giver in here],
            "rebalancing_undone",
            by_id=rebalancing_id,
            note=row["note"],
        )
        await self.rows.mark(rebalancing_id, done, was="applied", yes="returned", no="stayed")
        numbers = {"returned": len(done), "stayed": len(moves) - len(done)}
        await self._become(rebalancing_id, "undone", {**numbers, "undone_at": self.unit.now()}, numbers)

    async def _step(self, rebalancing_id: UUID, to: RebalancingState, version: int | None) -> asyncpg.Record:
        row = await self.rows.get(rebalancing_id, lock=True, expected_version=version)
        source, done, done_zh = _STEPS[to]
        if row["state"] != source:
            raise Conflict(
                f"Only what is '{source}' can be {done}; this is '{row['state']}'",
                zh=f"只有状态为 {source} 的方案可以{done_zh}；当前为 {row['state']}",
                code="wrong_state",
                extra={"state": row["state"]},
            )
        return row

    async def _become(
        self, rebalancing_id: UUID, to: RebalancingState, values: Mapping[str, Any], told: Mapping[str, Any]
    ) -> None:
        await self.rows.change(rebalancing_id, {"state": to, **values})
        operation = f"rebalancing.{to}"
        self.unit.audit(operation, "Rebalancing", rebalancing_id, after=told)
        self.unit.emit(operation, rebalancing_id, {name: told[name] for name in told if name != "note"})


MAX_TAKERS = 500


def _told(loads: Mapping[UUID, int]) -> list[dict[str, Any]]:
    return [{"staff_id": str(key), "customers": load} for key, load in sorted(loads.items())]


def _check_moving(data: RebalancingCreate, known: set[UUID]) -> None:
    for place, each in enumerate(data.move_customer_ids):
        if each not in known:
            raise Invalid.field(
                f"/move_customer_ids/{place}",
                "unknown_reference",
                "Nobody who takes part has such a customer",
                "参与员工中无人负责此客户",
            )


def _check(data: RebalancingCreate, known: set[UUID], leaving: set[UUID]) -> None:
    for name, ids in (("staff_ids", data.staff_ids), ("leaving_ids", data.leaving_ids)):
        for place, each in enumerate(ids):
            if each not in known:
                raise Invalid.field(
                    f"/{name}/{place}", "unknown_reference", "There is no such staff member", "没有此员工"
                )
    if len(known) < 2 or not known - leaving:  # noqa: PLR2004 - one cannot pass anything to nobody
        raise Invalid.field(
            "/staff_ids",
            "too_few",
            "At least two must take part, one of whom stays: name a team, a store or more staff",
            "至少两人参与，且至少一人留任：请指定团队、门店或更多员工",
        )
