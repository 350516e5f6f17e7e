"""What can be done with consent; and the one question everything that sends asks first."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import orjson

from crm_api.consent import rules
from crm_api.consent.models import (
    MAX_DETAILS,
    ChannelState,
    ConsentCreate,
    ConsentSettings,
    ConsentSettingsUpdate,
    ConsentState,
    ConsentTextCreate,
    Decision,
    Evaluation,
    PurposeState,
    SendChannel,
)
from crm_api.consent.repository import (
    ConsentRepository,
    ConsentSettingsRepository,
    ConsentTextRepository,
    Subject,
)
from crm_api.consent.rules import ANY, GUARDIAN, Entry, Standing, Verdict
from crm_api.core.errors import Conflict, FieldError, Invalid, NotFound
from crm_api.customers.service import guardians_agree_by, normal_address
from crm_api.db.plans.aliases import successors
from crm_api.db.uow import UnitOfWork

READ = "consent:read"
WRITE = "consent:write"

_TICK: Final = timedelta(microseconds=1)
"""PostgreSQL's resolution of time."""


class ConsentService:
    """The consent ledger: what customers agreed to, what they refused, and what follows."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ConsentRepository(unit)

    # -- what senders and other domains ask -----------------------------------------------------------------------

    async def may_send(
        self, customer_id: UUID, purpose: str, channel: SendChannel, address: str | None = None
    ) -> Decision:
        """Decide whether something may be sent to a customer; ask right before sending, in the same transaction.

        Args:
            customer_id: to whom.
            purpose: what for, see `rules.BASIS`.
            channel: by which way.
            address: where it would go; it must be one of the customer's contact points unless the purpose needs no
                consent (a one-time code goes to a number that is not the customer's yet).

        Raises:
            NotFound: there is no such customer.
            Invalid: there is no such purpose.

        """
        decisions = await self.may_send_many({customer_id: address}, purpose, channel)
        if not decisions:
            raise NotFound
        return decisions[customer_id]

    async def may_send_many(
        self, recipients: Mapping[UUID, str | None], purpose: str, channel: SendChannel
    ) -> dict[UUID, Decision]:
        """Decide for many customers at once, in a few statements however many they are.

        Args:
            recipients: customer → address, or None for any of theirs.
            purpose: as for `may_send`.
            channel: as for `may_send`.

        Returns:
            A decision for each customer that exists; the deleted and erased exist, and get nothing.

        """
        await self._check_purpose(purpose)
        _refuse_guardian(purpose)
        addresses = any(address is not None for address in recipients.values())
        # Whoever was merged is meant by the old id too: a job may have been queued before.
        became = await successors(self.unit, recipients)
        meant = {customer_id: became.get(customer_id, customer_id) for customer_id in recipients}
        subjects = await self.repository.subjects(sorted(set(meant.values())), purpose, addresses=addresses)
        return {
            customer_id: _decision(customer_id, _judge(subjects[meant[customer_id]], purpose, channel, address))
            for customer_id, address in recipients.items()
            if meant[customer_id] in subjects
        }

    async def require_guardian(self, customer_id: UUID | None) -> None:
        """Raise unless details of this customer's children may be stored.

        PIPL Art. 31: personal information of a child under 14 takes the consent of a parent or guardian. The tenant
        can switch this off (`ConsentSettings`), for instance when consent is kept elsewhere.

        Args:
            customer_id: who answers for the children; None when nobody is named.

        Raises:
            Conflict: ``guardian_consent_required``: the customer has given no guardian consent, or took it back.
            Invalid: ``guardian_required``: nobody is named.

        """
        required, _ = await ConsentSettingsRepository(self.unit).read()
        if not required:
            return
        if customer_id is None:
            raise Invalid.field(
                "/guardian_id",
                "guardian_required",
                "Details of children take a guardian's consent: name the guardian",
                "保存儿童信息须先取得监护人同意：请指定监护人",
            )
        meant = (await successors(self.unit, [customer_id])).get(customer_id, customer_id)
        standing = await self.repository.standing_of([meant], [GUARDIAN])
        if not _guards(standing.get(meant, {})):
            raise _guardian_needed(customer_id)

    # -- the ledger ------------------------------------------------------------------------------------------------

    async def record(self, customer_id: UUID, data: ConsentCreate) -> UUID:
        """Note what a customer said; returns the entry's id. It counts from the commit on.

        Raises:
            NotFound: there is no such customer.
            Invalid: unknown purpose or text, a text for another purpose, a time to come, or details that are too large.

        """
        self.unit.actor.require(WRITE)
        await self._check(data)
        await self.repository.lock_customer(customer_id)
        at = data.at or await self._after_all(customer_id, data.purpose, data.channel)
        proof = None if data.proof is None else data.proof.model_dump(exclude_none=True) or None
        values = data.model_dump(exclude={"at", "proof"})
        consent_id = await self.repository.append(customer_id, {**values, "proof": proof, "at": at})
        told = {
            **data.model_dump(mode="json", include={"purpose", "channel", "action", "source", "text_id"}),
            "customer_id": str(customer_id),
            "at": at.isoformat(),
        }
        self.unit.audit(f"consent.{data.action}", "Consent", consent_id, after={**told, "proof": proof})
        self.unit.emit(f"consent.{data.action}", customer_id, {**told, "consent_id": str(consent_id)})
        return consent_id

    async def withdraw_all(self, customer_id: UUID, source: str) -> None:
        """Take back, by every channel, whatever stands as granted or could be done until refused.

        For domains that end the relation, such as an erasure asked for. Guardian consent stays: it allows the keeping
        of data, not sending. The caller holds the customer.

        Args:
            customer_id: living or not.
            source: slug for the ledger.

        """
        _, own = await ConsentSettingsRepository(self.unit).read()
        standing = await self.repository.standing(customer_id)
        for purpose in rules.known_purposes(own):
            if purpose == GUARDIAN or not _may_be_pursued(standing, purpose):
                continue
            said = {"purpose": purpose, "channel": ANY, "action": "withdrawn", "source": source, "text_id": None}
            at = await self._after_all(customer_id, purpose, ANY)
            consent_id = await self.repository.append(customer_id, {**said, "proof": None, "at": at})
            told = {**said, "customer_id": str(customer_id), "at": at.isoformat()}
            self.unit.audit("consent.withdrawn", "Consent", consent_id, after=told)
            self.unit.emit("consent.withdrawn", customer_id, {**told, "consent_id": str(consent_id)})

    async def state(self, customer_id: UUID) -> ConsentState:
        """Return what a customer's word amounts to, for every purpose and channel.

        Raises:
            NotFound: there is no such customer.

        """
        self.unit.actor.require(READ)
        await self.repository.get_customer(customer_id)
        _, own = await ConsentSettingsRepository(self.unit).read()
        standing = await self.repository.standing(customer_id)
        purposes = [each for each in rules.known_purposes(own) if each != GUARDIAN]
        return ConsentState(
            customer_id=customer_id,
            guardian=_guards(standing),
            purposes=[_purpose_state(standing, purpose) for purpose in purposes],
        )

    async def evaluate(self, question: Evaluation) -> list[Decision]:
        """Answer whether something may be sent to up to 1,000 customers, in their order.

        Raises:
            NotFound: one of the customers does not exist; the error points at it.
            Invalid: there is no such purpose, or a customer is named twice.

        """
        self.unit.actor.require(READ)
        recipients = {each.customer_id: each.address for each in question.recipients}
        if len(recipients) < len(question.recipients):
            raise Invalid.field("/recipients", "duplicate", "Name each customer once", "每位客户只能出现一次")
        decisions = await self.may_send_many(recipients, question.purpose, question.channel)
        missing = [index for index, each in enumerate(question.recipients) if each.customer_id not in decisions]
        if missing:
            raise NotFound(errors=[_unknown_recipient(index) for index in missing[:20]])
        return [decisions[customer_id] for customer_id in recipients]

    async def replayed(self, customer_id: UUID) -> dict[tuple[str, str], Entry]:
        """Return what the ledger amounts to: what is stored as standing must be equal to it."""
        return rules.replay(await self.repository.entries(customer_id))

    # -- texts and settings ----------------------------------------------------------------------------------------

    async def add_text(self, data: ConsentTextCreate) -> UUID:
        """Add the next version of a text; returns its id."""
        self.unit.actor.require(WRITE)
        await self._check_purpose(data.purpose)
        text_id, version = await ConsentTextRepository(self.unit).add(data.model_dump())
        self.unit.audit("consent_text.created", "ConsentText", text_id, after={**data.model_dump(), "version": version})
        self.unit.emit("consent_text.created", text_id, {"purpose": data.purpose, "version": version})
        return text_id

    async def settings(self) -> ConsentSettings:
        """Return how the shop handles consent."""
        self.unit.actor.require(READ)
        required, purposes = await ConsentSettingsRepository(self.unit).read()
        return ConsentSettings(guardian_consent_required=required, purposes=purposes)

    async def configure(self, data: ConsentSettingsUpdate) -> ConsentSettings:
        """Change how the shop handles consent; returns the settings as they are then.

        Raises:
            Invalid: a purpose is built in.

        """
        self.unit.actor.require(WRITE)
        errors = [_built_in(index) for index, purpose in enumerate(data.purposes) if purpose in rules.BASIS]
        if errors:
            raise Invalid(errors=errors)
        repository = ConsentSettingsRepository(self.unit)
        required, purposes = await repository.read()
        before = {"guardian_consent_required": required, "purposes": purposes}
        after = {**before, **data.model_dump(exclude_unset=True)}
        after["purposes"] = list(dict.fromkeys(after["purposes"]))
        await repository.write(**after)
        if after != before:
            self.unit.audit("consent_settings.updated", "Tenant", self.unit.tenant_id, before=before, after=after)
        return ConsentSettings(**after)

    # -- checks ----------------------------------------------------------------------------------------------------

    async def _check(self, data: ConsentCreate) -> None:
        await self._check_purpose(data.purpose)
        if rules.basis_of(data.purpose) == "none":
            raise _NOT_NEEDED
        if data.purpose == GUARDIAN and data.channel != ANY:
            raise Invalid.field(
                "/channel", "not_expected", "Guardian consent has no channel: send any", "监护人同意不分渠道：请用 any"
            )
        if data.at is not None and data.at > self.unit.now():
            raise Invalid.field("/at", "in_the_future", "This is still to come", "该时间尚未到来")
        if data.proof is not None and len(orjson.dumps(data.proof.details)) > MAX_DETAILS:
            raise Invalid.field(
                "/proof/details", "too_long", f"Send at most {MAX_DETAILS} bytes of JSON", f"最多 {MAX_DETAILS} 字节"
            )
        if data.text_id is not None:
            await self._check_text(data.text_id, data.purpose)

    async def _check_text(self, text_id: UUID, purpose: str) -> None:
        known = await ConsentSettingsRepository(self.unit).purpose_of(text_id)
        if known is None:
            raise Invalid.field("/text_id", "unknown_reference", "There is no such text", "没有该文本")
        if known != purpose:
            raise Invalid.field("/text_id", "other_purpose", f"This text is for '{known}'", f"该文本的用途是 “{known}”")

    async def _check_purpose(self, purpose: str) -> None:
        if purpose in rules.BASIS:
            return
        _, own = await ConsentSettingsRepository(self.unit).read()
        if purpose not in own:
            known = ", ".join(rules.known_purposes(own))
            raise Invalid.field(
                "/purpose",
                "unknown_purpose",
                f"There is no purpose '{purpose}': choose from {known}, or add it to the consent settings",
                f"没有用途 “{purpose}”，可选：{known}；也可在同意设置中添加",
            )

    async def _after_all(self, customer_id: UUID, purpose: str, channel: str) -> datetime:
        """Return now, or right behind the latest word on the matter.

        Clocks of two servers differ; what is said without a time is said last all the same.
        """
        standing = await self.repository.standing(customer_id)
        said = [entry.at + _TICK for key in (channel, ANY) if (entry := standing.get((purpose, key))) is not None]
        if channel == ANY:
            said += [entry.at + _TICK for (about, _), entry in standing.items() if about == purpose]
        return max([self.unit.now(), *said])


async def _guarded(unit: UnitOfWork, customer_ids: Collection[UUID]) -> Collection[UUID] | None:
    """Tell the customers' own domain whose guardian has agreed; None when the tenant has switched that off."""
    required, _ = await ConsentSettingsRepository(unit).read()
    if not required:
        return None
    standing = await ConsentRepository(unit).standing_of(list(customer_ids), [GUARDIAN])
    return [customer_id for customer_id in customer_ids if _guards(standing.get(customer_id, {}))]


guardians_agree_by("consent", _guarded)


def _judge(subject: Subject, purpose: str, channel: SendChannel, address: str | None) -> Verdict:
    if subject.is_gone:
        return Verdict(allowed=False, reason="customer_gone")
    verdict = rules.decide(subject.standing, purpose, channel)
    if address is None or not verdict.allowed or verdict.reason == "not_needed" or _reaches(subject, channel, address):
        return verdict
    return Verdict(allowed=False, reason="unknown_address")


def _reaches(subject: Subject, channel: SendChannel, address: str) -> bool:
    """Tell whether the address is one of the customer's for the channel, however it is written."""
    return any(
        (kind, normal_address(kind, address)) in subject.addresses for kind in rules.CONTACT_KINDS.get(channel, ())
    )


def _decision(customer_id: UUID, verdict: Verdict) -> Decision:
    entry = verdict.entry
    return Decision(
        customer_id=customer_id,
        allowed=verdict.allowed,
        reason=verdict.reason,
        consent_id=None if entry is None else entry.id,
        at=None if entry is None else entry.at,
    )


def _purpose_state(standing: Standing, purpose: str) -> PurposeState:
    return PurposeState(
        purpose=purpose,
        basis=rules.basis_of(purpose),
        channels=[_channel_state(standing, purpose, channel) for channel in rules.SEND_CHANNELS],
    )


def _channel_state(standing: Standing, purpose: str, channel: SendChannel) -> ChannelState:
    verdict = rules.decide(standing, purpose, channel)
    entry = verdict.entry
    return ChannelState(
        channel=channel,
        allowed=verdict.allowed,
        reason=verdict.reason,
        consent_id=None if entry is None else entry.id,
        at=None if entry is None else entry.at,
    )


def _may_be_pursued(standing: Standing, purpose: str) -> bool:
    if rules.basis_of(purpose) == "none":
        return False
    return any(rules.decide(standing, purpose, channel).allowed for channel in rules.SEND_CHANNELS)


def _guards(standing: Standing) -> bool:
    entry = standing.get((GUARDIAN, ANY))
    return entry is not None and entry.action == "granted"


def _refuse_guardian(purpose: str) -> None:
    if purpose == GUARDIAN:
        raise Invalid.field(
            "/purpose", "not_expected", "Nothing is sent for the purpose 'guardian'", "“guardian” 不是发送用途"
        )


def _guardian_needed(customer_id: UUID) -> Conflict:
    message = (
        "Details of children take a guardian's consent: record one first "
        f"(POST /v1/customers/{customer_id}/consents with purpose 'guardian')"
    )
    zh = f"保存儿童信息须先取得监护人同意：请先通过 POST /v1/customers/{customer_id}/consents 记录用途 guardian 的同意"
    return Conflict(message, zh=zh, code="guardian_consent_required", extra={"customer_id": str(customer_id)})


def _built_in(index: int) -> FieldError:
    return FieldError(f"/purposes/{index}", "duplicate", "This purpose is built in", "该用途已内置")


def _unknown_recipient(index: int) -> FieldError:
    return FieldError(f"/recipients/{index}/customer_id", "unknown_customer", "There is no such customer", "没有此客户")


_NOT_NEEDED: Final = Invalid.field(
    "/purpose",
    "consent_not_needed",
    "Transactional messages need no consent, and cannot be refused while the contract runs",
    "交易类消息无需同意，合同期间也不能拒绝",
)

__all__ = ["READ", "WRITE", "ConsentService", "Decision"]
