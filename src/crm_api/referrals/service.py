"""What can be done with referrals."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from crm_api.core.errors import Conflict, CrmError, Duplicate, FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.customers.service import CustomerService
from crm_api.db.uow import UnitOfWork
from crm_api.referrals import decisions, rules
from crm_api.referrals.checks import Limits, check, digest, new_code
from crm_api.referrals.decisions import Facts
from crm_api.referrals.models import (
    Case,
    ReferralCodeCreate,
    ReferralFailure,
    ReferralPromise,
    ReferralSignal,
    ReferralSignUp,
    ReferralTerms,
    ReferralTransition,
    Signal,
    StoredFinding,
)
from crm_api.referrals.repository import (
    CodeRepository,
    EvidenceReader,
    Held,
    ProgrammeRepository,
    ReferralRepository,
)
from crm_api.referrals.rewards import RewardDesk
from crm_api.referrals.rules import Event

READ: Final = "referrals:read"
WRITE: Final = "referrals:write"
JOB: Final = "referrals.settle"
BATCH: Final = 200
"""Referrals that one pass of the clock looks at."""

LATE: Final = timedelta(days=30)
"""How long after a friend signed up that may still be told."""

_TRIES: Final = 5


class ReferralService:
    """Codes, friends who come with them, and what becomes of that; every change is one event."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ReferralRepository(unit)
        self.codes = CodeRepository(unit)
        self.programmes = ProgrammeRepository(unit)

    # -- by people -----------------------------------------------------------------------------------------------------

    async def give_code(self, programme_id: UUID, data: ReferralCodeCreate) -> tuple[UUID, bool]:
        """Return a customer's code in a programme, made if there is none yet.

        Returns:
            Its id, and whether it is new.

        Raises:
            NotFound: there is no such programme or customer.
            Duplicate: the code asked for is somebody else's, or the customer has another one.

        """
        self.unit.actor.require(WRITE)
        await self.programmes.get(programme_id)
        await CustomerService(self.unit).require_living(data.customer_id)
        await self._note_signals(data.customer_id, data.device_id, data.payment_account)
        for _ in range(_TRIES):
            known = await self.codes.of(data.customer_id, programme_id)
            if known is not None:
                if data.code not in (None, known["code"]):
                    raise _HAS_CODE
                return known["id"], False
            code_id, code = new_id(), data.code or new_code()
            about = {"programme_id": programme_id, "customer_id": data.customer_id, "code": code}
            if await self.codes.add({"id": code_id, **about}):
                self._tell_code(code_id, about)
                return code_id, True
            if data.code is not None and await self.codes.of(data.customer_id, programme_id) is None:
                raise _CODE_TAKEN
        raise _CODE_TAKEN  # pragma: no cover - five guesses in a row taken

    async def sign_up(self, data: ReferralSignUp) -> UUID:
        """Note that a friend came with a code; returns the referral's id.

        What the checks find at once is noted too; a check that voids does so at once.

        Raises:
            NotFound: there is no such customer.
            Invalid: nobody has the code (``unknown_reference``), or the time is still to come or too long ago.
            Conflict: ``self_referral``, ``programme_inactive``, or ``already_referred`` (``referral_id`` in the answer
                is the one the friend came by).

        """
        self.unit.actor.require(WRITE)
        now = self.unit.now()
        at = data.signed_up_at or now
        _require_recent(at, now)
        await CustomerService(self.unit).require_living(data.customer_id)
        code = await self.codes.by_code(data.code)
        if code is None:
            raise Invalid.field("/code", "unknown_reference", "Nobody has this code", "没有此推荐码")
        if code["customer_id"] == data.customer_id:
            raise _SELF
        programme = await self.programmes.get(code["programme_id"])
        _require_open(programme, at)
        await self._note_signals(data.customer_id, data.device_id, data.payment_account)
        event = rules.signed_up(
            programme["id"],
            code["customer_id"],
            data.customer_id,
            _terms(programme),
            at,
            now,
        )
        return await self._begin(event, programme)

    async def _begin(self, event: Event, programme: Any) -> UUID:
        case, referral_id = rules.apply(None, event), new_id()
        found = await self._findings(referral_id, case, programme)
        event = replace(event, data={**event.data, "findings": [each.model_dump(mode="json") for each in found]})
        case = rules.apply(None, event)
        known = await self.repository.add(referral_id, case)
        if known is not None:
            raise _came_before(known)
        await self.repository.append(referral_id, [event])
        self._tell(referral_id, case, event)
        held = Held(referral_id, case)
        await self._advance(held, (await self.repository.facts([held]))[referral_id])
        return referral_id

    async def decide(self, referral_id: UUID, goal: ReferralTransition, *, expected_version: int | None = None) -> None:
        """Approve a flagged referral, void any, or reopen a voided one.

        Rewards are booked, or taken back, within moments by a job.

        Raises:
            NotFound: there is no such referral.
            Conflict: ``transition_not_allowed`` (the answer names what is) or ``transition_guard``.
            PreconditionFailed: somebody was faster.

        """
        self.unit.actor.require(WRITE)
        held = Held(referral_id, await self.repository.hold(referral_id, expected_version=expected_version))
        facts = (await self.repository.facts([held]))[referral_id]
        event = decisions.decided(held.case, goal, facts)
        # A reopened referral may go on at once: the friend may have ordered meanwhile.
        await self._record(held, [event, *decisions.follow(rules.apply(held.case, event), facts)])

    async def note_signal(self, data: ReferralSignal) -> None:
        """Note a device or payment account of a customer, for the checks to compare; again, nothing changes.

        Raises:
            NotFound: there is no such customer.

        """
        self.unit.actor.require(WRITE)
        await CustomerService(self.unit).require_living(data.customer_id)
        await self._note_signal(data.customer_id, data.kind, data.value)

    # -- by what happens -----------------------------------------------------------------------------------------------

    async def follow(
        self,
        *,
        orders: Sequence[UUID] = (),
        buyers: Sequence[UUID] = (),
        merged: Sequence[UUID] = (),
        gone: Sequence[UUID] = (),
        referrals: Sequence[UUID] = (),
    ) -> None:
        """Bring referrals up to date with the facts; told again, or in another order, they come to the same.

        Args:
            orders: something happened to these orders.
            buyers: whose they were, or had been.
            merged: the sides of merges, and of undone ones.
            gone: customers who were deleted or erased.
            referrals: referrals to look at themselves.

        """
        ids = set(referrals)
        if orders or buyers:
            ids.update(await self.repository.of_orders(orders, buyers))
        if merged:
            ids.update(await self.repository.of_merged(merged))
        if gone:
            ids.update(await self.repository.of_gone(gone))
        held = await self.repository.hold_many(ids) if ids else []
        facts = await self.repository.facts(held) if held else {}
        for each in held:
            await self._advance(each, facts[each.id])

    async def due(self, limit: int = BATCH) -> list[UUID]:
        """Return the referrals that time moves on, the longest waiting first."""
        return await self.repository.due(self.unit.now(), limit)

    async def settle(self, referral_id: UUID) -> None:
        """Do what is due of one referral: judge it, and book what is to be booked; told again, nothing happens."""
        for held in await self.repository.hold_many([referral_id]):
            facts = (await self.repository.facts([held]))[referral_id]
            case = await self._advance(held, facts, booked=True)
            if decisions.wants_checks(case, self.unit.now()):
                judged = replace(facts, findings=await self._judge(referral_id, case))
                case = await self._advance(Held(referral_id, case), judged, booked=True)
            await self._book(referral_id, case)

    async def give_up(self, referral_id: UUID, reason: str) -> None:
        """Say on the referral why nothing could be booked."""
        for held in await self.repository.hold_many([referral_id]):
            if rules.booking(held.case) is not None:
                await self._record(held, [rules.failed(held.case, _given_up(reason), self.unit.now())], booked=True)

    # -- for others ----------------------------------------------------------------------------------------------------

    async def replayed(self, referral_id: UUID) -> Case:
        """Return the referral as its events add up to: what its row must be."""
        self.unit.actor.require(READ)
        row = await self.repository.get(referral_id)
        case = rules.replay(await self.repository.events(referral_id))
        # Who the two are follows the customers through merges, which keep a journal of their own.
        return case.model_copy(update={side: row[side] for side in ("referrer_id", "friend_id")})

    # -- parts ---------------------------------------------------------------------------------------------------------

    async def _judge(self, referral_id: UUID, case: Case) -> list[StoredFinding]:
        # Whoever else decides about this referrer waits: or two at once would both be the last under the cap.
        await self.codes.hold(case.referrer_id, case.programme_id)
        return await self._findings(referral_id, case, await self.programmes.get(case.programme_id))

    async def _findings(self, referral_id: UUID, case: Case, programme: Any) -> list[StoredFinding]:
        evidence = await EvidenceReader(self.unit).read(referral_id, case, programme)
        limits = Limits(programme["checks"], programme["velocity_limit"], programme["cap_count"])
        return check(case.friend_id, evidence, limits)

    async def _advance(self, held: Held, facts: Facts, *, booked: bool = False) -> Case:
        return await self._record(held, list(decisions.follow(held.case, facts)), booked=booked)

    async def _record(self, held: Held, events: Sequence[Event], *, booked: bool = False) -> Case:
        """Write events and what they come to; returns that.

        Args:
            held: the referral, locked.
            events: what happened, in order.
            booked: the caller books what is to be booked; otherwise a job is asked to, at once.

        """
        if not events:
            return held.case
        case = held.case
        for event in events:
            before, case = case, rules.apply(case, event)
            self._tell(held.id, case, event, before)
        await self.repository.append(held.id, events)
        await self.repository.become(held.id, held.case, case)
        if not booked and case.due_at is not None and case.due_at <= self.unit.now():
            await self.unit.enqueue(JOB, {"referral_id": str(held.id)})
        return case

    async def _book(self, referral_id: UUID, case: Case) -> None:
        """Book what is to be booked, or say why that cannot be."""
        wanted = rules.booking(case)
        if wanted is None:
            return
        desk, now = RewardDesk(self.unit), self.unit.now()
        try:
            async with self.unit.savepoint():
                if wanted == "reward":
                    got = await desk.give(referral_id, case)
                    event = rules.rewarded(case, got.get("referrer"), got.get("friend"), now)
                else:
                    await desk.take_back(referral_id, case)
                    event = rules.clawed_back(case, now)
        except CrmError as error:
            event = rules.failed(case, ReferralFailure(code=error.code, en=error.message, zh=error.message_zh), now)
        await self._record(Held(referral_id, case), [event], booked=True)

    async def _note_signals(self, customer_id: UUID, device_id: str | None, payment_account: str | None) -> None:
        if device_id is not None:
            await self._note_signal(customer_id, "device", device_id)
        if payment_account is not None:
            await self._note_signal(customer_id, "payment_account", payment_account)

    async def _note_signal(self, customer_id: UUID, kind: Signal, value: str) -> None:
        if await self.repository.add_signal(customer_id, kind, digest(self.unit.tenant_id, kind, value)):
            self.unit.audit("referral.signal_noted", "Customer", customer_id, after={"kind": kind})

    def _tell_code(self, code_id: UUID, about: dict[str, Any]) -> None:
        told = {name: str(value) for name, value in about.items()}
        self.unit.audit("referral_code.created", "ReferralCode", code_id, after=told)
        self.unit.emit("referral_code.created", code_id, told)

    def _tell(self, referral_id: UUID, case: Case, event: Event, before: Case | None = None) -> None:
        told = {
            "programme_id": str(case.programme_id),
            "referrer_id": str(case.referrer_id),
            "friend_id": str(case.friend_id),
            "order_id": None if case.order_id is None else str(case.order_id),
            "state": case.state,
            "action": event.action,
            "from": event.source,
            "number": event.number,
            "void_reason": case.void_reason,
        }
        self.unit.audit(
            f"referral.{event.action}",
            "Referral",
            referral_id,
            before=None if before is None else {"state": before.state},
            after={"state": event.target, **event.data, "note": event.note},
        )
        self.unit.emit(f"referral.{_TOLD.get(event.action, event.target)}", referral_id, told)


_TOLD: Final = {"fail": "booking_failed", "claw_back": "clawed_back", "reopen": "reopened"}
"""Messages that are not called after the state an event leads to."""


def _terms(programme: Any) -> ReferralTerms:
    rewards = {
        name: None if programme[name] is None else ReferralPromise.model_validate(programme[name])
        for name in ("referrer_reward", "friend_reward")
    }
    return ReferralTerms(
        minimum_amount=programme["minimum_amount"] or 0,
        currency=programme["minimum_currency"],
        qualifying_order=programme["qualifying_order"],
        window_days=programme["window_days"],
        window_from=programme["window_from"],
        claim_days=programme["claim_days"],
        **rewards,
    )


def _require_recent(at: datetime, now: datetime) -> None:
    if at > now:
        raise Invalid.field("/signed_up_at", "in_the_future", "This is still to come", "该时间尚未到来")
    if at < now - LATE:
        raise Invalid.field(
            "/signed_up_at",
            "too_long_ago",
            f"A sign-up is told within {LATE.days} days",
            f"注册须在 {LATE.days} 天内上报",
        )


def _require_open(programme: Any, at: datetime) -> None:
    begun = programme["starts_at"] is None or programme["starts_at"] <= at
    over = programme["ends_at"] is not None and programme["ends_at"] <= at
    if not programme["active"] or not begun or over:
        raise _INACTIVE


def _given_up(reason: str) -> ReferralFailure:
    return ReferralFailure(code="given_up", en=f"It failed again and again: {reason}", zh=f"多次尝试均失败：{reason}")


def _came_before(referral_id: UUID) -> Conflict:
    return Conflict(
        "The friend has come by a referral of this programme before",
        zh="该客户已通过此推荐计划注册",
        code="already_referred",
        extra={"referral_id": str(referral_id)},
    )


_SELF: Final = Conflict("Nobody refers themselves", zh="不能推荐自己", code="self_referral")
_INACTIVE: Final = Conflict(
    "The programme takes no sign-ups at that time: see active, starts_at and ends_at",
    zh="推荐计划在该时间不接受注册：请检查 active、starts_at 和 ends_at",
    code="programme_inactive",
)
_CODE_TAKEN: Final = Duplicate(
    errors=[FieldError("/code", "duplicate", "Somebody has this code: choose another", "该推荐码已被使用：请换一个")]
)
_HAS_CODE: Final = Duplicate(
    errors=[FieldError("/code", "duplicate", "The customer has another code already", "该客户已有其他推荐码")]
)
