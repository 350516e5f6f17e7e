"""What is said about cases: to and by the customer, within the shop, and steps that were done."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from crm_api.complaints import hooks, rules
from crm_api.complaints.cases import CaseWriter, changed
from crm_api.complaints.models import Case, Channel, ComplaintMessageCreate, ComplaintTransition
from crm_api.complaints.repository import ComplaintRepository
from crm_api.complaints.repository.causes import SettingsRepository
from crm_api.complaints.repository.messages import MessageRepository
from crm_api.core.errors import Duplicate, FieldError, Invalid, NotFound
from crm_api.core.ids import new_id
from crm_api.db.uow import UnitOfWork
from crm_api.interactions.service import InteractionService

WRITE = "complaints:write"


class ComplaintMessageService:
    """Messages of cases; what was said once is never changed."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = MessageRepository(unit)
        self.cases = ComplaintRepository(unit)

    async def add(self, complaint_id: UUID, data: ComplaintMessageCreate) -> UUID:
        """Add a message; returns its id.

        A message of the customer ends waiting for them (unless the settings say otherwise), and one that ``tells``
        notes that the customer knows the decision; each is an event of the case. A message of a case that was merged
        does so for the case it was merged into.

        Raises:
            NotFound: there is no such case.
            Duplicate: the case has a message with this ``source_ref``; ``message_id`` in the answer is its id.
            Conflict: there is no decision to tell (``nothing_to_tell``).
            Invalid: something does not go together, is unknown, or lies in the future.

        """
        self.unit.actor.require(WRITE)
        at = _moment(data, self.unit.now())
        _refuse_strays(data)
        case, root_id, root, between = await self._held(complaint_id)
        message_id = await self._write(complaint_id, case, data, at)
        if data.tells:
            event = rules.told(root, at, self.unit.now())
            if event is not None:
                await CaseWriter(self.unit).record(root_id, root, event, "complaint.told")
        elif data.direction == "in":
            await self.resume(root_id, root)
        await changed(self.unit, complaint_id, "message")
        for relative in between:
            await hooks.follow(self.unit, relative, "family")
        return message_id

    async def note_told(self, complaint_id: UUID, case: Case, text: str, channel: Channel | None) -> UUID:
        """Keep what the customer was told with a step of a case that is held; the step itself is the event."""
        data = ComplaintMessageCreate(direction="out", channel=channel, body=text, tells=True)
        return await self._write(complaint_id, case, data, self.unit.now())

    async def _held(self, complaint_id: UUID) -> tuple[Case, UUID, Case, tuple[UUID, ...]]:
        """Hold a case and all it was merged into; returns it, the last of them, and the ids between and at the end."""
        kin, held = await self.cases.lock_kin(complaint_id)
        return held[complaint_id], kin[-1], held[kin[-1]], kin[1:]

    async def _write(self, complaint_id: UUID, case: Case, data: ComplaintMessageCreate, at: datetime) -> UUID:
        if data.interaction_id is not None:
            await self._require_interaction(data.interaction_id)
            await self.cases.link(complaint_id, data.interaction_id)
        message_id, internal = new_id(), data.direction == "internal"
        row = {
            **data.model_dump(),
            "kind": data.kind or ("note" if internal else "message"),
            "channel": None if internal else data.channel or case.channel,
            "at": at,
        }
        known = await self.repository.add({"id": message_id, "complaint_id": complaint_id, **row})
        if known is not None:
            raise _already(known)
        shown = {**data.model_dump(mode="json"), "kind": row["kind"], "channel": row["channel"], "at": at.isoformat()}
        self.unit.audit("complaint.message", "Complaint", complaint_id, after={"message_id": str(message_id), **shown})
        self.unit.emit(f"complaint.{_TYPES[data.direction]}", complaint_id, _said(message_id, case, row))
        return message_id

    async def _require_interaction(self, interaction_id: UUID) -> None:
        """Name the field: a bare 404 would read as if there were no such case."""
        try:
            await InteractionService(self.unit).require(interaction_id)
        except NotFound:
            text = "There is no such interaction"
            raise Invalid.field("/interaction_id", "unknown_reference", text, "没有该互动记录") from None

    async def resume(self, complaint_id: UUID, case: Case) -> None:
        """End a case's waiting for the customer if they have said something since it began; the case is held."""
        if case.state != "waiting_customer" or not (await SettingsRepository(self.unit).row())["resume_on_message"]:
            return
        if await self.repository.answered(complaint_id, await self.cases.members(complaint_id)):
            event = rules.decided(case, ComplaintTransition(action="resume"), self.unit.now())
            await CaseWriter(self.unit).record(complaint_id, case, event, f"complaint.{event.target}")


_TYPES = {"in": "message_in", "out": "message_out", "internal": "note"}


def _said(message_id: UUID, case: Case, row: dict[str, Any]) -> dict[str, Any]:
    staff_id = row["staff_id"]
    return {
        **case.model_dump(mode="json", include={"customer_id", "state", "assignee_id", "merged_into_id"}),
        "message_id": str(message_id),
        "kind": row["kind"],
        "channel": row["channel"],
        "staff_id": None if staff_id is None else str(staff_id),
        "tells": row["tells"],
        "at": row["at"].isoformat(),
    }


def _moment(data: ComplaintMessageCreate, now: datetime) -> datetime:
    at = data.at or now
    if at > now:
        raise Invalid.field("/at", "in_the_future", "This is still to come", "该时间尚未到来")
    return at.astimezone(UTC)


def _refuse_strays(data: ComplaintMessageCreate) -> None:
    """Raise Invalid for what does not go together."""
    internal, errors = data.direction == "internal", []
    if data.kind is not None and (data.kind == "message") == internal:
        text = "What is internal is a note or a step; what is not is a message"
        errors.append(FieldError("/kind", "contradiction", text, "内部内容为 note 或 step，其他为 message"))
    if internal and data.channel is not None:
        text = "What is internal goes by no channel: leave it out"
        errors.append(FieldError("/channel", "not_expected", text, "内部内容没有渠道：请不要填写"))
    if data.tells and data.direction != "out":
        text = "Only what goes out can tell the customer something"
        errors.append(FieldError("/tells", "not_expected", text, "只有发给客户的消息才能告知结果"))
    if data.direction == "in" and data.staff_id is not None:
        text = "What came from the customer was said by nobody of the shop: leave it out"
        errors.append(FieldError("/staff_id", "not_expected", text, "客户的消息没有员工作者：请不要填写"))
    if errors:
        raise Invalid(errors=errors)


def _already(message_id: UUID) -> Duplicate:
    message, zh = "The case has a message with this source_ref", "该投诉已有相同来源编号的消息"
    return Duplicate(
        message,
        zh=zh,
        errors=[FieldError("/source_ref", "duplicate", message, zh)],
        extra={"message_id": str(message_id)},
    )
