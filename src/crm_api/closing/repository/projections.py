"""What closes a case, as it looks on the wire; what cases, customers and their timeline show of it."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Date, FromClause, Text, Uuid, cast, func, not_, or_, select

from crm_api.accounts.tables import tenants
from crm_api.closing import models, rules
from crm_api.closing.tables import (
    closing_settings,
    complaint_ratings,
    complaint_tellings,
    corrective_action_complaints,
    corrective_actions,
)
from crm_api.complaints.repository import COMPLAINT
from crm_api.complaints.tables import complaints
from crm_api.customers.repository import CUSTOMER
from crm_api.db import timeline
from crm_api.db.projections import (
    NOW,
    TENANT,
    Filter,
    FilterValue,
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
    one,
    ref,
    sql,
)

SCOPE = "complaints:read"

CLOSING_SETTINGS = Projection(
    "ClosingSettings",
    table=closing_settings,
    model=models.ClosingSettings,
    scope=SCOPE,
    description="How the shop closes its cases: what is told by itself, and when customers are asked.",
    fields=columns(
        "tell_decision",
        "tell_result",
        "ask_rating",
        "ask_after_hours",
        "answer_days",
        "tell_by",
        "rating_page",
        "low_csat",
        "low_ces",
        "version",
        "updated_at",
    ),
    node=False,
    key="tenant_id",
)

TELLING = Projection(
    "ComplaintTelling",
    table=complaint_tellings,
    model=models.ComplaintTelling,
    scope=SCOPE,
    description="A decision or a result on its way to the customer.",
    fields={
        **columns(
            "id",
            "what",
            "cycle",
            "state",
            "channel",
            "reason",
            "subject",
            "body",
            "message_id",
            "told_at",
            "note",
            "version",
            "created_at",
            "updated_at",
        ),
        "complaint_id": ref("complaint_id", "Complaint"),
        "told_by": ref("told_by", "Staff"),
    },
    relations={"complaint": one("Complaint", on=lambda p, c: c.c.id == p.c.complaint_id, description="The case.")},
    filters={
        "complaint_id": eq_ref("complaint_id", "Complaint"),
        "what": eq("what", models.What),
        "state": eq("state", models.TellingState),
    },
)

RATING = Projection(
    "ComplaintRating",
    table=complaint_ratings,
    model=models.ComplaintRating,
    scope=SCOPE,
    description="What a customer thinks of how a case went.",
    fields={
        **columns(
            "id",
            "state",
            "ask_at",
            "channel",
            "reason",
            "message_id",
            "asked_at",
            "expires_at",
            "answered_at",
            "csat",
            "ces",
            "comment",
            "low",
            "suggestion",
            "version",
            "created_at",
            "updated_at",
        ),
        "complaint_id": ref("complaint_id", "Complaint"),
        "customer_id": ref("customer_id", "Customer"),
        "staff_id": ref("staff_id", "Staff"),
        "answered_by": ref("answered_by", "Staff"),
    },
    relations={
        "complaint": one("Complaint", on=lambda p, c: c.c.id == p.c.complaint_id, description="The case."),
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Who is asked."),
        "staff": one("Staff", on=lambda p, c: c.c.id == p.c.staff_id, description="Who handled the case."),
    },
    filters={
        "complaint_id": eq_ref("complaint_id", "Complaint"),
        "customer_id": eq_ref("customer_id", "Customer"),
        "staff_id": eq_ref("staff_id", "Staff"),
        "state": eq("state", models.RatingState),
        "low": eq("low", bool),
        "answered_after": at_least("answered_at", description="Answered from this instant on."),
        "answered_before": below("answered_at", description="Answered before this instant."),
    },
)


def _today() -> ColumnElement[Any]:
    """Return the day it is in the tenant's zone."""
    zone = select(tenants.c.time_zone).where(tenants.c.tenant_id == TENANT).scalar_subquery()
    return cast(func.timezone(zone, NOW), Date)


def _overdue(t: FromClause) -> ColumnElement[bool]:
    return or_(*(t.c.state == each for each in rules.PENDING)) & (t.c.due_on < _today())


def _overdue_is(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    return _overdue(t) if v.variant else not_(_overdue(t))


def _at_or_below(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    """Keep what is about a cause or one within it: ``quality`` is about ``quality/cold_chain`` too."""
    return or_(t.c.cause == v(None, Text()), func.starts_with(t.c.cause, v(lambda cause: f"{cause}/", Text())))


def _actions_of(complaint_id: Any) -> Any:
    link = corrective_action_complaints
    return select(link.c.action_id).where(link.c.tenant_id == TENANT, link.c.complaint_id == complaint_id)


def _complaints_of(action_id: Any) -> Any:
    link = corrective_action_complaints
    return select(link.c.complaint_id).where(link.c.tenant_id == TENANT, link.c.action_id == action_id)


def _complaint_count(t: FromClause) -> ColumnElement[Any]:
    link = corrective_action_complaints
    return (
        select(func.count())
        .select_from(link)
        .where(link.c.tenant_id == TENANT, link.c.action_id == t.c.id)
        .correlate(t)
        .scalar_subquery()
    )


CORRECTIVE_ACTION = Projection(
    "CorrectiveAction",
    table=corrective_actions,
    model=models.CorrectiveAction,
    scope=SCOPE,
    description="Something done so that a cause brings no more complaints.",
    fields={
        **columns(
            "id",
            "title",
            "description",
            "cause",
            "due_on",
            "state",
            "done_at",
            "outcome",
            "verified_at",
            "verification",
            "cancelled_at",
            "reason",
            "version",
            "created_at",
            "updated_at",
        ),
        "owner_id": ref("owner_id", "Staff"),
        "done_by": ref("done_by", "Staff"),
        "verified_by": ref("verified_by", "Staff"),
        "overdue": sql(_overdue),
        "complaint_count": sql(_complaint_count),
    },
    relations={
        "owner": one("Staff", on=lambda p, c: c.c.id == p.c.owner_id, description="Who sees to it."),
        "complaints": many(
            "Complaint", on=lambda p, c: c.c.id.in_(_complaints_of(p.c.id)), description="The cases it is about."
        ),
    },
    orders={"newest": [desc("id")], "due": [asc("due_on")]},
    filters={
        "cause": Filter(str, _at_or_below, description="About this cause, or one within it."),
        "owner_id": eq_ref("owner_id", "Staff"),
        "state": eq("state", models.ActionState),
        "overdue": Filter(bool, _overdue_is, variant=bool, description="Whether its day has passed undone."),
        "complaint_id": Filter(
            UUID, lambda t, v: t.c.id.in_(_actions_of(v(None, Uuid()))), ref="Complaint", description="About this case."
        ),
    },
)

extend(
    COMPLAINT,
    relations={
        "tellings": many(
            "ComplaintTelling",
            on=lambda p, c: c.c.complaint_id == p.c.id,
            description="What the customer was told of it, or is to be told.",
        ),
        "rating": one(
            "ComplaintRating",
            on=lambda p, c: c.c.complaint_id == p.c.id,
            description="What the customer thinks of it; null before it was resolved.",
        ),
        "corrective_actions": many(
            "CorrectiveAction",
            on=lambda p, c: c.c.id.in_(_actions_of(p.c.id)),
            description="What is done so that it does not happen again.",
        ),
    },
)
extend(
    CUSTOMER,
    relations={
        "complaint_ratings": many(
            "ComplaintRating", on=lambda p, c: c.c.customer_id == p.c.id, description="What they think of their cases."
        )
    },
)

timeline.register(
    timeline.Source(
        kind="complaint_rating",
        scope=SCOPE,
        rows=complaint_ratings,
        tenant=complaint_ratings.c.tenant_id,
        customer=complaint_ratings.c.customer_id,
        at=complaint_ratings.c.answered_at,
        id=complaint_ratings.c.id,
        title=complaint_ratings.c.comment,
        data={name: complaint_ratings.c[name] for name in ("complaint_id", "csat", "ces", "low", "suggestion")},
        where=(complaint_ratings.c.answered_at.is_not(None),),
    )
)
timeline.register(
    timeline.Source(
        kind="complaint_telling",
        scope=SCOPE,
        rows=complaint_tellings.join(
            complaints,
            (complaints.c.tenant_id == complaint_tellings.c.tenant_id)
            & (complaints.c.id == complaint_tellings.c.complaint_id),
        ),
        tenant=complaints.c.tenant_id,
        customer=complaints.c.customer_id,
        at=complaint_tellings.c.told_at,
        id=complaint_tellings.c.id,
        title=complaint_tellings.c.subject,
        data={name: complaint_tellings.c[name] for name in ("complaint_id", "what", "channel")},
        where=(complaint_tellings.c.told_at.is_not(None),),
    )
)
