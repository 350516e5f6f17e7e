"""What plans and tasks look like, what they add to others, and what rules can name of them."""

from collections.abc import Callable, Mapping
from typing import Any, Final, get_args
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Text, and_, case, literal, or_, select

from crm_api.accounts.repository import STAFF
from crm_api.complaints.repository import COMPLAINT
from crm_api.core.rules import RuleCollection, RuleField, RuleType
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
from crm_api.db.rules import SqlCollection, SqlField
from crm_api.followups.models import (
    FollowUp,
    FollowUpPlan,
    FollowUpPlanVersion,
    PlanState,
    Result,
    TaskSource,
    TaskState,
    TaskStatus,
    Trigger,
)
from crm_api.followups.tables import follow_up_plan_versions, follow_up_plans, follow_ups
from crm_api.interactions.models import Channel
from crm_api.interactions.repository import INTERACTION
from crm_api.segments.repository.catalogue import CUSTOMER_RULES

SCOPE: Final = "followups:read"

FOLLOW_UP_PLAN = Projection(
    "FollowUpPlan",
    table=follow_up_plans,
    model=FollowUpPlan,
    scope=SCOPE,
    description="Whom to contact, how often, by which way and with which words.",
    fields={
        **columns(
            "id",
            "name",
            "state",
            "trigger",
            "number",
            "cadences",
            "first_after_days",
            "spread",
            "due_working_days",
            "counts_contacts",
            "channels",
            "by_preference",
            "purpose",
            "subject",
            "script",
            "assign_to",
            "holiday_rule",
            "days_ahead",
            "holdout_percent",
            "starts_on",
            "generated_to",
            "generated_at",
            "error",
            "version",
            "created_at",
            "updated_at",
        ),
        "segment_id": ref("segment_id", "Segment"),
        "assignee_id": ref("assignee_id", "Staff"),
        "calendar_id": ref("calendar_id", "Calendar"),
    },
    relations={
        "segment": one("Segment", on=lambda p, c: c.c.id == p.c.segment_id, description="Whom it is for."),
        "assignee": one("Staff", on=lambda p, c: c.c.id == p.c.assignee_id, description="The plan's assignee."),
        "calendar": one("Calendar", on=lambda p, c: c.c.id == p.c.calendar_id, description="Whose days off count."),
        "versions": many(
            "FollowUpPlanVersion", on=lambda p, c: c.c.plan_id == p.c.id, description="What it said, newest first."
        ),
        "follow_ups": many("FollowUp", on=lambda p, c: c.c.plan_id == p.c.id, description="Its tasks."),
    },
    orders={"newest": [desc("id")], "name": [asc("name")]},
    filters={
        "state": eq("state", PlanState),
        "trigger": eq("trigger", Trigger),
        "segment_id": eq_ref("segment_id", "Segment"),
    },
)

FOLLOW_UP_PLAN_VERSION = Projection(
    "FollowUpPlanVersion",
    table=follow_up_plan_versions,
    model=FollowUpPlanVersion,
    scope=SCOPE,
    description="What a plan said at a time; never changed afterwards.",
    fields={**columns("id", "number", "rules", "created_at"), "plan_id": ref("plan_id", "FollowUpPlan")},
    relations={"plan": one("FollowUpPlan", on=lambda p, c: c.c.id == p.c.plan_id, description="Which plan.")},
    orders={"newest": [desc("number")]},
    filters={"plan_id": eq_ref("plan_id", "FollowUpPlan")},
    version=None,
)


def _status(t: FromClause) -> ColumnElement[Any]:
    """Return the state as of now: time makes an open task due and overdue, nothing is written for it."""
    return case(
        (t.c.state != "open", t.c.state),
        (t.c.snoozed_until > NOW, literal("snoozed", Text)),
        (t.c.due_at < NOW, literal("overdue", Text)),
        (t.c.due_from <= NOW, literal("due", Text)),
        else_=literal("planned", Text),
    )


def _awake(t: FromClause) -> ColumnElement[bool]:
    return or_(t.c.snoozed_until.is_(None), t.c.snoozed_until <= NOW)


_OF_STATUS: Final[Mapping[str, Callable[[FromClause], ColumnElement[bool]]]] = {
    "snoozed": lambda t: t.c.snoozed_until > NOW,
    "overdue": lambda t: and_(t.c.due_at < NOW, _awake(t)),
    "due": lambda t: and_(t.c.due_from <= NOW, t.c.due_at >= NOW, _awake(t)),
    "planned": lambda t: and_(t.c.due_from > NOW, _awake(t)),
}


def _status_is(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    """Return the predicate in terms of columns, so that an index of open tasks serves it."""
    build = _OF_STATUS.get(v.variant)
    state: ColumnElement[bool] = t.c.state == literal(v.variant if build is None else "open", Text)
    return state if build is None else and_(state, build(t))


def _unassigned(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    return t.c.assignee_id.is_(None) if v.variant else t.c.assignee_id.is_not(None)


FOLLOW_UP = Projection(
    "FollowUp",
    table=follow_ups,
    model=FollowUp,
    scope=SCOPE,
    description="A contact to make, or what became of it.",
    fields={
        **columns(
            "id",
            "plan_number",
            "source",
            "state",
            "slot",
            "due_on",
            "due_from",
            "due_at",
            "snoozed_until",
            "snoozes",
            "channel",
            "subject",
            "instructions",
            "follows_owner",
            "result",
            "satisfaction",
            "reason",
            "closed_at",
            "version",
            "created_at",
            "updated_at",
        ),
        "status": sql(_status),
        "customer_id": ref("customer_id", "Customer"),
        "plan_id": ref("plan_id", "FollowUpPlan"),
        "assignee_id": ref("assignee_id", "Staff"),
        "order_id": ref("order_id", "Order"),
        "complaint_id": ref("complaint_id", "Complaint"),
        "interaction_id": ref("interaction_id", "Interaction"),
    },
    relations={
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Whom to contact."),
        "plan": one("FollowUpPlan", on=lambda p, c: c.c.id == p.c.plan_id, description="The plan that made it."),
        "assignee": one("Staff", on=lambda p, c: c.c.id == p.c.assignee_id, description="Who does it."),
        "order": one("Order", on=lambda p, c: c.c.id == p.c.order_id, description="The order it is about."),
        "complaint": one("Complaint", on=lambda p, c: c.c.id == p.c.complaint_id, description="The case it is about."),
        "interaction": one("Interaction", on=lambda p, c: c.c.id == p.c.interaction_id, description="What it became."),
    },
    orders={
        "due": [asc("due_at"), asc("id")],
        "newest": [desc("id")],
        "closed": [desc("closed_at", nulls="last"), desc("id")],
    },
    filters={
        "customer_id": eq_ref("customer_id", "Customer"),
        "plan_id": eq_ref("plan_id", "FollowUpPlan"),
        "assignee_id": eq_ref("assignee_id", "Staff"),
        "unassigned": Filter(bool, _unassigned, variant=bool, description="Only the queue, or only what somebody has."),
        "state": eq("state", TaskState),
        "status": Filter(TaskStatus, _status_is, variant=str, description="Only what stands so now."),
        "source": eq("source", TaskSource),
        "channel": eq("channel", Channel),
        "complaint_id": eq_ref("complaint_id", "Complaint"),
        "order_id": eq_ref("order_id", "Order"),
        "interaction_id": eq_ref("interaction_id", "Interaction"),
        "due_after": at_least("due_at", description="Due from this instant on."),
        "due_before": below("due_at", description="Due before this instant."),
    },
)


def _told_of(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    f = follow_ups.alias()
    return t.c.id.in_(select(f.c.interaction_id).where(f.c.tenant_id == TENANT, f.c.id == v()))


extend(
    CUSTOMER,
    relations={
        "follow_ups": many(
            "FollowUp", on=lambda p, c: c.c.customer_id == p.c.id, description="Contacts to make, and made."
        )
    },
)
extend(
    STAFF,
    relations={
        "follow_ups": many("FollowUp", on=lambda p, c: c.c.assignee_id == p.c.id, description="Tasks they have."),
    },
)
extend(
    COMPLAINT,
    relations={
        "follow_ups": many("FollowUp", on=lambda p, c: c.c.complaint_id == p.c.id, description="Contacts about it.")
    },
)
extend(
    INTERACTION,
    relations={
        "follow_up": one("FollowUp", on=lambda p, c: c.c.interaction_id == p.c.id, description="The task it closed.")
    },
    filters={
        "follow_up_id": Filter(
            UUID,
            _told_of,
            ref="FollowUp",
            description="Only what this task became; takes `followups:read`.",
            scope=SCOPE,
        )
    },
)

timeline.register(
    timeline.Source(
        kind="follow_up",
        scope=SCOPE,
        rows=follow_ups,
        tenant=follow_ups.c.tenant_id,
        customer=follow_ups.c.customer_id,
        at=follow_ups.c.due_at,
        id=follow_ups.c.id,
        title=follow_ups.c.subject,
        data={
            name: follow_ups.c[name]
            for name in ("state", "source", "channel", "assignee_id", "plan_id", "result", "interaction_id")
        },
        # Who is left out by lot is not told: the lot is worth something only while nobody knows.
        where=(follow_ups.c.state != "held_out",),
    )
)

_STATES: Final = {"open": "未完成", "done": "已完成", "skipped": "已跳过", "cancelled": "已取消"}
_SOURCES: Final = {"plan": "计划", "manual": "人工", "low_rating": "低分", "neglect": "久未联系"}
_RESULTS: Final = {
    "reached": "已联系上",
    "message_left": "已留言",
    "no_answer": "无人接听",
    "unreachable": "无法联系",
    "refused": "拒绝",
}
assert tuple(_RESULTS) == get_args(Result)  # noqa: S101 - a choice without its Chinese name
_CHANNELS: Final = {
    "call": "电话",
    "visit": "拜访",
    "email": "邮件",
    "sms": "短信",
    "wechat": "微信",
    "live_chat": "在线客服",
    "social": "社交媒体",
    "in_store": "到店",
    "web": "网页",
}


def _choice(name: str, en: str, zh: str, words: dict[str, str]) -> SqlField:
    field = RuleField(name, RuleType.CHOICE, en, zh, choices=tuple(words), labels_zh=words)
    return SqlField(field, lambda f: f.c[name])


CUSTOMER_RULES.register(
    SqlCollection(
        RuleCollection("follow_ups", "Follow-up tasks", "回访任务", time="due_at", scope=SCOPE),
        follow_ups,
        lambda c, f: and_(f.c.customer_id == c.c.id, f.c.state != "held_out"),
        SqlField(RuleField("due_at", RuleType.INSTANT, "When it is due", "到期时间"), lambda f: f.c.due_at),
        SqlField(RuleField("closed_at", RuleType.INSTANT, "When it was closed", "结束时间"), lambda f: f.c.closed_at),
        _choice("state", "State", "状态", _STATES),
        _choice("source", "Why it was made", "来源", _SOURCES),
        _choice("result", "Result", "结果", _RESULTS),
        _choice("channel", "Channel", "渠道", _CHANNELS),
        SqlField(
            RuleField("satisfaction", RuleType.INTEGER, "Satisfaction, 1 to 5", "满意度（1–5）"),
            lambda f: f.c.satisfaction,
        ),
        SqlField(RuleField("plan_id", RuleType.UUID, "Plan", "计划"), lambda f: f.c.plan_id),
        SqlField(RuleField("assignee_id", RuleType.UUID, "Who does it", "负责人"), lambda f: f.c.assignee_id),
    )
)
