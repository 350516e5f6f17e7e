"""Sending one message: take it, hand it over outside any transaction, note what came of it.

``sending`` is committed before anything leaves, with a lease: while it lasts nobody else sends the message. A worker
that dies between handing over and noting leaves a message whose fate nobody knows; it is sent again when the lease is
over, under the same Message-ID or ``message_id``. That is the one window in which a message can arrive twice.
"""

import secrets
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import structlog

from crm_api.channels import rules
from crm_api.channels.repository import MessageRepository
from crm_api.channels.service import JOB
from crm_api.channels.transports import MAKERS, DeliveryError, Outgoing
from crm_api.channels.transports.base import SECONDS
from crm_api.core.actor import Actor
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork

log = structlog.get_logger(__name__)
_random = secrets.SystemRandom()

LEASE_SECONDS: Final = 2 * SECONDS
"""Longer than any attempt: whoever has not noted anything by then is dead."""


class Delivery:
    """One message on its way out."""

    def __init__(self, database: Database, tenant_id: UUID, message_id: UUID) -> None:
        """Name the message."""
        self._database = database
        self._actor = Actor.system(tenant_id, f"message:{message_id}")
        self._id = message_id

    async def run(self) -> None:
        """Make one attempt, unless the message has ended or somebody else is at it."""
        row = await self._database.run(self._actor, self._claim)
        if row is None:
            return
        try:
            values = {"state": "sent", "error": None, **await self._attempt(row)}
            pause = None
        except DeliveryError as error:
            pause = None if error.permanent else rules.pause_before(row["attempts"], _random.uniform)
            values = {"state": "failed" if pause is None else "queued", "error": str(error)}
        await self._database.run(self._actor, lambda unit: self._note(unit, row["attempts"], values, pause))

    async def _claim(self, unit: UnitOfWork) -> Mapping[str, Any] | None:
        messages = MessageRepository(unit)
        row = await messages.claim(self._id, LEASE_SECONDS)
        if row is None:
            left = await messages.seconds_left(self._id)
            if left is not None:
                # Somebody is at it, or was when it died: look again when that is known.
                await unit.enqueue(JOB, {"message_id": str(self._id)}, delay_seconds=left + 1)
        return None if row is None else dict(row)

    async def _attempt(self, row: Mapping[str, Any]) -> dict[str, Any]:
        if not row["active"] and row["purpose"] != "test":
            raise DeliveryError("the channel is switched off", permanent=True)
        if row["expires_at"] is not None and row["expires_at"] <= self._database.clock.now():
            raise DeliveryError("it would have come too late", permanent=True)
        private = self._database.settings.outbound_private_hosts
        transport = MAKERS[row["kind"]](row["settings"], row["secret"], private)
        message = Outgoing(row["id"], row["recipient"], row["body"], row["subject"], row["params"] or {})
        provider_id = await transport.deliver(message)
        return {"provider_id": provider_id, "sent_at": self._database.clock.now()}

    async def _note(self, unit: UnitOfWork, attempt: int, values: Mapping[str, Any], pause: float | None) -> None:
        row = await MessageRepository(unit).finish(self._id, attempt, values)
        if row is None:
            log.warning("message_superseded", message_id=str(self._id))
        elif pause is not None:
            await unit.enqueue(JOB, {"message_id": str(self._id)}, delay_seconds=pause)
        else:
            tell_ended(unit, dict(row))


def tell_ended(unit: UnitOfWork, row: Mapping[str, Any]) -> None:
    """Note in audit log and outbox that a message has ended: neither address nor text."""
    told = {
        "channel_id": str(row["channel_id"]),
        "purpose": row["purpose"],
        "attempts": row["attempts"],
        "error": row["error"],
    }
    operation = f"message.{row['state']}"
    unit.audit(operation, "ChannelMessage", row["id"], after=told)
    unit.emit(operation, row["id"], told)
