"""Proving that a contact point is the customer's: a code goes there and comes back."""

import asyncio
from datetime import datetime
from uuid import UUID

from crm_api.accounts.service import AccountService
from crm_api.channels.models import Letter
from crm_api.channels.service import ChannelService
from crm_api.consent.service import ConsentService
from crm_api.core.ids import new_id
from crm_api.customers.models import ContactKind
from crm_api.customers.service import ContactPointService
from crm_api.db.uow import UnitOfWork
from crm_api.verification import rules
from crm_api.verification.errors import CodeExpired, CodeWrong, DailyLimit, NoCode, Refused, TooManyTries, TooSoon
from crm_api.verification.models import VerificationCheck, VerificationSend
from crm_api.verification.repository import Sent, VerificationRepository


class VerificationService:
    """One-time codes."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = VerificationRepository(unit)
        self.points = ContactPointService(unit)

    async def send(self, customer_id: UUID, contact_point_id: UUID, data: VerificationSend) -> UUID:
        """Send a code to a contact point; the one before it is void. Returns the verification's id.

        Raises:
            NotFound: there is no such customer or contact point.
            AlreadyVerified, ContactPointTaken: somebody has proved it, this customer or another.
            Refused: nothing may be sent to this customer.
            TooSoon, DailyLimit: wait.
            NoChannel: nothing is set up for this kind of contact point.

        """
        kind, value = await self.points.to_verify(customer_id, contact_point_id)
        await self._check_consent(customer_id, kind, value)
        await self.repository.one_at_a_time()
        await self._check_limits(kind, value)
        code, now = rules.new_code(), self.unit.now()
        message_id = await self._post(customer_id, kind, value, code, data)
        await self.repository.replace(contact_point_id)
        verification_id, salt = new_id(), rules.new_salt()
        await self.repository.insert(
            {
                "id": verification_id,
                "customer_id": customer_id,
                "contact_point_id": contact_point_id,
                "kind": kind,
                "value": value,
                "message_id": message_id,
                "salt": salt,
                "code_hash": await self._hashed(code, salt),
                "sent_at": now,
                "resend_at": now + rules.pause(self.unit.settings.code_resend_seconds),
                "expires_at": now + rules.LIFE,
            }
        )
        self._note("verification.sent", verification_id, contact_point_id=str(contact_point_id), kind=kind)
        return verification_id

    async def _check_consent(self, customer_id: UUID, kind: ContactKind, value: str) -> None:
        # A code that the customer asks for is part of what they want done: it takes no consent, and is refused only
        # for those who are gone.
        channel = rules.SEND_CHANNELS[kind]
        decision = await ConsentService(self.unit).may_send(customer_id, "transactional", channel, value)
        if not decision.allowed:
            raise Refused(extra={"reason": decision.reason})

    async def _check_limits(self, kind: ContactKind, value: str) -> None:
        settings, now = self.unit.settings, self.unit.now()
        since = now - rules.DAY
        # By the address, not by the contact point: it may be several customers', and be removed and added again.
        to_address = await self.repository.sent_to(kind, value, since)
        if to_address.resend_at is not None and to_address.resend_at > now:
            raise TooSoon(retry_after=rules.seconds_until(to_address.resend_at, now))
        self._check_number(to_address, settings.codes_per_contact_day, now)
        self._check_number(await self.repository.sent_by_tenant(since), settings.codes_per_tenant_day, now)

    def _check_number(self, sent: Sent, most: int, now: datetime) -> None:
        if sent.number >= most and sent.oldest is not None:
            raise DailyLimit(retry_after=rules.seconds_until(sent.oldest + rules.DAY, now))

    async def _post(self, customer_id: UUID, kind: ContactKind, value: str, code: str, data: VerificationSend) -> UUID:
        shop = await AccountService(self.unit).tenant()
        language = data.language or ("zh" if shop.locale.startswith("zh") else "en")
        subject, body = rules.wording(code, language, shop.name)
        return await ChannelService(self.unit).send(
            Letter(
                kind,
                value,
                body,
                subject,
                {"code": code},
                purpose="verification",
                customer_id=customer_id,
                sensitive=True,
                expires_at=self.unit.now() + rules.LIFE,
            )
        )

    async def check(self, customer_id: UUID, contact_point_id: UUID, data: VerificationCheck) -> UUID:
        """Check a code; the right one proves the contact point. Returns the verification's id.

        A guess is counted before it is compared, with the customer held, so that two at once are two.

        Raises:
            NotFound: there is no such customer or contact point.
            AlreadyVerified, ContactPointTaken: somebody has proved it, this customer or another.
            NoCode, CodeExpired, TooManyTries: send a new one.
            CodeWrong: it is not the code; the guess stays counted.

        """
        await self.points.to_verify(customer_id, contact_point_id)
        row = await self.repository.open_code(customer_id, contact_point_id)
        if row is None:
            raise NoCode
        if row["tries"] >= rules.TRIES:
            raise TooManyTries
        if row["expires_at"] <= self.unit.now():
            raise CodeExpired
        tries = await self.repository.count_try(row["id"])
        if tries is None:
            raise TooManyTries
        if not rules.same(await self._hashed(data.code, row["salt"]), row["code_hash"]):
            if tries == rules.TRIES:
                await self.repository.forget_code(row["id"], None)
            self._note("verification.failed", row["id"], tries=tries)
            raise CodeWrong(rules.TRIES - tries)
        await self.repository.forget_code(row["id"], self.unit.now())
        await self.points.verify(customer_id, contact_point_id)
        self._note("verification.succeeded", row["id"], tries=tries)
        verification_id: UUID = row["id"]
        return verification_id

    async def _hashed(self, code: str, salt: bytes) -> bytes:
        pepper = self.unit.settings.code_pepper
        secret = "" if pepper is None else pepper.get_secret_value()
        return await asyncio.to_thread(rules.hashed, code, salt, secret)

    def _note(self, operation: str, verification_id: UUID, **told: object) -> None:
        self.unit.audit(operation, "ContactVerification", verification_id, after=told)
