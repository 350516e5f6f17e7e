"""Rules of assignment, and what they do: new customers get an owner, cases a handler."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from crm_api.core.errors import Conflict, Duplicate, FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.customers.service import CustomerOwnerService, CustomerService
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as
from crm_api.staff.assignment import Demand, Handler, Obstacle, Turn, choose, matches, must_pass_on, obstacle
from crm_api.staff.assignment_models import (
    FACTS,
    AssignmentOutcome,
    AssignmentRuleCreate,
    AssignmentRuleUpdate,
    OwnerInput,
    Target,
)
from crm_api.staff.repository.assigning import HandlerRepository, IntakeRepository, RuleRepository

WRITE = "staff:write"
BATCH: Final = 500
"""Customers who wait that one transaction looks at."""

Place = tuple[datetime, UUID]
"""A place in a queue: since when its entry has been waiting, and the entry's id."""

Loads = Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, int]]]
"""From staff members to how much each carries now; who is missing carries nothing."""

_TAKEN = {
    "uq_assignment_rules_tenant_id_name": Duplicate(
        errors=[FieldError("/name", "duplicate", "A rule has this name", "已有同名规则")]
    )
}


class AssignmentRuleService:
    """Rules of assignment."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.rules = RuleRepository(unit)

    async def create(self, data: AssignmentRuleCreate) -> UUID:
        """Add a rule; it holds for what comes from now on.

        Raises:
            Invalid: a condition asks for what there is not, or a skill does not exist.

        """
        self.unit.actor.require(WRITE)
        await self._check(data.target, data.model_dump())
        rule_id, row = new_id(), data.model_dump()
        row["online_only"] = data.target == "cases" if data.online_only is None else data.online_only
        with unique_as(_TAKEN):
            await self.rules.insert({"id": rule_id, **row})
        self._tell("assignment_rule.created", rule_id, after=data.model_dump(mode="json"))
        return rule_id

    async def update(self, rule_id: UUID, data: AssignmentRuleUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given; raises as `create` does."""
        self.unit.actor.require(WRITE)
        before = await self.rules.get(rule_id, lock=True, expected_version=expected_version)
        given = data.model_dump(exclude_unset=True)
        await self._check(before["target"], given)
        changes = {name: value for name, value in given.items() if before[name] != value}
        if not changes:
            return
        with unique_as(_TAKEN):
            await self.rules.change(rule_id, changes)
        was = {name: _plain(before[name]) for name in changes}
        after = {name: value for name, value in data.model_dump(mode="json").items() if name in changes}
        self._tell("assignment_rule.updated", rule_id, before=was, after=after)

    async def delete(self, rule_id: UUID, *, expected_version: int | None = None) -> None:
        """Delete a rule; what it handed out stays with whom it is."""
        self.unit.actor.require(WRITE)
        before = await self.rules.get(rule_id, lock=True, expected_version=expected_version)
        await self.rules.remove(rule_id)
        self._tell("assignment_rule.deleted", rule_id, before={"name": before["name"]})

    async def _check(self, target: Target, given: Mapping[str, Any]) -> None:
        known = FACTS[target]
        for name in given.get("conditions", {}):
            if name not in known:
                shown = ", ".join(known)
                raise Invalid.field(
                    f"/conditions/{name}", "unknown_fact", f"Conditions can ask for: {shown}", f"可用的条件：{shown}"
                )
        wanted = given.get("required_skill_ids", [])
        lacking = set(wanted) - await self.rules.known_skills(wanted) if wanted else set()
        errors = [
            FieldError(f"/required_skill_ids/{place}", "unknown_reference", "There is no such skill", "没有此技能")
            for place, each in enumerate(wanted)
            if each in lacking
        ]
        stores = given.get("conditions", {}).get("store_id", [])
        there = await self.rules.known_stores(stores) if stores else set()
        errors += [
            FieldError(f"/conditions/store_id/{place}", "unknown_reference", "There is no such store", "没有此门店")
            for place, each in enumerate(stores)
            if each not in there
        ]
        if errors:
            raise Invalid(errors=errors)

    def _tell(self, operation: str, rule_id: UUID, **sides: dict[str, Any]) -> None:
        self.unit.audit(operation, "AssignmentRule", rule_id, **sides)
        self.unit.emit(operation, rule_id, {})


@dataclass(frozen=True, slots=True)
class Choice:
    """What came of asking the rules.

    Attributes:
        staff_id: who gets the work; None when nobody can.
        rule_id: the rule that decided, or the first that was for the work; None when none was.
        reason: what was lacking, when nobody can.

    """

    staff_id: UUID | None = None
    rule_id: UUID | None = None
    reason: Obstacle | None = None


class Desk:
    """The rules of one kind of work and those they choose from, read once under their locks.

    What is given out is counted here, so that a batch is treated as if one came after the other. Afterwards
    `AssignmentService.keep` stores whose turn it is.
    """

    def __init__(
        self, rules: Sequence[asyncpg.Record], pool: dict[UUID, Handler], teams: Mapping[UUID, set[UUID]]
    ) -> None:
        self._rules, self._pool, self._teams = rules, pool, teams
        self.turns = {rule["id"]: Turn.read(rule["turn"]) for rule in rules}
        self.passed: set[UUID] = set()

    def ask(
        self, facts: Mapping[str, Any], previous: UUID | None, required: frozenset[UUID], but: UUID | None = None
    ) -> Choice:
        """Return who gets the work: the first rule for it that finds somebody, other than ``but``, decides."""
        first: Choice | None = None
        for rule in self._rules:
            if not matches(rule["conditions"], facts):
                continue
            handlers = [each for each in self._handlers(rule) if each.id != but]
            demand = _demand(rule, facts, previous, required)
            found = choose(rule["strategy"], handlers, demand, self.turns[rule["id"]])
            if found is not None:
                return self._given(rule["id"], *found)
            first = first or Choice(None, rule["id"], obstacle(handlers, demand))
        return first or Choice()

    def keeps(self, facts: Mapping[str, Any], handler_id: UUID, required: frozenset[UUID]) -> bool:
        """Tell whether who has the work keeps it: as the first rule for it would have it; without one, who is active.

        Where somebody works is asked when work is given out, not afterwards.
        """
        handler = self._pool.get(handler_id)
        for rule in self._rules:
            if matches(rule["conditions"], facts):
                demand = replace(_demand(rule, facts, None, required), store_id=None)
                return not must_pass_on(handler, demand)
        return handler is not None

    def _handlers(self, rule: asyncpg.Record) -> list[Handler]:
        inside = None if rule["team_id"] is None else self._teams[rule["team_id"]]
        return [each for each in self._pool.values() if inside is None or each.id in inside]

    def _given(self, rule_id: UUID, handler: Handler, turn: Turn) -> Choice:
        if turn != self.turns[rule_id]:
            self.turns[rule_id] = turn
            self.passed.add(rule_id)
        self._pool[handler.id] = replace(handler, load=handler.load + 1)
        return Choice(handler.id, rule_id)


def _demand(rule: asyncpg.Record, facts: Mapping[str, Any], previous: UUID | None, required: frozenset[UUID]) -> Demand:
    store = facts.get("store_id")
    return Demand(
        required=required | frozenset(rule["required_skill_ids"]),
        # Without a store of its own the work may go anywhere.
        store_id=UUID(store) if rule["same_store"] and store is not None else None,
        previous=previous if rule["sticky"] else None,
        online_only=rule["online_only"],
    )


class AssignmentService:
    """Handing work out.

    Locks, in this order: the active rules of the kind of work by id, then active staff by id, then customers by id, all
    `FOR NO KEY UPDATE`. Rivals wait at the first; so turns are taken one after the other (spread ≤ 1), and no capacity
    is looked at while another's customer is on the way.
    """

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.rules = RuleRepository(unit)
        self.handlers = HandlerRepository(unit)
        self.intake = IntakeRepository(unit)

    async def choose(
        self,
        facts: Mapping[str, Any],
        loads: Loads,
        *,
        previous: UUID | None = None,
        required: frozenset[UUID] = frozenset(),
    ) -> Choice:
        """Return who gets a case; the rule's turn passes with this transaction.

        Args:
            facts: what conditions ask for (`models.FACTS`), as text.
            loads: how many open cases staff have; asked after the locks are held.
            previous: who had this case, or the customer's last one.
            required: skills the case itself needs.

        """
        desk = await self.desk(loads)
        if desk is None:
            return Choice()
        choice = desk.ask(facts, previous, required)
        await self.keep(desk)
        return choice

    async def desk(self, loads: Loads) -> Desk | None:
        """Return what hands out several cases in one unit, all held until it ends; None when no rule does."""
        return await self._desk("cases", loads, "case_capacity")

    async def keep(self, desk: Desk) -> None:
        """Store whose turn it is after a desk was asked."""
        for rule_id in sorted(desk.passed):
            await self.rules.keep_turn(rule_id, desk.turns[rule_id].stored())

    async def take_over(
        self,
        facts: Mapping[str, Any],
        loads: Loads,
        handler_id: UUID,
        *,
        required: frozenset[UUID] = frozenset(),
        anyway: bool = False,
    ) -> Choice | None:
        """Return who takes a case over from its handler; None when the handler keeps it, or no rule hands cases out.

        A handler keeps a case while they are active and, where the rule says ``online_only``, at work, with the skills
        the case needs. Who is full keeps what they have.

        Args:
            facts: as for `choose`.
            loads: as for `choose`.
            handler_id: who has it.
            required: skills the case itself needs.
            anyway: somebody else is wanted, whether or not the handler could keep it.

        """
        desk = await self.desk(loads)
        if desk is None or (not anyway and desk.keeps(facts, handler_id, required)):
            return None
        choice = desk.ask(facts, None, required, but=handler_id)
        await self.keep(desk)
        return choice

    async def require_active(self, staff_id: UUID, pointer: str) -> None:
        """Raise Invalid, naming the pointer, unless there is such a staff member and they are active."""
        if not await self.is_active(staff_id):
            raise Invalid.field(pointer, "unknown_reference", "There is no such active staff member", "没有此在职员工")

    async def is_active(self, staff_id: UUID) -> bool:
        """Tell whether there is such a staff member and they are active."""
        rows = await self.handlers.hold([staff_id], self.unit.now())
        return bool(rows and rows[0]["active"])

    async def present(self, staff_id: UUID) -> bool:
        """Tell whether somebody is at work now."""
        rows = await self.handlers.hold([staff_id], self.unit.now())
        return bool(rows and rows[0]["online"])

    async def hand_over(self, customer_id: UUID, data: OwnerInput) -> UUID:
        """Give a customer another owner by hand, with a handover note; returns the id of the history's line.

        Capacities do not bind people.

        Raises:
            NotFound: there is no such customer.
            Invalid: there is no such staff member, or they are inactive.
            Conflict: they look after the customer already.

        """
        self.unit.actor.require(WRITE)
        if data.owner_id is not None:
            await self.require_active(data.owner_id, "/owner_id")
        giver = await CustomerService(self.unit).owner_of(customer_id, lock=True)
        owners = CustomerOwnerService(self.unit)
        if not await owners.hand_over([(customer_id, giver, data.owner_id)], "handover", note=data.note):
            raise Conflict("The customer has this owner already", zh="客户已由该员工负责", code="same_owner")
        await self.intake.leave([customer_id])
        return await self.intake.latest_line(customer_id)

    async def assign(self, customer_id: UUID) -> AssignmentOutcome:
        """Ask the rules now for a customer without an owner.

        Raises:
            Conflict: the customer has one.

        """
        self.unit.actor.require(WRITE)
        if await CustomerService(self.unit).owner_of(customer_id) is not None:
            raise Conflict(
                "The customer has an owner: hand over instead", zh="客户已有负责人：请改用交接", code="has_owner"
            )
        choice = (await self.assign_many([customer_id])).get(customer_id, Choice())
        return AssignmentOutcome(staff_id=choice.staff_id, rule_id=choice.rule_id, reason=choice.reason)

    async def assign_many(self, ids: Sequence[UUID]) -> dict[UUID, Choice]:
        """Give owners to those of these customers who have none; who finds nobody is put into the queue."""
        desk = await self._desk("customers", self.handlers.customer_loads, "customer_capacity")
        if desk is None:
            return {}
        choices = {
            row["id"]: desk.ask(_facts(row), row["previous"], frozenset()) for row in await self.intake.facts(ids)
        }
        await self.keep(desk)
        by_rule: dict[UUID, list[tuple[UUID, UUID | None, UUID | None]]] = {}
        for customer_id, choice in choices.items():
            if choice.staff_id is not None and choice.rule_id is not None:
                by_rule.setdefault(choice.rule_id, []).append((customer_id, None, choice.staff_id))
        given: list[UUID] = []
        for rule_id, rows in sorted(by_rule.items()):
            given += await CustomerOwnerService(self.unit).hand_over(rows, "rule", by_id=rule_id)
        await self.intake.leave(given)
        waiting = [
            (key, each.rule_id, each.reason)
            for key, each in choices.items()
            if each.rule_id is not None and each.reason is not None
        ]
        await self.intake.wait(waiting, self.unit.now())
        return choices

    async def serve_queue(self, after: Place | None = None) -> Place | None:
        """Look again at a batch of those who wait, longest first; returns where to go on, None at the end of the queue.

        Args:
            after: where the last batch ended.

        """
        if after is None:
            await self.intake.forget_others()
        waiting = await self.intake.waiting(BATCH, after)
        found = await self.assign_many([row["customer_id"] for row in waiting]) if waiting else {}
        # Whom no rule is for any more waits for nothing.
        await self.intake.leave([key for key, choice in found.items() if choice.rule_id is None])
        return (waiting[-1]["since"], waiting[-1]["id"]) if len(waiting) == BATCH else None

    async def tell_presence(self) -> int:
        """Send `staff.online` and `staff.offline` for who has come or gone since the last time."""
        changed = await self.handlers.tell_presence(self.unit.now())
        for staff_id, here in changed:
            self.unit.emit("staff.online" if here else "staff.offline", staff_id, {})
        return len(changed)

    async def _desk(self, target: Target, loads: Loads, capacity: str) -> Desk | None:
        rules = await self.rules.lock_active(target)
        if not rules:
            return None
        rows = await self.handlers.lock_pool(self.unit.now())
        ids = [row["id"] for row in rows]
        carried = await loads(ids)
        skills = await self.handlers.skills_of(ids, await self.handlers.today(self.unit.now()))
        teams = await self.handlers.teams_of([rule["team_id"] for rule in rules if rule["team_id"] is not None])
        pool = {
            row["id"]: Handler(
                id=row["id"],
                online=row["online"],
                skills=skills.get(row["id"], frozenset()),
                capacity=row[capacity],
                load=carried.get(row["id"], 0),
                weight=row["weight"],
                store_id=row["store_id"],
            )
            for row in rows
        }
        return Desk(rules, pool, teams)


def _facts(row: asyncpg.Record) -> dict[str, Any]:
    return {name: _plain(row[name]) for name in FACTS["customers"]}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, UUID) else value
