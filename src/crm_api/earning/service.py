"""What can be done with earning rules and limits: made, published, changed, archived."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from crm_api.core.errors import Conflict, Duplicate, FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as
from crm_api.earning.models import (
    EarningLimitsUpdate,
    EarningRuleCreate,
    EarningRuleUpdate,
)
from crm_api.earning.repository import Conditions, LimitsRepository, RuleRepository
from crm_api.earning.repository.conditions import PARTS, Part
from crm_api.earning.rules import NAMED_TRIGGERS, ORDER_TRIGGERS
from crm_api.earning.written import definition_of, plain

READ = "loyalty:read"
WRITE = "loyalty:write"

_NAME_TAKEN: Final = {
    "uq_earning_rules_tenant_id_name": Duplicate(
        errors=[FieldError("/name", "duplicate", "An earning rule has this name", "已有同名积分规则")]
    )
}
_SCOPES: Final[Mapping[Part, str]] = {"order": "orders:read", "lines": "orders:read", "event": "events:read"}
"""What naming an order's or an event's own fields takes; the customer's say it themselves."""

_PLAIN: Final = (
    "name",
    "description",
    "event_type",
    "gives",
    "stacking",
    "stacking_group",
    "priority",
    "keeps_base",
    "starts_at",
    "ends_at",
    "reason",
)


class EarningRuleService:
    """Earning rules: drafts are free to change; what was ever published is kept as it was."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = RuleRepository(unit)

    async def create(self, data: EarningRuleCreate) -> UUID:
        """Make a rule, a draft unless it says otherwise; returns its id.

        Raises:
            Invalid: its parts do not fit its trigger or each other, or a condition is wrong.
            Duplicate: the name is taken.
            Forbidden: a condition names what the caller may not know.

        """
        self.unit.actor.require(WRITE)
        row: dict[str, Any] = {
            "id": new_id(),
            "trigger": data.trigger,
            **data.model_dump(include=set(_PLAIN)),
            "formula": data.formula.model_dump(),
            "counts": data.counts.model_dump(),
            "caps": data.caps.model_dump(),
            **{f"{part}_rule": getattr(data, part) for part in PARTS},
        }
        rule_id: UUID = row["id"]
        _check_parts(row)
        await self._check_conditions(row, PARTS)
        with unique_as(_NAME_TAKEN):
            await self.repository.insert(row)
        self.unit.audit("earning_rule.created", "EarningRule", rule_id, after=definition_of(row))
        self.unit.emit("earning_rule.created", rule_id, {"trigger": data.trigger})
        if not data.draft:
            await self.activate(rule_id)
        return rule_id

    async def update(self, rule_id: UUID, data: EarningRuleUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given; of an active rule they are published at once and hold from now on.

        Raises:
            Conflict: it is archived.
            Invalid: as for `create`.
            PreconditionFailed: somebody was faster.

        """
        self.unit.actor.require(WRITE)
        before = await self.repository.get(rule_id, lock=True, expected_version=expected_version)
        if before["state"] == "archived":
            raise Conflict(
                "The rule is archived: activate it first, or make another",
                zh="规则已归档：请先重新启用，或新建规则",
                code="archived",
            )
        changes = await self._changes(before, data)
        if not changes:
            return
        if before["state"] == "active":
            changes["revision"] = before["revision"] + 1
        with unique_as(_NAME_TAKEN):
            row = await self.repository.change(rule_id, changes)
        if row["state"] == "active":
            await self._publish(row, self.unit.now())
        was = {name: plain(before[name]) for name in changes}
        after = {name: plain(value) for name, value in changes.items()}
        self.unit.audit("earning_rule.updated", "EarningRule", rule_id, before=was, after=after)
        self.unit.emit("earning_rule.updated", rule_id, {"revision": row["revision"]})

    async def activate(self, rule_id: UUID, *, expected_version: int | None = None) -> None:
        """Publish a draft, or an archived rule anew.

        A rule holds for what happens from now on. One that was never active and says that it starts in the past holds
        from then: for orders that are yet to be told of. What has earned already stays as it is.

        Raises:
            Conflict: it is active.

        """
        self.unit.actor.require(WRITE)
        before = await self.repository.get(rule_id, lock=True, expected_version=expected_version)
        if before["state"] == "active":
            raise Conflict("The rule is active already", zh="规则已处于启用状态", code="already_active")
        row = await self.repository.change(rule_id, {"state": "active", "revision": before["revision"] + 1})
        now, starts = self.unit.now(), before["starts_at"]
        is_first = before["revision"] == 0
        await self._publish(row, starts if is_first and starts is not None and starts < now else now)
        await self._tell_state(before, row, "earning_rule.activated")

    async def archive(self, rule_id: UUID, *, expected_version: int | None = None) -> None:
        """Let a rule earn no more; what it earned stays.

        Raises:
            Conflict: it is archived.

        """
        self.unit.actor.require(WRITE)
        before = await self.repository.get(rule_id, lock=True, expected_version=expected_version)
        if before["state"] == "archived":
            raise Conflict("The rule is archived already", zh="规则已归档", code="archived")
        published = before["state"] == "active"
        changes = {"state": "archived", "revision": before["revision"] + published}
        row = await self.repository.change(rule_id, changes)
        if published:
            await self._publish(row, self.unit.now())
        await self._tell_state(before, row, "earning_rule.archived")

    async def _publish(self, row: asyncpg.Record, effective_from: datetime) -> None:
        state = "active" if row["state"] == "active" else "archived"
        await self.repository.publish(row["id"], row["revision"], state, definition_of(row), effective_from)

    async def _tell_state(self, before: asyncpg.Record, row: asyncpg.Record, operation: str) -> None:
        names = ("state", "revision")
        was, after = ({name: each[name] for name in names} for each in (before, row))
        self.unit.audit(operation, "EarningRule", row["id"], before=was, after=after)
        self.unit.emit(operation, row["id"], {"revision": row["revision"]})

    # -- parts -----------------------------------------------------------------------------------------------------

    async def _changes(self, before: asyncpg.Record, data: EarningRuleUpdate) -> dict[str, Any]:
        given = data.model_fields_set
        changes: dict[str, Any] = data.model_dump(include=given & set(_PLAIN))
        if "formula" in given:
            changes["formula"] = data.formula.model_dump()
        for name in ("counts", "caps"):
            if name in given:
                part = getattr(data, name)
                changes[name] = {**before[name], **part.model_dump(include=part.model_fields_set)}
        asked = [part for part in PARTS if part in given]
        changes |= {f"{part}_rule": getattr(data, part) for part in asked}
        after = {**dict(before), **changes}
        _check_parts(after)
        await self._check_conditions(after, asked)
        changes |= {f"{part}_rule": after[f"{part}_rule"] for part in asked}
        return {name: value for name, value in changes.items() if value != before[name]}

    async def _check_conditions(self, row: dict[str, Any], parts: Any) -> None:
        """Check conditions that were sent and put what is stored in their place."""
        conditions = Conditions(self.unit)
        for part in parts:
            tree = row[f"{part}_rule"]
            if tree is None:
                continue
            if part in _SCOPES:
                self.unit.actor.require(_SCOPES[part])
            rules = await conditions.rules_for(part, tree)
            row[f"{part}_rule"] = rules.check(tree, f"/{part}", self.unit.actor).document


class EarningLimitsService:
    """Caps over all rules together."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = LimitsRepository(unit)

    async def change(self, data: EarningLimitsUpdate, *, expected_version: int | None = None) -> None:
        """Change the caps given; they hold for what is decided from now on.

        Raises:
            PreconditionFailed: somebody was faster.

        """
        self.unit.actor.require(WRITE)
        changes = data.model_dump(include=data.model_fields_set)
        before = await self.repository.store(changes, expected_version)
        was = {name: before[name] for name in changes}
        tenant_id = self.unit.tenant_id
        self.unit.audit("earning_limits.updated", "Tenant", tenant_id, before=was, after=changes)
        self.unit.emit("earning_limits.updated", tenant_id, {})


def _check_parts(row: Mapping[str, Any]) -> None:
    """Raise Invalid when the parts of a rule do not fit its trigger or each other."""
    errors = [*_condition_errors(row), *_formula_errors(row), *_time_errors(row)]
    if errors:
        raise Invalid(errors=errors)


def _condition_errors(row: Mapping[str, Any]) -> Iterator[FieldError]:
    trigger = row["trigger"]
    if trigger == "event" and row["event_type"] is None:
        yield FieldError("/event_type", "required", "Name the type of the events that earn", "请指定获得积分的事件类型")
    if trigger != "event" and row["event_type"] is not None:
        yield _unexpected("/event_type", "event")
    for part in ("order", "lines"):
        if row[f"{part}_rule"] is not None and trigger not in ORDER_TRIGGERS:
            yield _unexpected(f"/{part}", "order_paid or order_completed")
    if row["event_rule"] is not None and trigger != "event":
        yield _unexpected("/event", "event")
    if row["keeps_base"] and trigger not in ORDER_TRIGGERS:
        yield _unexpected("/keeps_base", "order_paid or order_completed")


def _unexpected(pointer: str, trigger: str) -> FieldError:
    return FieldError(
        pointer,
        "unexpected",
        f"Only rules with trigger {trigger} have this: leave it out",
        f"仅触发方式为 {trigger.replace(' or ', ' 或 ')} 的规则可使用此项：请移除",
    )


def _formula_errors(row: Mapping[str, Any]) -> Iterator[FieldError]:
    formula, trigger = row["formula"], row["trigger"]
    kind = formula["kind"]
    needs, may = _FORMULAE[kind]
    for name in needs:
        if formula[name] is None:
            yield FieldError(f"/formula/{name}", "required", f"A formula of kind {kind} needs it", f"{kind} 需要此项")
    for name, value in formula.items():
        if value is not None and name not in {"kind", *needs, *may}:
            yield FieldError(
                f"/formula/{name}",
                "unexpected",
                f"A formula of kind {kind} does not take it: leave it out",
                f"{kind} 不使用此项：请移除",
            )
    if kind != "fixed" and trigger not in ORDER_TRIGGERS and (kind == "per_item" or trigger not in NAMED_TRIGGERS):
        yield FieldError(
            "/formula/kind",
            "unexpected",
            f"There is nothing to count when a rule listens to {trigger}: use kind fixed",
            f"触发方式 {trigger} 没有可计算的金额或数量：请使用 fixed",
        )


_FORMULAE: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "fixed": (("points",), ()),
    "per_unit": (("points",), ("per", "whole_steps")),
    "per_item": (("points",), ()),
    "percent": (("percent",), ()),
    "tier_multiplier": ((), ("share",)),
}
"""Kind → what a formula of it must have, and what it may have."""


def _time_errors(row: Mapping[str, Any]) -> Iterator[FieldError]:
    starts, ends = row["starts_at"], row["ends_at"]
    if starts is not None and ends is not None and ends <= starts:
        yield FieldError("/ends_at", "wrong_order", "It ends before it starts", "结束时间早于开始时间")
