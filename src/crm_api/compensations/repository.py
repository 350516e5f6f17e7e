"""Access to compensations and limits of approval.

Locks are taken in this order: the case, the order, the compensation, then the ledger's or the vouchers' own. Whoever
proposes or approves holds the case, so what it was granted already is exact under parallel use, and a case cannot be
closed between a look at its compensations and a new one.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, FromClause, and_, exists, func, not_, or_, select

from crm_api.accounts.tables import api_keys, staff
from crm_api.catalogue.tables import products
from crm_api.compensations import rules
from crm_api.compensations.models import (
    ApprovalLimit,
    Compensation,
    CompensationKind,
    CompensationState,
)
from crm_api.compensations.tables import approval_limits, compensations
from crm_api.complaints.repository import COMPLAINT, ComplaintRepository
from crm_api.complaints.tables import complaints
from crm_api.core.errors import NotFound
from crm_api.core.rules import RuleCollection, RuleField, RuleType
from crm_api.customers.repository import CUSTOMER
from crm_api.db import timeline
from crm_api.db.fields import FilterValue, among
from crm_api.db.projections import (
    Filter,
    Projection,
    asc,
    at_least,
    below,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    many,
    money,
    one,
    ref,
)
from crm_api.db.repository import Repository
from crm_api.db.rules import SqlCollection, SqlField
from crm_api.loyalty.tables import loyalty_programmes
from crm_api.orders.tables import orders, refunds
from crm_api.segments.repository.catalogue import CUSTOMER_RULES
from crm_api.vouchers.tables import voucher_campaigns, vouchers

SCOPE: Final = "compensations:read"


def _pending_is(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    pending = among(t.c.state, rules.PENDING)
    return pending if v.variant else not_(pending)


COMPENSATION = Projection(
    "Compensation",
    table=compensations,
    model=Compensation,
    scope=SCOPE,
    description="What a customer gets for a complaint: proposed, approved, settled once.",
    fields={
        **columns(
            "id",
            "kind",
            "state",
            "points",
            "sku",
            "quantity",
            "note",
            "proposed_by",
            "proposed_at",
            "decided_by",
            "decided_at",
            "decision_note",
            "reason",
            "failure",
            "reference",
            "reversal_reference",
            "settled_at",
            "ended_at",
            "version",
            "created_at",
            "updated_at",
        ),
        "complaint_id": ref("complaint_id", "Complaint"),
        "customer_id": ref("customer_id", "Customer"),
        "order_id": ref("order_id", "Order"),
        "amount": money("amount"),
        "programme_id": ref("programme_id", "LoyaltyProgramme"),
        "campaign_id": ref("campaign_id", "VoucherCampaign"),
        "proposed_by_staff_id": ref("proposed_by_staff_id", "Staff"),
        "decided_by_staff_id": ref("decided_by_staff_id", "Staff"),
        "transaction_id": ref("transaction_id", "LoyaltyEntry"),
        "voucher_id": ref("voucher_id", "Voucher"),
    },
    relations={
        "complaint": one("Complaint", on=lambda p, c: c.c.id == p.c.complaint_id, description="For which case."),
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Who gets it."),
        "order": one("Order", on=lambda p, c: c.c.id == p.c.order_id, description="For which order."),
        "transaction": one(
            "LoyaltyEntry", on=lambda p, c: c.c.id == p.c.transaction_id, description="The entry that gave the points."
        ),
        "voucher": one("Voucher", on=lambda p, c: c.c.id == p.c.voucher_id, description="The voucher that was given."),
        "proposed_by_staff": one(
            "Staff", on=lambda p, c: c.c.id == p.c.proposed_by_staff_id, description="Who proposed it."
        ),
        "decided_by_staff": one(
            "Staff", on=lambda p, c: c.c.id == p.c.decided_by_staff_id, description="Who approved or rejected it."
        ),
    },
    orders={"newest": [desc("id")], "oldest": [asc("id")]},
    filters={
        "complaint_id": eq_ref("complaint_id", "Complaint"),
        "customer_id": eq_ref("customer_id", "Customer"),
        "order_id": eq_ref("order_id", "Order"),
        "kind": eq("kind", CompensationKind),
        "state": eq("state", CompensationState),
        "pending": Filter(
            bool,
            _pending_is,
            variant=bool,
            description="Whether it keeps its case from being closed: `proposed`, `approved` or `failed`.",
        ),
        "proposed_after": at_least("proposed_at", description="From this instant on."),
        "proposed_before": below("proposed_at", description="Before this instant."),
    },
)

APPROVAL_LIMIT = Projection(
    "ApprovalLimit",
    table=approval_limits,
    model=ApprovalLimit,
    scope=SCOPE,
    description="What somebody may approve alone, for one case.",
    fields={
        **columns("id", "name", "role", "key_id", "kind", "points", "unlimited", "version", "created_at", "updated_at"),
        "staff_id": ref("staff_id", "Staff"),
        "amount": money("amount"),
    },
    relations={"staff": one("Staff", on=lambda p, c: c.c.id == p.c.staff_id, description="For whom.")},
    orders={"newest": [desc("id")], "name": [asc("name")]},
    filters={"staff_id": eq_ref("staff_id", "Staff"), "role": eq("role"), "kind": eq("kind", CompensationKind)},
)

extend(
    COMPLAINT,
    relations={
        "compensations": many(
            "Compensation",
            on=lambda p, c: c.c.complaint_id == p.c.id,
            description="What the customer gets for it, newest first.",
        )
    },
)
extend(
    CUSTOMER,
    relations={
        "compensations": many(
            "Compensation",
            on=lambda p, c: c.c.customer_id == p.c.id,
            description="What the customer got for complaints, newest first.",
        )
    },
)

timeline.register(
    timeline.Source(
        kind="compensation",
        scope=SCOPE,
        rows=compensations,
        tenant=compensations.c.tenant_id,
        customer=compensations.c.customer_id,
        at=compensations.c.proposed_at,
        id=compensations.c.id,
        title=compensations.c.note,
        data={
            name: compensations.c[name]
            for name in ("complaint_id", "order_id", "kind", "state", "amount", "currency", "points")
        },
    )
)

_KINDS: Final = {
    "refund": "退款",
    "replacement": "补发",
    "points": "积分",
    "voucher": "优惠券",
    "apology": "致歉",
    "service": "免费服务",
}
_STATES: Final = {
    "proposed": "待审批",
    "approved": "已批准",
    "settled": "已完成",
    "failed": "失败",
    "rejected": "已驳回",
    "cancelled": "已取消",
    "reversed": "已收回",
}
CUSTOMER_RULES.register(
    SqlCollection(
        RuleCollection("compensations", "Compensations of complaints", "投诉补偿", time="at", scope=SCOPE),
        compensations,
        lambda c, k: k.c.customer_id == c.c.id,
        SqlField(RuleField("at", RuleType.INSTANT, "When it was proposed", "提出时间"), lambda k: k.c.proposed_at),
        SqlField(
            RuleField("kind", RuleType.CHOICE, "Kind", "类型", choices=tuple(_KINDS), labels_zh=_KINDS),
            lambda k: k.c.kind,
        ),
        SqlField(
            RuleField("state", RuleType.CHOICE, "Where it stands", "状态", choices=tuple(_STATES), labels_zh=_STATES),
            lambda k: k.c.state,
        ),
        SqlField(RuleField("points", RuleType.INTEGER, "Points", "积分"), lambda k: k.c.points),
        SqlField(
            RuleField("amount", RuleType.MONEY, "Worth in money", "金额"),
            lambda k: k.c.amount,
            currency=lambda k: k.c.currency,
        ),
    ),
)


_PENDING: Final = """
SELECT k.id, k.state FROM compensations k
WHERE k.tenant_id = $1 AND k.state = ANY ($3::text[]) AND k.complaint_id = ANY (crm_complaint_family($1, $2))
ORDER BY k.id
"""


class CompensationRepository(Repository):
    """Compensations."""

    table = compensations

    async def lock_case(self, complaint_id: UUID) -> tuple[asyncpg.Record, asyncpg.Record]:
        """Hold a case and all it was merged into; returns state, customer and order of it and of the last of them.

        Raises:
            NotFound: there is none.

        """
        c, kin = complaints, ComplaintRepository(self.unit).kin
        names = ("id", "state", "customer_id", "order_id", "merged_into_id")
        held: dict[UUID, asyncpg.Record] = {}
        # Somebody may have merged it, or taken one of them out, before they were held: look again.
        while set(held) != set(chain := await kin(complaint_id)):
            statement = select(*(c.c[name] for name in names)).where(self.mine(c), c.c.id.in_(chain)).order_by(c.c.id)
            held = {row["id"]: row for row in await self.unit.fetch_all(statement.with_for_update(key_share=True))}
        if not chain:
            raise NotFound
        return held[complaint_id], held[chain[-1]]

    async def root_state(self, complaint_id: UUID) -> str:
        """Return the state of what a case was merged into in the end, or its own."""
        chain = await ComplaintRepository(self.unit).kin(complaint_id)
        state: str = await self.unit.fetch_value(select(complaints.c.state).where(self.by_id(chain[-1], complaints)))
        return state

    async def case_of(self, compensation_id: UUID) -> UUID | None:
        """Return the case of a compensation, None when there is no such compensation."""
        found: UUID | None = await self.unit.fetch_value(
            select(compensations.c.complaint_id).where(self.by_id(compensation_id))
        )
        return found

    async def granted(self, complaint_id: UUID, without: UUID) -> list[rules.Worth]:
        """Return what else a case, what it repeats and what repeats them were granted; the caller holds the last."""
        k, cases = compensations, ComplaintRepository(self.unit)
        family = await cases.members((await cases.kin(complaint_id))[-1])
        rows = await self.unit.fetch_all(
            select(k.c.kind, k.c.amount, k.c.currency, k.c.points).where(
                self.mine(), k.c.complaint_id.in_(family), k.c.id != without, k.c.state.in_(rules.GRANTED)
            )
        )
        return [rules.Worth(row["kind"], row["amount"], row["currency"], row["points"]) for row in rows]

    async def pending(self, complaint_id: UUID) -> list[asyncpg.Record]:
        """Return ids and states of what a case, or one that repeats it, still owes or has not decided."""
        return await self.unit.connection.fetch(_PENDING, self.unit.tenant_id, complaint_id, list(rules.PENDING))

    # -- what a proposal names -----------------------------------------------------------------------------------------

    async def lock_order(self, order_id: UUID, customer_id: UUID) -> asyncpg.Record | None:
        """Hold an order of a customer; returns its currency, what was paid and paid back; None when there is none."""
        o = orders
        statement = select(o.c.currency, o.c.paid_amount, o.c.refunded_amount).where(
            self.by_id(order_id, o), o.c.customer_id == customer_id
        )
        return await self.unit.fetch_one(statement.with_for_update(key_share=True))

    async def refunds_of(self, order_id: UUID) -> int:
        """Return the minor units of an order that compensations refund or are to; the caller holds the order.

        Without those that were settled by a refund that the order knows by its number: its own amount holds them.
        """
        k, r = compensations, refunds
        alive = (*rules.GRANTED, "proposed")
        is_known = exists().where(self.mine(r), r.c.order_id == order_id, r.c.external_id == k.c.reference)
        statement = select(func.coalesce(func.sum(k.c.amount), 0)).where(
            self.mine(),
            k.c.order_id == order_id,
            k.c.kind == "refund",
            k.c.state.in_(alive),
            not_(and_(k.c.state == "settled", is_known)),
        )
        return int(await self.unit.fetch_value(statement))

    async def campaign(self, campaign_id: UUID) -> asyncpg.Record | None:
        """Return what tells the worth of a campaign's vouchers, and whether any can be given."""
        c = voucher_campaigns
        return await self.unit.fetch_one(
            select(c.c.state, c.c.shared_code, c.c.ends_at, c.c.amount_off, c.c.max_discount, c.c.currency).where(
                self.by_id(campaign_id, c)
            )
        )

    async def price(self, sku: str, currency: str) -> int | None:
        """Return the price of a product in this currency, None when it is not known."""
        p = products
        price: int | None = await self.unit.fetch_value(
            select(p.c.price_amount).where(self.mine(p), p.c.sku == sku, p.c.currency == currency)
        )
        return price

    async def has_programme(self, programme_id: UUID) -> bool:
        """Tell whether there is such a loyalty programme."""
        statement = select(loyalty_programmes.c.id).where(self.by_id(programme_id, loyalty_programmes))
        return await self.unit.fetch_value(statement) is not None

    async def staff_member(self, staff_id: UUID) -> asyncpg.Record | None:
        """Return whether a staff member is active, and their title; None when there is none."""
        return await self.unit.fetch_one(select(staff.c.active, staff.c.title).where(self.by_id(staff_id, staff)))

    async def lock_voucher(self, voucher_id: UUID) -> asyncpg.Record | None:
        """Hold a voucher and its campaign, as a checkout does; returns how often it was used."""
        v, c = vouchers, voucher_campaigns
        await self.unit.fetch_one(
            select(c.c.id)
            .where(
                self.mine(c),
                c.c.id == select(v.c.campaign_id).where(self.by_id(voucher_id, v)).scalar_subquery(),
            )
            .with_for_update(key_share=True)
        )
        return await self.unit.fetch_one(select(v.c.redeemed, v.c.state).where(self.by_id(voucher_id, v)))


class ApprovalLimitRepository(Repository):
    """Limits of approval."""

    table = approval_limits

    async def concerning(self, person: rules.Person) -> Sequence[rules.Limit]:
        """Return the limits that may be for a person or that bound their key."""
        t = approval_limits
        whom = [and_(t.c.role.is_(None), t.c.staff_id.is_(None), t.c.key_id.is_(None)), t.c.key_id == person.key_id]
        if person.staff_id is not None:
            whom.append(t.c.staff_id == person.staff_id)
        if person.role is not None:
            whom.append(t.c.role == person.role)
        names = ("role", "staff_id", "key_id", "kind", "amount", "currency", "points", "unlimited")
        rows = await self.unit.fetch_all(select(*(t.c[name] for name in names)).where(self.mine(), or_(*whom)))
        return [rules.Limit(**dict(row)) for row in rows]

    async def has_key(self, key_id: UUID) -> bool:
        """Tell whether the tenant has such an API key."""
        return await self.unit.fetch_value(select(api_keys.c.id).where(self.by_id(key_id, api_keys))) is not None

    async def has_staff(self, staff_id: UUID) -> bool:
        """Tell whether the tenant has such a staff member."""
        return await self.unit.fetch_value(select(staff.c.id).where(self.by_id(staff_id, staff))) is not None

    async def remove(self, limit_id: UUID) -> None:
        """Delete a limit."""
        await self.unit.execute(approval_limits.delete().where(self.by_id(limit_id)))
