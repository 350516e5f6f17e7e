"""How a shop closes its cases: settings, and what tellings and ratings share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from crm_api.accounts.service import AccountService
from crm_api.channels.errors import NoChannel
from crm_api.channels.models import Letter
from crm_api.channels.service import ChannelService
from crm_api.closing import rules
from crm_api.closing.models import ClosingChannel, ClosingSettingsUpdate, Reason, Way
from crm_api.closing.repository import CaseRepository, ClosingSettingsRepository
from crm_api.consent.service import ConsentService
from crm_api.db.uow import UnitOfWork

READ = "complaints:read"
WRITE = "complaints:write"

SETTLED: Final = frozenset({"resolved", "closed"})
"""States of a case with a result."""


class ClosingSettingsService:
    """What is told and asked by itself."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ClosingSettingsRepository(unit)

    async def begin(self) -> None:
        """Give a new tenant the defaults."""
        await self.repository.begin()

    async def change(self, data: ClosingSettingsUpdate, *, expected_version: int | None = None) -> None:
        """Change the settings given; they hold for what happens from now on.

        Raises:
            PreconditionFailed: their version is not the expected one.

        """
        self.unit.actor.require(WRITE)
        given = data.model_dump(include=data.model_fields_set)
        before = await self.repository.store(given, expected_version)
        after = {name: value for name, value in given.items() if before[name] != value}
        if after:
            was = {name: before[name] for name in after}
            self.unit.audit("closing_settings.updated", "Tenant", self.unit.tenant_id, before=was, after=after)
            self.unit.emit("closing_settings.updated", self.unit.tenant_id, {})


Draft = Callable[[Way], tuple[str, str]]
"""Gives subject and body of a letter for a way."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a letter.

    Attributes:
        channel: the way it goes; the ``shop`` when there is none.
        message_id: of the channel's message, when it is on its way.
        reason: why it is the shop's, otherwise.

    """

    channel: ClosingChannel
    message_id: UUID | None = None
    reason: Reason | None = None


class Post:
    """Letters to the customer of a case, by the first way that works."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.cases = CaseRepository(unit)

    async def words(self, case: Any) -> rules.Words:
        """Return what letters about a case are made of."""
        shop = await AccountService(self.unit).tenant()
        return rules.Words(rules.language_of(shop.locale), shop.name, case["subject"])

    async def send(self, case: Any, purpose: str, ways: Sequence[Way], draft: Draft, *, secret: bool = False) -> Sent:
        """Queue a letter with this transaction.

        Args:
            case: whose customer it is for.
            purpose: in the sense of the consent ledger. Answers to a case the customer has opened are transactional and
                take no consent; asking for a rating is a service that takes it.
            ways: at least one, the preferred one first.
            draft: what to say.
            secret: whether it holds a link of the customer's own, which no surface shows.

        Returns:
            The way it goes; if there is none, why the preferred one does not work.

        """
        refused: list[Sent] = []
        for way in ways:
            sent = await self._send_by(way, case["customer_id"], purpose, draft(way), secret=secret)
            if sent.message_id is not None:
                return sent
            refused.append(sent)
        return refused[0]

    async def _send_by(
        self, way: Way, customer_id: UUID, purpose: str, letter: tuple[str, str], *, secret: bool
    ) -> Sent:
        kind = rules.ADDRESSES[way]
        to = await self.cases.address_of(customer_id, kind)
        if to is None:
            return Sent("shop", reason="no_address")
        if not (await ConsentService(self.unit).may_send(customer_id, purpose, way, to)).allowed:
            return Sent("shop", reason="not_allowed")
        subject, body = letter
        if way == "sms" and len(body) > rules.MAX_TEXT:
            return Sent("shop", reason="too_long")
        message = Letter(
            kind,
            to,
            body,
            subject if way == "email" else None,
            purpose="complaint",
            customer_id=customer_id,
            sensitive=secret,
        )
        try:
            return Sent(way, await ChannelService(self.unit).send(message))
        except NoChannel:
            return Sent("shop", reason="no_channel")
