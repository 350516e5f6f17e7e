"""Corrective actions: what is done so that a cause brings no more complaints, and who has checked that it works."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from crm_api.accounts.service import AccountService
from crm_api.closing import rules
from crm_api.closing.models import ActionTransition, CorrectiveActionCreate, CorrectiveActionUpdate
from crm_api.closing.repository import ActionRepository, CaseRepository
from crm_api.closing.service import WRITE, Post
from crm_api.core.errors import Conflict, FieldError, Invalid, NotFound
from crm_api.core.ids import new_id
from crm_api.db.uow import UnitOfWork

BATCH: Final = 500
"""Overdue actions told in one transaction."""
KIND: Final = "CorrectiveAction"


class CorrectiveActionService:
    """Corrective actions."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.actions = ActionRepository(unit)
        self.cases = CaseRepository(unit)
        self.post = Post(unit)

    async def create(self, data: CorrectiveActionCreate) -> UUID:
        """Plan an action; returns its id.

        Raises:
            Invalid: there is no such staff member, cause or case; the error points at it.

        """
        self.unit.actor.require(WRITE)
        await AccountService(self.unit).require_active(data.owner_id, "/owner_id")
        await self._check_cause(data.cause)
        await self._check_complaints(data.complaint_ids)
        action_id, row = new_id(), data.model_dump(exclude={"complaint_ids"})
        await self.actions.insert({"id": action_id, "state": "open", **row})
        await self.actions.link_all(action_id, list(dict.fromkeys(data.complaint_ids)))
        self.unit.audit("corrective_action.created", KIND, action_id, after=data.model_dump(mode="json"))
        self._emit("created", action_id, {**row, "state": "open"})
        return action_id

    async def update(
        self, action_id: UUID, data: CorrectiveActionUpdate, *, expected_version: int | None = None
    ) -> None:
        """Change the fields given. A new day lets it be overdue anew.

        Raises:
            Invalid: there is no such staff member.
            Conflict: ``action_ended``.

        """
        self.unit.actor.require(WRITE)
        before = await self.actions.get(action_id, lock=True, expected_version=expected_version)
        if before["state"] in {"verified", "cancelled"}:
            raise _ENDED
        given = data.model_dump(include=data.model_fields_set)
        changes = {name: value for name, value in given.items() if before[name] != value}
        if not changes:
            return
        if "owner_id" in changes:
            await AccountService(self.unit).require_active(data.owner_id, "/owner_id")
        if "cause" in changes:
            await self._check_cause(data.cause)
        again = {"overdue_told_at": None} if "due_on" in changes else {}
        row = await self.actions.change(action_id, {**changes, **again})
        told = data.model_dump(mode="json", include=set(changes))
        was = {name: _plain(before[name]) for name in changes}
        self.unit.audit("corrective_action.updated", KIND, action_id, before=was, after=told)
        self._emit("updated", action_id, dict(row))

    async def transition(self, action_id: UUID, data: ActionTransition, *, expected_version: int | None = None) -> None:
        """Take a step.

        Raises:
            Conflict: ``transition_not_allowed``, or ``own_work``: nobody checks what they did or own.
            Invalid: nobody is named who checked it, or there is no such staff member.

        """
        self.unit.actor.require(WRITE)
        row = await self.actions.get(action_id, lock=True, expected_version=expected_version)
        target = rules.after(row["state"], data.action)
        await AccountService(self.unit).require_active(data.staff_id, "/staff_id")
        changes = {"state": target, **self._changes(row, data)}
        after = await self.actions.change(action_id, changes)
        was = {name: _plain(row[name]) for name in changes}
        told = {**{name: _plain(value) for name, value in changes.items()}, "note": data.note}
        self.unit.audit(f"corrective_action.{data.action}", KIND, action_id, before=was, after=told)
        self._emit(_TOLD[data.action], action_id, dict(after))

    def _changes(self, row: Any, data: ActionTransition) -> dict[str, Any]:
        now = self.unit.now()
        match data.action:
            case "finish":
                return {"done_at": now, "done_by": data.staff_id or row["owner_id"], "outcome": data.note}
            case "verify":
                if data.staff_id is None:
                    raise Invalid.field("/staff_id", "required", "Say who has checked it", "请填写验证人")
                if data.staff_id in {row["owner_id"], row["done_by"]}:
                    raise _OWN_WORK
                return {"verified_at": now, "verified_by": data.staff_id, "verification": data.note}
            case "return":
                return {"done_at": None, "done_by": None, "verification": data.note}
            case "cancel":
                return {"cancelled_at": now, "reason": data.note}
            case "start":
                return {}

    async def link_complaint(self, action_id: UUID, complaint_id: UUID) -> None:
        """Say that an action is about a case; saying it again changes nothing."""
        self.unit.actor.require(WRITE)
        await self.actions.get(action_id, lock=True)
        if not await self.cases.known([complaint_id]):
            raise NotFound
        if await self.actions.link(action_id, complaint_id):
            self._audit_link("corrective_action.link_complaint", action_id, complaint_id)

    async def unlink_complaint(self, action_id: UUID, complaint_id: UUID) -> None:
        """Take that back; taking back what was not said changes nothing."""
        self.unit.actor.require(WRITE)
        await self.actions.get(action_id, lock=True)
        if await self.actions.unlink(action_id, complaint_id):
            self._audit_link("corrective_action.unlink_complaint", action_id, complaint_id)

    async def tell_overdue(self) -> int:
        """Tell of actions whose day has passed undone, of each once for each day set; returns how many."""
        zone = ZoneInfo((await AccountService(self.unit).tenant()).time_zone)
        now = self.unit.now()
        late = await self.actions.mark_overdue(now, now.astimezone(zone).date(), BATCH)
        for row in late:
            told = {name: _plain(row[name]) for name in ("cause", "owner_id", "due_on")}
            self.unit.emit("corrective_action.overdue", row["id"], told)
        return len(late)

    async def _check_cause(self, path: str) -> None:
        if not await self.cases.is_cause(path):
            text = "The taxonomy has no such place, or it is archived: see GET /v1/complaint-causes"
            zh = "分类体系中没有此项，或已停用：请查看 GET /v1/complaint-causes"
            raise Invalid.field("/cause", "unknown_cause", text, zh)

    async def _check_complaints(self, ids: Sequence[UUID]) -> None:
        known = await self.cases.known(ids) if ids else set()
        errors = [
            FieldError(f"/complaint_ids/{index}", "unknown_reference", "There is no such case", "没有该投诉")
            for index, each in enumerate(ids)
            if each not in known
        ]
        if errors:
            raise Invalid(errors=errors)

    def _emit(self, what: str, action_id: UUID, row: Mapping[str, Any]) -> None:
        told = {name: _plain(row[name]) for name in ("cause", "owner_id", "due_on", "state")}
        self.unit.emit(f"corrective_action.{what}", action_id, told)

    def _audit_link(self, operation: str, action_id: UUID, complaint_id: UUID) -> None:
        self.unit.audit(operation, KIND, action_id, after={"complaint_id": str(complaint_id)})


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


_TOLD: Final = {
    "start": "started",
    "finish": "done",
    "verify": "verified",
    "return": "returned",
    "cancel": "cancelled",
}
_ENDED: Final = Conflict("It has ended: plan a new action", zh="该措施已结束：请新建措施", code="action_ended")
_OWN_WORK: Final = Conflict(
    "Nobody checks their own work: somebody else than its owner and who did it must verify it",
    zh="不能验证自己负责或完成的措施：请由他人验证",
    code="own_work",
)
