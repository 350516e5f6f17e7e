"""How a shop closes its cases: settings, and what tellings and ratings share."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from crm_api.accounts.service import AccountService
from crm_api.channels.errors import NoChannel
from crm_api.channels.models import Letter
from crm_api.channels.service import ChannelService
from crm_api.closing import rules
from crm_api.closing.models import ClosingSettingsUpdate, Reason
from crm_api.closing.repository import CaseRepository, ClosingSettingsRepository
from crm_api.consent.service import ConsentService
from crm_api.core.errors import Invalid
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


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a letter.

    Attributes:
        message_id: the e-mail's, when it is on its way.
        reason: why it could not be sent, otherwise.

    """

    message_id: UUID | None
    reason: Reason | None


class Post:
    """Letters to the customer of a case: by e-mail, if that can be."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.cases = CaseRepository(unit)

    async def words(self, case: Any) -> rules.Words:
        """Return what letters about a case are made of."""
        shop = await AccountService(self.unit).tenant()
        return rules.Words(rules.language_of(shop.locale), shop.name, case["subject"])

    async def address(self, case: Any, purpose: str) -> tuple[str | None, Reason | None]:
        """Return where the customer may be written to for a purpose, or why nowhere.

        Answers to a case the customer has opened are transactional and take no consent; asking for a rating is a
        service that takes it.
        """
        address = await self.cases.e_mail_of(case["customer_id"])
        if address is None:
            return None, "no_address"
        decision = await ConsentService(self.unit).may_send(case["customer_id"], purpose, "email", address)
        return (address, None) if decision.allowed else (None, "not_allowed")

    async def send(self, case: Any, address: str, letter: tuple[str, str], *, secret: bool = False) -> Sent:
        """Queue an e-mail with this transaction.

        Args:
            case: whose customer it is for.
            address: where to.
            letter: subject and body.
            secret: whether it holds a link of the customer's own, which no surface shows.

        """
        subject, body = letter
        try:
            message_id = await ChannelService(self.unit).send(
                Letter(
                    "email",
                    address,
                    body,
                    subject,
                    purpose="complaint",
                    customer_id=case["customer_id"],
                    sensitive=secret,
                )
            )
        except NoChannel:
            return Sent(None, "no_channel")
        return Sent(message_id, None)

    async def check_staff(self, staff_id: UUID | None, pointer: str) -> None:
        """Raise Invalid unless somebody with this id works here."""
        if staff_id is not None and not await self.cases.active_staff(staff_id):
            raise Invalid.field(pointer, "unknown_reference", "There is no such active staff member", "没有该在职员工")
