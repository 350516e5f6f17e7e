"""What steps of escalation do: write to staff, raise the severity, give the case to somebody else, call a webhook.

A step is announced with its clock, in one transaction (`clocks.CaseClocks`); here the worker does what it says, as the
system. Each announcement has one outcome: it is held while the step is taken, and taken only while `pending`.
"""

import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast
from uuid import UUID

import asyncpg
import httpx
import orjson
from standardwebhooks import Webhook

from crm_api.accounts.service import AccountService
from crm_api.channels.errors import NoChannel
from crm_api.channels.models import Letter
from crm_api.channels.service import ChannelService
from crm_api.complaints import rules
from crm_api.complaints.assigning import CaseAssignment
from crm_api.complaints.clock_models import step_key
from crm_api.complaints.models import ComplaintUpdate, Severity
from crm_api.complaints.notices import letter
from crm_api.complaints.repository import ComplaintRepository
from crm_api.complaints.repository.assigning import CaseRepository
from crm_api.complaints.repository.clock_alerts import AlertRepository
from crm_api.complaints.service import ComplaintService
from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.web.outbound import ForbiddenAddressError, UnknownHostError, post

GRAVER: Final[Mapping[str, str]] = {"S4": "S3", "S3": "S2", "S2": "S1"}
SECONDS: Final = 10
"""How long a webhook may take to answer."""


class Escalations:
    """Steps that are to be taken.

    Locks: all cases of the batch by id, then what each step needs.
    """

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit of the system's."""
        self.unit = unit
        self.alerts = AlertRepository(unit)

    async def follow(self, messages: Sequence[Message]) -> None:
        """Take the steps these messages announce; what was taken already is passed over."""
        for message in messages:
            if message.payload["action"] == "notify":
                await self._notify(message)
        wanted = [each for each in messages if each.payload["action"] in {"raise", "reassign"}]
        await CaseRepository(self.unit).hold(sorted({each.subject_id for each in wanted}))
        for message in wanted:
            await self._take(UUID(message.payload["alert_id"]))

    async def _notify(self, message: Message) -> None:
        """Write to those who are to be told and have an address, if the shop has a channel for e-mail."""
        addresses = await self.alerts.e_mails([UUID(each) for each in message.payload.get("to", ())])
        if not addresses:
            return
        shop = await AccountService(self.unit).tenant()
        subject, body = letter(message.payload, str(message.subject_id), zone=shop.time_zone, locale=shop.locale)
        for address in addresses:
            with contextlib.suppress(NoChannel):
                written = Letter("email", address, body, subject, purpose="complaint_clock")
                await ChannelService(self.unit).send(written)

    async def _take(self, alert_id: UUID) -> None:
        row = await self.alerts.alert(alert_id)
        if row is None or row["outcome"] != "pending":
            return
        if row["action"] == "raise":
            await self._settle(row, await self._raise(row["complaint_id"]))
            return
        step = step_of(dict(row))
        wanted = None if step is None or step["staff_id"] is None else UUID(step["staff_id"])
        await self._settle(row, await CaseAssignment(self.unit).reassign(row["complaint_id"], wanted))

    async def _raise(self, complaint_id: UUID) -> bool:
        case = await ComplaintRepository(self.unit).lock(complaint_id)
        graver = GRAVER.get(case.severity)
        if graver is None or case.state not in rules.OPEN:
            return False
        raised = ComplaintUpdate(severity=cast("Severity", graver))
        await ComplaintService(self.unit).update(complaint_id, raised)
        return True

    async def _settle(self, row: asyncpg.Record, done: bool) -> None:
        if done:
            await self.alerts.settle(row["id"], "done")
        else:
            await self.alerts.settle(row["id"], "not_needed", "the case was over, or nobody else could take it")


def step_of(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the step of an announcement as the policy that announced it has it now; None when it was taken out."""
    for each in row["escalations"]:
        if step_key(each["at"], each["clock"], each["after_minutes"], each["action"]) == row["step"]:
            found: Mapping[str, Any] = each
            return found
    return None


# -- webhooks ----------------------------------------------------------------------------------------------------------


class WebhookRefusedError(Exception):
    """The receiver did not answer with success: it is asked again."""


async def call(database: Database, tenant_id: UUID, alert_id: UUID) -> None:
    """Send an announcement to its webhook, as Standard Webhooks says; asked again by the queue until it is taken.

    The receiver may get it twice when a worker dies between its answer and our note; ``webhook-id`` is the same then.
    """
    actor = Actor.system(tenant_id, "complaints.webhook")
    row = await database.run(actor, lambda unit: AlertRepository(unit).alert(alert_id))
    if row is None or row["outcome"] != "pending":
        return
    step = step_of(dict(row))
    if step is None or step["url"] is None or row["secret"] is None:
        await _note(database, actor, alert_id, "not_needed", "the policy has no such webhook any more")
        return
    try:
        await _send(step["url"], row["secret"], row, private=database.settings.outbound_private_hosts)
    except ForbiddenAddressError as error:
        await _note(database, actor, alert_id, "failed", str(error))
        return
    except (UnknownHostError, TimeoutError, httpx.TransportError) as error:
        raise WebhookRefusedError(str(error) or type(error).__name__) from error
    await _note(database, actor, alert_id, "done", None)


async def give_up(database: Database, tenant_id: UUID, alert_id: UUID, reason: str) -> None:
    """Say on the announcement that its webhook was never taken."""
    await _note(database, Actor.system(tenant_id, "complaints.webhook"), alert_id, "failed", reason[:2000])


async def _note(database: Database, actor: Actor, alert_id: UUID, outcome: str, reason: str | None) -> None:
    await database.run(actor, lambda unit: AlertRepository(unit).settle(alert_id, outcome, reason))


async def _send(url: str, secret: str, row: asyncpg.Record, *, private: bool) -> None:
    now, number = datetime.now(UTC), str(row["id"])
    names = ("complaint_id", "clock", "cycle", "step", "due_at", "breached_at", "at")
    about = {"id": number, **{name: row[name] for name in names}}
    content = orjson.dumps({"type": "complaint.escalated", "timestamp": now, "data": about}, default=str)
    headers = {
        "content-type": "application/json",
        "webhook-id": number,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(number, now, content.decode()),
    }
    answer = await post(url, headers, content, private=private, seconds=SECONDS)
    if not 200 <= answer.status < 300:  # noqa: PLR2004
        raise WebhookRefusedError(f"the receiver answered {answer.status}")
