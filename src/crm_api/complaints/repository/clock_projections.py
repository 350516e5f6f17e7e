"""Policies of clocks, the clocks of cases and what they announced, as they look on the wire.

Between two changes of a case only time moves its clocks, and what time does needs no calendar: a clock that runs has
warned from `warn_at` on and is missed after `due_at`. So a read tells the truth at any moment, noticed or not.
"""

from typing import Any

from sqlalchemy import ColumnElement, FromClause, case, func, or_, select

from crm_api.complaints import clock_models as models
from crm_api.complaints.repository.projections import COMPLAINT
from crm_api.complaints.tables import clock_policies, complaint_clock_alerts, complaint_clocks
from crm_api.core.service_clocks import Clock, ClockState
from crm_api.db.projections import (
    NOW,
    TENANT,
    Filter,
    FilterValue,
    Projection,
    asc,
    below,
    column,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    items,
    many,
    one,
    ref,
    sql,
)

READ = "complaints:read"


def _missed(t: FromClause) -> ColumnElement[bool]:
    return (t.c.state == "running") & (t.c.due_at < NOW)


def _state(t: FromClause) -> ColumnElement[Any]:
    return case((_missed(t), "breached"), else_=t.c.state)


def _warned_at(t: FromClause) -> ColumnElement[Any]:
    return case(((t.c.state == "running") & (t.c.warn_at <= NOW), t.c.warn_at), else_=t.c.warned_at)


def _breached_at(t: FromClause) -> ColumnElement[Any]:
    return case((_missed(t), t.c.due_at), else_=t.c.breached_at)


def _state_is(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    return _state(t) == v(None, t.c.state.type)


def _clock_breached(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    missed = _breached_at(t)
    return missed.is_not(None) if v.variant else missed.is_(None)


CLOCK_POLICY = Projection(
    "ClockPolicy",
    table=clock_policies,
    model=models.ClockPolicy,
    scope=READ,
    description="Limits for cases.",
    fields={
        **columns("id", "name", "position", "active", "conditions", "clocks", "escalations", "preset", "note"),
        **columns("version", "created_at", "updated_at"),
        "calendar_id": ref("calendar_id", "Calendar"),
        "has_secret": sql(lambda t: t.c.secret.is_not(None)),
    },
    relations={
        "calendar": one("Calendar", on=lambda p, c: c.c.id == p.c.calendar_id, description="Whose business time."),
    },
    orders={"position": [asc("position")], "newest": [desc("id")]},
    filters={"active": eq("active", bool)},
)

COMPLAINT_CLOCK = Projection(
    "ComplaintClock",
    table=complaint_clocks,
    model=models.ComplaintClock,
    scope=READ,
    description="One run of a clock of a case: what is due until when, as of now.",
    fields={
        **columns("id", "clock", "cycle", "started_at", "due_at", "warn_at", "stopped_at", "natural"),
        **columns("spent_seconds", "measured_at"),
        "complaint_id": ref("complaint_id", "Complaint"),
        "policy_id": ref("policy_id", "ClockPolicy"),
        "state": sql(_state),
        "warned_at": sql(_warned_at),
        "breached_at": sql(_breached_at),
    },
    relations={
        "complaint": one("Complaint", on=lambda p, c: c.c.id == p.c.complaint_id, description="Whose."),
        "policy": one("ClockPolicy", on=lambda p, c: c.c.id == p.c.policy_id, description="The policy it follows."),
        "alerts": many(
            "ComplaintClockAlert",
            on=lambda p, c: c.c.complaint_clock_id == p.c.id,
            description="What it announced, oldest first.",
        ),
    },
    orders={
        "oldest": [asc("started_at")],
        "newest": [desc("started_at")],
        "due": [asc("due_at", nulls="last")],
    },
    filters={
        "complaint_id": eq_ref("complaint_id", "Complaint"),
        "clock": eq("clock", Clock),
        "state": Filter(ClockState, _state_is, description="Its state now."),
        "breached": Filter(bool, _clock_breached, variant=bool, description="Whether its limit was missed."),
        "due_before": below("due_at", description="Due before this instant."),
    },
)

COMPLAINT_CLOCK_ALERT = Projection(
    "ComplaintClockAlert",
    table=complaint_clock_alerts,
    model=models.ComplaintClockAlert,
    scope=READ,
    description="What a clock announced, once: a warning, a missed limit, or a step of escalation.",
    fields={
        **columns("id", "what", "action", "at", "told_at", "outcome", "reason"),
        "step": sql(lambda t: func.nullif(t.c.step, "")),
        "complaint_id": ref("complaint_id", "Complaint"),
        "complaint_clock_id": ref("complaint_clock_id", "ComplaintClock"),
        "clock": sql(lambda t: _of_clock(t, "clock")),
        "cycle": sql(lambda t: _of_clock(t, "cycle")),
    },
    relations={
        "complaint": one("Complaint", on=lambda p, c: c.c.id == p.c.complaint_id, description="Of which case."),
        "complaint_clock": one(
            "ComplaintClock", on=lambda p, c: c.c.id == p.c.complaint_clock_id, description="Of which clock."
        ),
    },
    orders={"oldest": [asc("at")], "newest": [desc("at")]},
    filters={
        "complaint_id": eq_ref("complaint_id", "Complaint"),
        "what": eq("what", models.What),
        "outcome": eq("outcome", models.Outcome),
    },
)


def _of_clock(alert: FromClause, name: str) -> ColumnElement[Any]:
    k = complaint_clocks
    return select(k.c[name]).where(k.c.tenant_id == TENANT, k.c.id == alert.c.complaint_clock_id).scalar_subquery()


def _case_missed(t: FromClause) -> ColumnElement[bool]:
    return or_(t.c.breached, t.c.due_at.is_not(None) & (t.c.due_at < NOW))


def _case_breached(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    missed = _case_missed(t)
    return missed if v.variant else ~missed


extend(
    COMPLAINT,
    fields={"due_at": column("due_at"), "breached": sql(_case_missed)},
    model_fields=models.COMPLAINT_FIELDS,
    relations={
        "clocks": items(
            "ComplaintClock",
            on=lambda p, c: c.c.complaint_id == p.c.id,
            order=[asc("started_at")],
            description="Its clocks, oldest first.",
        ),
        "clock_alerts": many(
            "ComplaintClockAlert",
            on=lambda p, c: c.c.complaint_id == p.c.id,
            description="What its clocks announced, oldest first.",
        ),
    },
    filters={
        "breached": Filter(bool, _case_breached, variant=bool, description="Whether any of its limits was missed."),
        "due_before": below("due_at", description="With a clock that must stop before this instant."),
    },
    orders={"due": [asc("due_at", nulls="last")]},
)
