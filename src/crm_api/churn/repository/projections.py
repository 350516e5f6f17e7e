"""What settings, assessments, levels and back-tests look like, and what rules can name of them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, select

from crm_api.churn.models import (
    ChurnAssessment,
    ChurnBacktest,
    ChurnSettings,
    ChurnState,
    ChurnTransition,
    Level,
    RunState,
)
from crm_api.churn.tables import churn_assessments, churn_backtests, churn_log, churn_settings, customer_churn
from crm_api.churn.words import shown
from crm_api.core.rules import RuleField, RuleType
from crm_api.customers.repository import CUSTOMER
from crm_api.customers.tables import customers
from crm_api.db.projections import (
    TENANT,
    Projection,
    asc,
    at_least,
    column,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    many,
    one,
    python,
    ref,
    sql,
)
from crm_api.db.rules import Side, SqlField
from crm_api.lifetime.tables import customer_outlooks
from crm_api.segments.repository.catalogue import CUSTOMER_RULES

SCOPE = "churn:read"

CHURN_SETTINGS = Projection(
    "ChurnSettings",
    table=churn_settings,
    model=ChurnSettings,
    scope=SCOPE,
    description="What makes a customer's level.",
    fields=columns(
        "weights",
        "period_days",
        "baseline_periods",
        "quiet_days",
        "overdue_from",
        "overdue_full",
        "lost_cycles",
        "lost_min_days",
        "watch_score",
        "high_score",
        "margin",
        "peers",
        "peer_share",
        "alert_from",
        "version",
        "updated_at",
    ),
    node=False,
    key="tenant_id",
)


def _without_steps(row: Mapping[str, Any], _now: datetime) -> dict[str, Any] | None:
    """Show the peer groups without the distributions that customers are placed in."""
    return row["peers"] and {
        name: {
            "customers": crowd["customers"],
            "cycle": crowd["cycle"],
            "indicators": {
                indicator: {"customers": known["customers"], "median": known["median"]}
                for indicator, known in crowd["indicators"].items()
            },
        }
        for name, crowd in row["peers"].items()
    }


CHURN_ASSESSMENT = Projection(
    "ChurnAssessment",
    table=churn_assessments,
    model=ChurnAssessment,
    scope=SCOPE,
    description="An assessment of all customers.",
    fields={
        **columns(
            "id",
            "state",
            "as_of",
            "settings",
            "settings_version",
            "total",
            "processed",
            "assessed",
            "rises",
            "falls",
            "alerts",
            "levels",
            "error",
            "started_at",
            "finished_at",
            "version",
            "created_at",
            "updated_at",
        ),
        "peers": python(_without_steps, needs={"peers": column("peers")}),
    },
    filters={"state": eq("state", RunState)},
)


def _is_living(t: FromClause) -> ColumnElement[bool]:
    owner = customers.alias()
    found = select(owner.c.id).where(
        owner.c.tenant_id == TENANT, owner.c.id == t.c.customer_id, owner.c.deleted_at.is_(None)
    )
    return found.exists()


def _alive(t: FromClause) -> ColumnElement[Any]:
    outlook = customer_outlooks.alias()
    mine = select(outlook.c.alive).where(outlook.c.tenant_id == TENANT, outlook.c.customer_id == t.c.customer_id)
    return mine.scalar_subquery()


_REASONS = python(shown, needs={"reasons": column("reasons")})

CHURN_STATE = Projection(
    "ChurnState",
    table=customer_churn,
    model=ChurnState,
    scope=SCOPE,
    description="How likely a customer is leaving, and why.",
    where=_is_living,
    fields={
        "customer_id": ref("customer_id", "Customer"),
        "assessment_id": ref("assessment_id", "ChurnAssessment"),
        **columns("level", "score", "level_since", "as_of", "purchases", "silence_days", "cycle_days"),
        "alive": sql(_alive),
        "reasons": _REASONS,
    },
    relations={"customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Whose.")},
    orders={
        "highest_score": [desc("score")],
        "latest_change": [desc("level_since")],
        "by_customer": [asc("customer_id")],
    },
    filters={
        "level": eq("level", Level),
        "score_from": at_least("score", float, description="At least this score."),
        "changed_from": at_least("level_since", description="Whose level changed at this time or later."),
    },
    node=False,
    version=None,
    key="customer_id",
)

CHURN_TRANSITION = Projection(
    "ChurnTransition",
    table=churn_log,
    model=ChurnTransition,
    scope=SCOPE,
    description="A customer's level changed.",
    fields={
        **columns("id", "from_level", "to_level", "score", "alert", "at"),
        "customer_id": ref("customer_id", "Customer"),
        "assessment_id": ref("assessment_id", "ChurnAssessment"),
        "reasons": _REASONS,
    },
    filters={
        "customer_id": eq_ref("customer_id", "Customer"),
        "to_level": eq("to_level", Level),
        "at_from": at_least("at", description="At this time or later."),
    },
)

CHURN_BACKTEST = Projection(
    "ChurnBacktest",
    table=churn_backtests,
    model=ChurnBacktest,
    scope=SCOPE,
    description="A test of the warnings on the past.",
    fields=columns(
        "id",
        "state",
        "until",
        "cuts",
        "step_days",
        "horizon_days",
        "processed",
        "settings_version",
        "result",
        "error",
        "started_at",
        "finished_at",
        "version",
        "created_at",
        "updated_at",
    ),
    filters={"state": eq("state", RunState)},
)

extend(
    CUSTOMER,
    relations={
        "churn": one(
            "ChurnState",
            on=lambda p, c: c.c.customer_id == p.c.id,
            description="How likely the customer is leaving, and why; null before the first assessment.",
        ),
        "churn_transitions": many(
            "ChurnTransition",
            on=lambda p, c: c.c.customer_id == p.c.id,
            description="How the level changed, newest first.",
        ),
    },
)

_STATE = Side(customer_churn, lambda c, s: s.c.customer_id == c.c.id)
_OUTLOOK = Side(customer_outlooks, lambda c, s: s.c.customer_id == c.c.id)

CUSTOMER_RULES.register(
    SqlField(
        RuleField(
            "churn_level",
            RuleType.CHOICE,
            "Churn level by the last assessment",
            "流失预警等级（最近一次评估）",
            choices=("none", "watch", "high", "lost"),
            labels_zh={"none": "无", "watch": "关注", "high": "高", "lost": "已流失"},
            scope=SCOPE,
        ),
        lambda s: s.c.level,
        side=_STATE,
    ),
    SqlField(
        RuleField("churn_score", RuleType.NUMBER, "Churn score, 0–100", "流失预警得分（0–100）", scope=SCOPE),
        lambda s: s.c.score,
        side=_STATE,
    ),
    SqlField(
        RuleField(
            "probability_alive",
            RuleType.NUMBER,
            "Probability of still being a customer, 0–1",
            "仍为客户的概率（0–1）",
            scope=SCOPE,
        ),
        lambda o: o.c.alive,
        side=_OUTLOOK,
    ),
)
