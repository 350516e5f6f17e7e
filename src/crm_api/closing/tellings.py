"""Telling customers the decision and the result, and noting that they were told.

One row for each case, what is told of it, and decision (of the case it was merged into, if it was): whoever tells, the
worker or staff, holds the decided case first, so nothing is told twice. A letter counts as told once mail server or
provider has taken it; what no way carries is the shop's to tell (message ``complaint.to_tell``) and to confirm.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from crm_api.accounts.service import AccountService
from crm_api.closing.models import ClosingChannel, TellingConfirm, TellingCreate, What
from crm_api.closing.repository import CaseRepository, ClosingSettingsRepository, TellingRepository
from crm_api.closing.service import SETTLED, WRITE, Draft, Post, Sent
from crm_api.complaints.models import Channel, ComplaintMessageCreate
from crm_api.complaints.service import ComplaintMessageService
from crm_api.core.errors import Conflict, Invalid
from crm_api.core.ids import new_id
from crm_api.db.uow import UnitOfWork

DECIDED: Final = frozenset({"proposed", "escalated_external", "resolved", "closed", "rejected"})
"""States in which there is a decision to tell."""
RECORDED: Final = 20_000
"""Characters that a message of a case holds; a letter may be longer by its opening and its end."""
_SETTING: Final[Mapping[What, str]] = {"decision": "tell_decision", "result": "tell_result"}


class TellingService:
    """What customers are told of their cases."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.messages = ComplaintMessageService(unit)
        self.tellings = TellingRepository(unit)
        self.cases = CaseRepository(unit)
        self.post = Post(unit)

    async def tell(self, complaint_id: UUID, data: TellingCreate) -> tuple[UUID, bool]:
        """Tell the customer, or take up again what the shop was to tell.

        Returns:
            The telling's id, and whether it is new.

        Raises:
            NotFound: there is no such case.
            Invalid: the case does not say what was decided, and no text was given.
            Conflict: ``nothing_to_tell``: there is no decision yet; ``already_told``: the next decision can be told
                again.

        """
        self.unit.actor.require(WRITE)
        case = await self.cases.case(complaint_id, lock=True)
        if case["state"] not in DECIDED or (data.what == "result" and case["state"] not in SETTLED):
            raise _nothing(data.what, case["state"])
        known = await self.tellings.of(complaint_id, data.what, case["cycle"])
        if known is not None and known["state"] != "to_tell":
            raise _already(known["id"])
        text = data.text or _words(case)
        if text is None:
            raise Invalid.field(
                "/text", "required", "The case has no decision: say what to tell", "投诉未填写处理决定：请填写告知内容"
            )
        return await self._tell(case, data.what, text, known, data.channel), known is None

    async def follow(self, complaint_ids: Sequence[UUID]) -> None:
        """Tell by itself what is due, now that these cases have moved on; and note what was told otherwise."""
        settings = await ClosingSettingsRepository(self.unit).settings()
        for complaint_id in await self.cases.roots(complaint_ids):
            case = await self.cases.case(complaint_id, lock=True)
            what = _due(case)
            words = _words(case)
            if what is not None and words is not None and settings[_SETTING[what]]:
                await self._tell_all(case, what, words)
        await self._settle(complaint_ids)

    async def _tell_all(self, case: dict[str, Any], what: What, words: str) -> None:
        """Tell the customer of a case that is held, and the others whose cases were merged into it."""
        if what == "result" or case["decision_told_at"] is None:
            await self._tell_once(case, what, words)
        for other in await self.cases.others(case):
            await self._tell_once({**other, "cycle": case["cycle"]}, what, words)

    async def _tell_once(self, case: dict[str, Any], what: What, text: str) -> None:
        if await self.tellings.of(case["id"], what, case["cycle"]) is None:
            await self._tell(case, what, text, None, None)

    async def confirm(self, telling_id: UUID, data: TellingConfirm, *, expected_version: int | None = None) -> None:
        """Note that somebody of the shop has told the customer.

        Raises:
            NotFound: there is no such telling.
            Conflict: ``already_told``; ``superseded``: another decision has taken its place.
            Invalid: the time is still to come, or there is no such staff member.

        """
        self.unit.actor.require(WRITE)
        at = data.at or self.unit.now()
        if at > self.unit.now():
            raise Invalid.field("/at", "in_the_future", "This is still to come", "该时间尚未到来")
        await AccountService(self.unit).require_active(data.staff_id, "/staff_id")
        complaint_id = (await self.tellings.get(telling_id))["complaint_id"]
        case = await self.cases.case(complaint_id, lock=True)
        row = await self.tellings.get(telling_id, lock=True, expected_version=expected_version)
        if row["state"] == "told":
            raise _already(telling_id)
        if row["state"] == "superseded":
            raise _superseded(await self.tellings.latest(complaint_id))
        values = {"channel": "shop", "reason": row["reason"] or "asked", "told_by": data.staff_id, "note": data.note}
        await self._note_told(case, row, at, values)
        await self._record(case, row, at, staff_id=data.staff_id)

    async def delivered(self, arrived: Mapping[UUID, bool]) -> None:
        """Note what became of letters: message → whether it was taken. What nobody took is the shop's to tell."""
        for row in await self.tellings.sent_as(list(arrived)):
            case = await self.cases.case(row["complaint_id"], lock=True)
            telling = await self.tellings.get(row["id"], lock=True)
            if telling["state"] != "queued" or telling["message_id"] != row["message_id"]:
                continue
            if arrived[row["message_id"]]:
                await self._note_told(case, telling, self.unit.now(), {})
                await self._record(case, telling, self.unit.now(), channel=telling["channel"])
            else:
                await self._leave_to_shop(case, telling["id"], telling["what"], Sent("shop", reason="not_delivered"))

    async def _tell(self, case: Any, what: What, text: str, known: Any, wanted: ClosingChannel | None) -> UUID:
        draft = partial((await self.post.words(case)).telling, what, text)
        telling_id: UUID = new_id() if known is None else known["id"]
        sent = await self._send(case, draft, wanted)
        subject, body = draft(sent.channel)
        values = {
            "state": "to_tell" if sent.channel == "shop" else "queued",
            "channel": sent.channel,
            "reason": sent.reason,
            "subject": subject,
            "body": body,
            "message_id": sent.message_id,
        }
        if known is None:
            await self.tellings.supersede(case["id"], case["cycle"])
            about = {"complaint_id": case["id"], "what": what, "cycle": case["cycle"]}
            await self.tellings.insert({"id": telling_id, **about, **values})
        else:
            await self.tellings.change(telling_id, values)
        if sent.channel == "shop":
            self._ask_shop(case, telling_id, what, sent)
        self._audit("complaint.tell", telling_id, case, what=what, channel=sent.channel, reason=sent.reason)
        return telling_id

    async def _send(self, case: Any, draft: Draft, wanted: ClosingChannel | None) -> Sent:
        if wanted == "shop":
            return Sent("shop", reason="asked")
        ways = [wanted] if wanted else (await ClosingSettingsRepository(self.unit).settings())["tell_by"]
        return await self.post.send(case, "transactional", ways, draft)

    async def _leave_to_shop(self, case: Any, telling_id: UUID, what: What, sent: Sent) -> None:
        await self.tellings.change(telling_id, {"state": "to_tell", "channel": "shop", "reason": sent.reason})
        self._ask_shop(case, telling_id, what, sent)

    def _ask_shop(self, case: Any, telling_id: UUID, what: What, sent: Sent) -> None:
        told = {"telling_id": str(telling_id), "what": what, "reason": sent.reason}
        self.unit.emit("complaint.to_tell", case["id"], {**_about(case), **told})

    async def _note_told(self, case: Any, row: Any, at: datetime, values: Mapping[str, Any]) -> None:
        await self.tellings.change(row["id"], {"state": "told", "told_at": at, **values})
        told = {"telling_id": str(row["id"]), "what": row["what"], "at": at.isoformat()}
        self.unit.emit("complaint.telling_told", case["id"], {**_about(case), **told})
        self._audit("complaint.told", row["id"], case, what=row["what"], at=at.isoformat())

    async def _record(
        self, case: Any, row: Any, at: datetime, *, channel: Channel | None = None, staff_id: UUID | None = None
    ) -> None:
        """Keep what was told among the case's messages; by it the case knows that its decision was told.

        Whoever was told the result was told the decision: the letter holds it. A decision of before is none of now.
        """
        message = ComplaintMessageCreate(
            direction="out",
            channel=channel,
            body=row["body"][:RECORDED],
            staff_id=staff_id,
            source_ref=f"telling:{row['id']}",
            at=at,
            tells=row["cycle"] == case["cycle"] and case["state"] in DECIDED,
        )
        await self.messages.add(case["id"], message)

    async def _settle(self, complaint_ids: Sequence[UUID]) -> None:
        """Take off the shop's list what the case says was told: by a message of its own, or with a step."""
        for waiting in await self.tellings.waiting(complaint_ids):
            case = await self.cases.case(waiting["complaint_id"], lock=True)
            row = await self.tellings.get(waiting["id"], lock=True)
            told_at = case["decision_told_at"]
            if row["state"] == "to_tell" and row["cycle"] == case["cycle"] and told_at is not None:
                await self._note_told(case, row, told_at, {})

    def _audit(self, operation: str, telling_id: UUID, case: Any, **told: Any) -> None:
        after = {"complaint_id": str(case["id"]), **told}
        self.unit.audit(operation, "ComplaintTelling", telling_id, after=after)


def _due(case: Any) -> What | None:
    """Return what a case in its state should be told, if anything."""
    if case["state"] in SETTLED:
        return "result"
    return "decision" if case["state"] in {"proposed", "rejected"} else None


def _words(case: Any) -> str | None:
    """Return what there is to tell: what was decided, or why the case was rejected."""
    words: str | None = case["reason"] if case["state"] == "rejected" else case["decision"]
    return words


def _about(case: Any) -> dict[str, Any]:
    assignee = case["assignee_id"]
    return {
        "complaint_id": str(case["id"]),
        "customer_id": str(case["customer_id"]),
        "assignee_id": None if assignee is None else str(assignee),
    }


def _nothing(what: What, state: str) -> Conflict:
    needs = ("a decision", "处理决定") if what == "decision" else ("a resolution", "处理结果")
    return Conflict(
        f"There is no {what} to tell in '{state}': the case needs {needs[0]} first",
        zh=f"“{state}” 状态下没有可告知的内容：投诉须先有{needs[1]}",
        code="nothing_to_tell",
    )


def _already(telling_id: UUID) -> Conflict:
    return Conflict(
        "The customer has been told this already, or the message is on its way",
        zh="已告知客户，或消息正在发送",
        code="already_told",
        extra={"telling_id": str(telling_id)},
    )


def _superseded(telling_id: UUID) -> Conflict:
    return Conflict(
        "Another decision has taken the place of this one: tell that",
        zh="该决定已被新的决定取代：请告知新的决定",
        code="superseded",
        extra={"telling_id": str(telling_id)},
    )
