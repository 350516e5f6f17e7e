"""Referrals as REST and GraphQL show them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Text, func, select

from crm_api.customers.repository import CUSTOMER
from crm_api.db import timeline
from crm_api.db.projections import (
    TENANT,
    Projection,
    asc,
    at_least,
    below,
    column,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    many,
    money,
    one,
    python,
    ref,
    sql,
)
from crm_api.referrals import rules, words
from crm_api.referrals.models import Referral, ReferralCode, ReferralEvent, ReferralProgramme, State, VoidReason
from crm_api.referrals.tables import referral_codes, referral_events, referral_programmes, referrals

SCOPE = "referrals:read"

REFERRAL_PROGRAMME = Projection(
    "ReferralProgramme",
    table=referral_programmes,
    model=ReferralProgramme,
    scope=SCOPE,
    description="How friends are brought, what that brings, and what is looked at before.",
    fields={
        **columns(
            "id",
            "name",
            "active",
            "starts_at",
            "ends_at",
            "qualifying_order",
            "window_days",
            "window_from",
            "claim_days",
            "referrer_reward",
            "friend_reward",
            "link_template",
            "checks",
            "velocity_limit",
            "velocity_hours",
            "cap_count",
            "cap_period",
            "version",
            "created_at",
            "updated_at",
        ),
        "minimum_order": money("minimum_amount", "minimum_currency"),
    },
    relations={
        "referrals": many(
            "Referral", on=lambda p, c: c.c.programme_id == p.c.id, description="Its referrals, newest first."
        ),
    },
    filters={"active": eq("active", bool), "name": eq("name")},
)


def _link(t: FromClause) -> ColumnElement[Any]:
    p = referral_programmes
    template = select(p.c.link_template).where(p.c.tenant_id == TENANT, p.c.id == t.c.programme_id).scalar_subquery()
    return func.replace(template, "{code}", t.c.code, type_=Text())


REFERRAL_CODE = Projection(
    "ReferralCode",
    table=referral_codes,
    model=ReferralCode,
    scope=SCOPE,
    description="A customer's code in a programme.",
    fields={
        **columns("id", "code", "created_at"),
        "programme_id": ref("programme_id", "ReferralProgramme"),
        "customer_id": ref("customer_id", "Customer"),
        "link": sql(_link),
    },
    relations={
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Whose code it is."),
        "programme": one(
            "ReferralProgramme", on=lambda p, c: c.c.id == p.c.programme_id, description="In which programme."
        ),
    },
    filters={
        "customer_id": eq_ref("customer_id", "Customer"),
        "programme_id": eq_ref("programme_id", "ReferralProgramme"),
        "code": eq("code", description="In upper case."),
    },
)


def _steps(row: Mapping[str, Any], _now: datetime) -> list[dict[str, Any]]:
    return [step.model_dump() for step in rules.steps(row["state"], has_order=row["order_id"] is not None)]


_VOIDED = {"void_reason": column("void_reason")}

REFERRAL = Projection(
    "Referral",
    table=referrals,
    model=Referral,
    scope=SCOPE,
    description="A friend somebody brought, and where that stands.",
    fields={
        **columns(
            "id",
            "version",
            "state",
            "state_changed_at",
            "signed_up_at",
            "terms",
            "qualified_at",
            "due_at",
            "flagged_at",
            "approved_at",
            "rewarded_at",
            "voided_at",
            "void_reason",
            "referrer_booked",
            "friend_booked",
            "clawed_back_at",
            "failure",
            "created_at",
            "updated_at",
        ),
        "programme_id": ref("programme_id", "ReferralProgramme"),
        "referrer_id": ref("referrer_id", "Customer"),
        "friend_id": ref("friend_id", "Customer"),
        "order_id": ref("order_id", "Order"),
        "findings": python(words.findings, needs={"findings": column("findings")}),
        "void_reason_en": python(words.reason_en, needs=_VOIDED),
        "void_reason_zh": python(words.reason_zh, needs=_VOIDED),
        "steps": python(_steps, needs={"state": column("state"), "order_id": column("order_id")}),
    },
    relations={
        "programme": one(
            "ReferralProgramme", on=lambda p, c: c.c.id == p.c.programme_id, description="In which programme."
        ),
        "referrer": one("Customer", on=lambda p, c: c.c.id == p.c.referrer_id, description="Who brought the friend."),
        "friend": one("Customer", on=lambda p, c: c.c.id == p.c.friend_id, description="Who came."),
        "order": one("Order", on=lambda p, c: c.c.id == p.c.order_id, description="The qualifying order."),
        "events": many(
            "ReferralEvent", on=lambda p, c: c.c.referral_id == p.c.id, description="What happened, oldest first."
        ),
    },
    orders={"newest": [desc("id")], "last_moved": [desc("state_changed_at")], "signed_up": [desc("signed_up_at")]},
    filters={
        "state": eq("state", State),
        "void_reason": eq("void_reason", VoidReason),
        "programme_id": eq_ref("programme_id", "ReferralProgramme"),
        "referrer_id": eq_ref("referrer_id", "Customer"),
        "friend_id": eq_ref("friend_id", "Customer"),
        "order_id": eq_ref("order_id", "Order"),
        "signed_up_after": at_least("signed_up_at", description="From this instant on."),
        "signed_up_before": below("signed_up_at", description="Before this instant."),
    },
)

REFERRAL_EVENT = Projection(
    "ReferralEvent",
    table=referral_events,
    model=ReferralEvent,
    scope=SCOPE,
    description="Something that happened to a referral; never changed afterwards.",
    fields={
        **columns("id", "number", "at", "actor_kind", "actor_id", "action", "from_state", "to_state", "note", "data"),
        "referral_id": ref("referral_id", "Referral"),
    },
    relations={"referral": one("Referral", on=lambda p, c: c.c.id == p.c.referral_id, description="To which.")},
    orders={"oldest": [asc("number")], "newest": [desc("number")]},
    filters={"referral_id": eq_ref("referral_id", "Referral"), "action": eq("action")},
)

extend(
    CUSTOMER,
    relations={
        "referral_codes": many(
            "ReferralCode", on=lambda p, c: c.c.customer_id == p.c.id, description="Codes the customer can pass on."
        ),
        "brought_friends": many(
            "Referral", on=lambda p, c: c.c.referrer_id == p.c.id, description="Whom the customer brought."
        ),
        "came_by": many("Referral", on=lambda p, c: c.c.friend_id == p.c.id, description="Who brought the customer."),
    },
)

_SHOWN = {
    name: referrals.c[name] for name in ("programme_id", "referrer_id", "friend_id", "state", "void_reason", "order_id")
}
timeline.register(
    timeline.Source(
        kind="referral",
        scope=SCOPE,
        rows=referrals,
        tenant=referrals.c.tenant_id,
        customer=referrals.c.referrer_id,
        at=referrals.c.signed_up_at,
        id=referrals.c.id,
        title=referrals.c.state,
        data=_SHOWN,
    )
)
timeline.register(
    timeline.Source(
        kind="referred",
        scope=SCOPE,
        # By its first event: a timeline's ids are unique, and after a merge both sides may be one customer.
        rows=referrals.join(
            referral_events,
            (referral_events.c.tenant_id == referrals.c.tenant_id)
            & (referral_events.c.referral_id == referrals.c.id)
            & (referral_events.c.number == 1),
        ),
        tenant=referrals.c.tenant_id,
        customer=referrals.c.friend_id,
        at=referrals.c.signed_up_at,
        id=referral_events.c.id,
        title=referrals.c.state,
        data={"referral_id": referrals.c.id, **_SHOWN},
    )
)
