"""What can be done with compensations: proposed, approved, settled, taken back."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import asyncpg

from crm_api.compensations import rules
from crm_api.compensations.models import (
    CompensationApproval,
    CompensationCreate,
    CompensationRefusal,
    CompensationReversal,
    CompensationSettlement,
    CompensationState,
)
from crm_api.compensations.repository import ApprovalLimitRepository, CompensationRepository
from crm_api.compensations.rules import Person, Step, Worth
from crm_api.complaints.models import Case
from crm_api.complaints.service import obstacle, register_obstacle
from crm_api.core.actor import ADMIN
from crm_api.core.errors import Conflict, CrmError, Duplicate, FieldError, Invalid, NotFound
from crm_api.core.ids import new_id
from crm_api.core.money import MAX_MINOR
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as
from crm_api.loyalty.service import LoyaltyService, Source
from crm_api.vouchers.models import VoucherUpdate
from crm_api.vouchers.service import VoucherService

READ: Final = "compensations:read"
WRITE: Final = "compensations:write"
APPROVE: Final = "compensations:approve"
JOB: Final = "compensations.pay"

_OPEN_TO_MORE: Final = frozenset(
    {
        "received",
        "acknowledged",
        "assessed",
        "in_progress",
        "waiting_customer",
        "waiting_third_party",
        "proposed",
        "escalated_external",
        "resolved",
    }
)
"""States of a case in which something can be proposed: what is closed, refused or a duplicate is over."""

_REFUSED: Final = frozenset({"rejected", "withdrawn"})
"""States of a case for which nothing is paid any more, even if it was approved."""

_DONE: Final[Mapping[Step, str]] = {
    "approve": "approved",
    "reject": "rejected",
    "cancel": "cancelled",
    "settle": "settled",
    "fail": "failed",
    "retry": "approved",
    "reverse": "reversed",
}
"""Step → last part of its message's type."""

Row = Mapping[str, Any]


class CompensationService:
    """Compensations of complaints. What the shop does itself it settles; points and vouchers the worker pays."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = CompensationRepository(unit)
        self.limits = ApprovalLimitRepository(unit)

    # -- proposing and deciding ----------------------------------------------------------------------------------------

    async def propose(self, complaint_id: UUID, data: CompensationCreate) -> UUID:
        """Propose what a customer is to get; within the proposer's own limit it is approved at once. Returns its id.

        Raises:
            NotFound: there is no such case.
            Conflict: ``case_over``, nothing can be proposed in the case's state.
            Invalid: its parts do not go together, or name what does not exist.

        """
        self.unit.actor.require(WRITE)
        errors = list(rules.faults(data))
        if errors:
            raise Invalid(errors=errors)
        person = await self._person(data.staff_id)
        case, _ = await self.repository.lock_case(complaint_id)
        _require_open(case)
        row = await self._row(case, data)
        await self.repository.insert(row)
        self._tell("proposed", row, {"note": data.note})
        if await self._is_within(person, row):
            await self._approve(row, person, None)
        return UUID(str(row["id"]))

    async def approve(
        self, compensation_id: UUID, data: CompensationApproval, *, expected_version: int | None = None
    ) -> None:
        """Let it be paid or done: by somebody else than who proposed it, within their own limit.

        Raises:
            NotFound: there is no such compensation.
            PreconditionFailed: its version is not the expected one.
            Conflict: ``wrong_state``, ``case_over``, ``same_person``, or ``over_limit``.

        """
        self.unit.actor.require(APPROVE)
        person = await self._person(data.staff_id)
        root = await self._hold_case(compensation_id)
        row = await self._locked(compensation_id, "approve", expected_version)
        _require_open(root)
        proposer = Person(row["proposed_by"], row["proposed_by_staff_id"])
        is_one_key = proposer.key_id == person.key_id
        if not rules.is_somebody_else(proposer, person) or (
            is_one_key and not rules.tells_apart(person, await self.limits.concerning(person))
        ):
            raise _SAME_PERSON
        if not await self._is_within(person, row):
            raise _OVER_LIMIT
        await self._approve(row, person, data.note)

    async def reject(
        self, compensation_id: UUID, data: CompensationRefusal, *, expected_version: int | None = None
    ) -> None:
        """Refuse it for good. Raises as `approve`, limits aside."""
        self.unit.actor.require(APPROVE)
        person = await self._person(data.staff_id)
        row = await self._locked(compensation_id, "reject", expected_version)
        now = self.unit.now()
        decided = {"decided_by": person.key_id, "decided_by_staff_id": person.staff_id, "decided_at": now}
        await self._move(row, "reject", {**decided, "reason": data.reason, "ended_at": now})

    async def cancel(
        self, compensation_id: UUID, data: CompensationRefusal, *, expected_version: int | None = None
    ) -> None:
        """Give it up before it is paid or done.

        Raises:
            NotFound: there is no such compensation.
            PreconditionFailed: its version is not the expected one.
            Conflict: ``wrong_state``.

        """
        self.unit.actor.require(WRITE)
        await self._person(data.staff_id)
        row = await self._locked(compensation_id, "cancel", expected_version)
        told = {"by_staff_id": _text(data.staff_id)}
        await self._move(row, "cancel", {"reason": data.reason, "ended_at": self.unit.now()}, told)

    # -- paying --------------------------------------------------------------------------------------------------------

    async def settle(
        self, compensation_id: UUID, data: CompensationSettlement, *, expected_version: int | None = None
    ) -> None:
        """Say that the shop has done what was approved.

        Raises:
            NotFound: there is no such compensation.
            PreconditionFailed: its version is not the expected one.
            Conflict: ``wrong_state``, or ``paid_by_itself`` for points and vouchers.
            Invalid: there is no reference.
            Duplicate: another compensation was settled by this refund.

        """
        self.unit.actor.require(WRITE)
        await self._person(data.staff_id)
        row = await self._locked(compensation_id, "settle", expected_version)
        if row["kind"] in rules.PAID_HERE:
            raise _PAID_BY_ITSELF
        _require_reference(row, data.reference)
        values = {"reference": data.reference, "settled_at": self.unit.now()}
        with unique_as({"uq_compensations_refund": _REFUND_USED}):
            await self._move(row, "settle", values, {"note": data.note, "by_staff_id": _text(data.staff_id)})

    async def retry(self, compensation_id: UUID, *, expected_version: int | None = None) -> None:
        """Have the worker try again to pay what failed.

        Raises:
            NotFound: there is no such compensation.
            PreconditionFailed: its version is not the expected one.
            Conflict: ``wrong_state``, or ``case_over`` when its case was rejected or withdrawn.

        """
        self.unit.actor.require(WRITE)
        root = await self._hold_case(compensation_id)
        row = await self._locked(compensation_id, "retry", expected_version)
        if root["state"] in _REFUSED:
            raise _case_over(root)
        await self._move(row, "retry", {"reason": None, "failure": None})
        await self._have_it_paid(row)

    async def pay(self, compensation_id: UUID) -> None:
        """Pay what is approved, through the ledger or the vouchers; what is not to be paid any more is left alone.

        Paying and settling are one transaction, and the compensation's id is the key of the payment: whoever dies, and
        however many try, it is paid once. What the ledger refuses fails, with its reason.
        """
        row = await self._approved(compensation_id)
        if row is None or row["kind"] not in rules.PAID_HERE:
            return
        if await self.repository.root_state(row["complaint_id"]) in _REFUSED:
            await self._fail(row, "case_over", "Its case was rejected or withdrawn / 投诉已被驳回或撤回")
            return
        try:
            async with self.unit.savepoint():
                paid = await self._give(row)
        except (Conflict, Invalid, NotFound) as refusal:
            await self._fail(row, refusal.code, refusal)
            return
        await self._move(row, "settle", {**paid, "settled_at": self.unit.now()})

    async def give_up(self, compensation_id: UUID, reason: str) -> None:
        """Say that the worker tried too often."""
        row = await self._approved(compensation_id)
        if row is not None:
            await self._fail(row, "given_up", reason)

    async def reverse(
        self, compensation_id: UUID, data: CompensationReversal, *, expected_version: int | None = None
    ) -> None:
        """Take it back: points in the ledger, a voucher that was not used, or what the shop has got back itself.

        Takes ``loyalty:write`` for points and ``vouchers:write`` for vouchers besides.

        Raises:
            NotFound: there is no such compensation.
            PreconditionFailed: its version is not the expected one.
            Conflict: ``wrong_state``, or ``voucher_used``; what the ledger says (``already_reversed``).
            Invalid: what the shop did itself comes back without a number.

        """
        self.unit.actor.require(APPROVE)
        person = await self._person(data.staff_id)
        row = await self._locked(compensation_id, "reverse", expected_version)
        _require_reference(row, data.reference)
        await self._take_back(row, data.reason)
        values = {"reason": data.reason, "reversal_reference": data.reference, "ended_at": self.unit.now()}
        await self._move(row, "reverse", values, {"by_staff_id": _text(person.staff_id)})

    # -- parts ---------------------------------------------------------------------------------------------------------

    async def _person(self, staff_id: UUID | None) -> Person:
        actor = self.unit.actor
        if staff_id is None:
            return Person(actor.id, is_owner=actor.may(ADMIN), can_approve=actor.may(APPROVE))
        member = await self.repository.staff_member(staff_id)
        if member is None:
            raise Invalid.field("/staff_id", "unknown_reference", "There is no such staff member", "没有此员工")
        if not member["active"]:
            raise Invalid.field("/staff_id", "inactive", "This staff member has left", "该员工已离职")
        return Person(actor.id, staff_id, member["title"], actor.may(ADMIN), actor.may(APPROVE))

    async def _hold_case(self, compensation_id: UUID) -> asyncpg.Record:
        """Hold its case and all it was merged into; returns the last of them."""
        complaint_id = await self.repository.case_of(compensation_id)
        if complaint_id is None:
            raise NotFound
        return (await self.repository.lock_case(complaint_id))[1]

    async def _locked(self, compensation_id: UUID, step: Step, expected_version: int | None) -> Row:
        row = dict(await self.repository.get(compensation_id, lock=True, expected_version=expected_version))
        if rules.next_state(row["state"], step) is None:
            allowed = rules.steps_to_ask(row["state"], row["kind"])
            raise Conflict(
                f"'{step}' is not possible: it is '{row['state']}'. Possible: {', '.join(allowed) or 'nothing'}",
                zh=f"当前状态为 {row['state']}，无法执行 {step}；可用操作：{'、'.join(allowed) or '无'}",
                code="wrong_state",
                extra={"state": row["state"], "allowed": allowed},
            )
        return row

    async def _approved(self, compensation_id: UUID) -> Row | None:
        """Hold it and return it if it is still to be paid."""
        row = await self.repository.find(compensation_id, lock=True)
        return dict(row) if row is not None and row["state"] == "approved" else None

    async def _is_within(self, person: Person, row: Row) -> bool:
        this = Worth(row["kind"], row["amount"], row["currency"], row["points"])
        others = await self.repository.granted(row["complaint_id"], row["id"])
        return rules.may_approve(person, await self.limits.concerning(person), this, others)

    async def _approve(self, row: Row, person: Person, note: str | None) -> None:
        decided = {
            "decided_by": person.key_id,
            "decided_by_staff_id": person.staff_id,
            "decided_at": self.unit.now(),
            "decision_note": note,
        }
        await self._move(row, "approve", decided, {"by_staff_id": _text(person.staff_id)})
        await self._have_it_paid(row)

    async def _have_it_paid(self, row: Row) -> None:
        if row["kind"] in rules.PAID_HERE:
            await self.unit.enqueue(JOB, {"compensation_id": str(row["id"])})

    async def _give(self, row: Row) -> dict[str, Any]:
        """Pay through the ledger or the vouchers, keyed by the compensation; returns what names the payment."""
        key = f"compensation:{row['id']}"
        if row["kind"] == "voucher":
            give = VoucherService(self.unit).issue
            return {"voucher_id": await give(row["campaign_id"], row["customer_id"], key=key, reason=_WORDS)}
        grant = LoyaltyService(self.unit).grant
        transaction_id = await grant(
            row["customer_id"],
            row["points"],
            key=key,
            source=Source("compensation", row["id"]),
            reason=_WORDS,
            programme_id=row["programme_id"],
            order_id=row["order_id"],
        )
        return {"transaction_id": transaction_id}

    async def _take_back(self, row: Row, reason: str) -> None:
        if row["kind"] == "points":
            key = f"compensation:{row['id']}:reversed"
            await LoyaltyService(self.unit).take_back(row["transaction_id"], key=key, reason=reason)
        elif row["kind"] == "voucher":
            voucher = await self.repository.lock_voucher(row["voucher_id"])
            if voucher is not None and voucher["redeemed"]:
                raise _VOUCHER_USED
            await VoucherService(self.unit).change(row["voucher_id"], VoucherUpdate(state="void"))

    async def _fail(self, row: Row, code: str, why: CrmError | str) -> None:
        words = why if isinstance(why, str) else f"{why.message} / {why.message_zh}"
        await self._move(row, "fail", {"failure": code, "reason": words[:1000]}, {"failure": code})

    async def _move(self, row: Row, step: Step, values: Row, told: Row | None = None) -> None:
        state = rules.next_state(row["state"] if step != "approve" else "proposed", step)
        await self.repository.change(row["id"], {**values, "state": state})
        shown = {name: value for name, value in values.items() if name in {"reason", "reference", "reversal_reference"}}
        self._tell(_DONE[step], row, {**shown, **(told or {})})

    def _tell(self, what: str, row: Row, noted: Row) -> None:
        """Send the message and write the audit row; what people wrote is in the latter alone."""
        about = {
            "complaint_id": str(row["complaint_id"]),
            "customer_id": str(row["customer_id"]),
            "order_id": _text(row["order_id"]),
            "kind": row["kind"],
            "amount": row["amount"],
            "currency": row["currency"],
            "points": row["points"],
        }
        operation = f"compensation.{what}"
        told = about if "failure" not in noted else {**about, "failure": noted["failure"]}
        self.unit.emit(operation, row["id"], told)
        self.unit.audit(operation, "Compensation", row["id"], after={**about, **noted})

    # -- proposals -----------------------------------------------------------------------------------------------------

    async def _row(self, case: asyncpg.Record, data: CompensationCreate) -> dict[str, Any]:
        amount, currency = await self._worth(data)
        order_id = data.order_id or case["order_id"]
        if data.order_id is not None or (data.kind == "refund" and order_id is not None):
            await self._check_order(order_id, case["customer_id"], data, currency)
        if data.programme_id is not None and not await self.repository.has_programme(data.programme_id):
            raise Invalid.field("/programme_id", "unknown_reference", "There is no such programme", "没有此积分计划")
        quantity = data.quantity or 1 if data.kind == "replacement" else None
        state: CompensationState = "proposed"
        return {
            "id": new_id(),
            "complaint_id": case["id"],
            "customer_id": case["customer_id"],
            "order_id": order_id,
            "kind": data.kind,
            "state": state,
            "amount": amount,
            "currency": currency,
            "points": data.points,
            "programme_id": data.programme_id,
            "campaign_id": data.campaign_id,
            "sku": data.sku,
            "quantity": quantity,
            "note": data.note,
            "proposed_by": self.unit.actor.id,
            "proposed_by_staff_id": data.staff_id,
            "proposed_at": self.unit.now(),
        }

    async def _worth(self, data: CompensationCreate) -> tuple[int | None, str | None]:
        """Return amount and currency of a proposal: a voucher's is its campaign's, where that tells.

        Goods are worth their price in the catalogue at least, where it is known in that currency.
        """
        given = (None, None) if data.amount is None else (data.amount.amount, data.amount.currency)
        if data.sku is not None and data.amount is not None:
            price = await self.repository.price(data.sku, data.amount.currency)
            whole = min((price or 0) * (data.quantity or 1), MAX_MINOR)
            return max(data.amount.amount, whole), data.amount.currency
        if data.campaign_id is None:
            return given
        campaign = await self.repository.campaign(data.campaign_id)
        if campaign is None or campaign["shared_code"] is not None or campaign["state"] == "archived":
            raise Invalid.field(
                "/campaign_id",
                "no_giving_campaign",
                "Name a campaign that has codes of its own and is not archived",
                "请指定使用独立券码且未归档的活动",
            )
        worth = campaign["amount_off"] or campaign["max_discount"]
        if worth is not None:
            return worth, campaign["currency"]
        if data.amount is None:
            raise Invalid.field(
                "/amount",
                "required",
                "The campaign does not tell what its vouchers are worth: say it",
                "该活动未设定券的价值：请填写 amount",
            )
        return given

    async def _check_order(
        self, order_id: UUID, customer_id: UUID, data: CompensationCreate, currency: str | None
    ) -> None:
        order = await self.repository.lock_order(order_id, customer_id)
        if order is None:
            raise Invalid.field("/order_id", "unknown_reference", "The customer has no such order", "该客户没有此订单")
        if data.kind != "refund" or data.amount is None:
            return
        if order["currency"] != currency:
            raise Invalid.field(
                "/amount/currency",
                "wrong_currency",
                f"The order was paid in {order['currency']}",
                f"订单币种为 {order['currency']}",
            )
        left = order["paid_amount"] - order["refunded_amount"] - await self.repository.refunds_of(order_id)
        if data.amount.amount > left:
            raise Invalid.field(
                "/amount/amount",
                "exceeds_paid",
                f"Of what was paid for the order, {max(left, 0)} is neither paid back nor promised by compensations",
                f"订单实付金额扣除已退款及补偿退款后，尚可退 {max(left, 0)}",
            )


async def all_settled(unit: UnitOfWork, complaint_id: UUID, case: Case) -> None:
    """Refuse to end a case while a compensation of it, or of one that repeats it, is undecided or unpaid."""
    del case
    pending = await CompensationRepository(unit).pending(complaint_id)
    if pending:
        refusal = obstacle(
            "/compensations",
            "compensation_not_settled",
            "Settle, reject or cancel its compensations first",
            "请先完成、驳回或取消该投诉的补偿",
        )
        refusal.extra["compensations"] = [{"id": str(row["id"]), "state": row["state"]} for row in pending]
        raise refusal


register_obstacle("close", all_settled)
register_obstacle("reject", all_settled)
register_obstacle("withdraw", all_settled)


def _require_open(case: asyncpg.Record) -> None:
    if case["state"] not in _OPEN_TO_MORE:
        raise _case_over(case)


def _case_over(case: asyncpg.Record) -> Conflict:
    original = case["merged_into_id"]
    if case["state"] == "duplicate":
        text, zh = "name the case it repeats", "请使用其所重复的投诉"
    elif case["state"] == "closed":
        text, zh = "reopen it", "请先重新打开"
    else:
        text, zh = (
            "take it up again with POST /v1/complaints/{id}/follow-on",
            "请通过 POST /v1/complaints/{id}/follow-on 新建后续投诉",
        )
    return Conflict(
        f"The case is '{case['state']}': {text}",
        zh=f"投诉状态为 {case['state']}：{zh}",
        code="case_over",
        extra={"state": case["state"], **({} if original is None else {"merged_into_id": str(original)})},
    )


def _require_reference(row: Row, given: str | None) -> None:
    if given is None and row["kind"] in rules.NEEDS_REFERENCE:
        raise Invalid.field(
            "/reference",
            "required",
            "Give the number of the refund, parcel or appointment",
            "请提供退款单号、快递单号或预约编号",
        )


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)


_WORDS: Final = "投诉补偿 / Compensation of a complaint"
"""What customers read beside points and vouchers: never the shop's own note."""

_SAME_PERSON: Final = Conflict(
    "Who proposed it does not approve it: use another key, or name another staff member",
    zh="提出人不能审批自己的补偿：请使用其他密钥或指定其他员工",
    code="same_person",
)
_OVER_LIMIT: Final = Conflict(
    "With what the case was granted already this is above your limit: somebody with a higher one must approve it",
    zh="加上该投诉已批准的补偿，超出您的审批额度：请由额度更高的人员审批",
    code="over_limit",
)
_PAID_BY_ITSELF: Final = Conflict(
    "Points and vouchers are paid by themselves once they are approved",
    zh="积分和优惠券批准后自动发放",
    code="paid_by_itself",
)
_VOUCHER_USED: Final = Conflict(
    "The voucher has been used: it cannot be taken back", zh="优惠券已使用，无法收回", code="voucher_used"
)
_REFUND_USED: Final = Duplicate(
    errors=[
        FieldError(
            "/reference", "duplicate", "Another compensation was settled by this refund", "该退款单号已用于其他补偿"
        )
    ]
)
