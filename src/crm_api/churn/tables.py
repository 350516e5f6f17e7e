"""Churn settings, assessments, the level of each customer with its log, and back-tests."""

from typing import Any

from sqlalchemy import Boolean, CheckConstraint, Column, Date, Float, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import APPEND_ONLY, INSTANT, created_at, reference, resource_table, tenant_table

_LEVELS = "('none', 'watch', 'high', 'lost')"


def _number(name: str, default: str, kind: type[Any] = Integer) -> Column[Any]:
    return Column(name, kind, nullable=False, server_default=text(default))


def _count(name: str) -> Column[Any]:
    return _number(name, "0")


churn_settings = tenant_table(
    "churn_settings",
    Column(
        "weights",
        JSONB,
        nullable=False,
        server_default=text(
            '\'{"purchases": 70, "interactions": 15, "satisfaction": 20, "complaints": 20, "browsing": 15}\'::jsonb'
        ),
    ),
    _number("period_days", "60"),
    _number("baseline_periods", "5"),
    _number("quiet_days", "14"),
    _number("overdue_from", "1.5", Float),
    _number("overdue_full", "4", Float),
    _number("lost_cycles", "5", Float),
    _number("lost_min_days", "90"),
    _number("watch_score", "30"),
    _number("high_score", "55"),
    _number("margin", "5"),
    Column("peers", Text, nullable=False, server_default=text("'all'")),
    _number("peer_share", "0.25", Float),
    Column("alert_from", Text, nullable=False, server_default=text("'watch'")),
    _number("version", "1"),
    created_at(),
    created_at("updated_at"),
    CheckConstraint("period_days > 0 AND baseline_periods > 0", name="periods"),
    CheckConstraint("0 < overdue_from AND overdue_from < overdue_full", name="overdue"),
    CheckConstraint("0 < watch_score AND watch_score < high_score AND high_score <= 100", name="scores"),
    CheckConstraint("peer_share BETWEEN 0 AND 1", name="peer_share"),
    CheckConstraint("peers IN ('all', 'purchases', 'grade')", name="peers"),
    CheckConstraint("alert_from IN ('watch', 'high', 'lost')", name="alert_from"),
    key=(),
)
"""One row per tenant, made with it (or by the migration)."""

churn_assessments = resource_table(
    "churn_assessments",
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    Column("as_of", INSTANT, nullable=False),
    # The day (tenant's zone) whose nightly assessment it is: there is one for each.
    Column("nightly_on", Date),
    Column("settings", JSONB, nullable=False),
    Column("settings_version", Integer, nullable=False),
    # What customers are compared with, fixed before the first one is judged.
    Column("peers", JSONB(none_as_null=True)),
    # The last customer looked at: a killed worker's successor goes on behind it.
    Column("cursor", Uuid),
    _count("total"),
    _count("processed"),
    _count("assessed"),
    _count("rises"),
    _count("falls"),
    _count("alerts"),
    Column("levels", JSONB(none_as_null=True)),
    Column("error", Text),
    Column("started_at", INSTANT),
    Column("finished_at", INSTANT),
    CheckConstraint("state IN ('queued', 'running', 'completed', 'failed')", name="state"),
    Index("uq_churn_assessments_nightly", "tenant_id", "nightly_on", unique=True),
)

customer_churn = tenant_table(
    "customer_churn",
    Column("customer_id", Uuid, nullable=False),
    Column("assessment_id", Uuid, nullable=False),
    Column("level", Text, nullable=False),
    Column("score", Float, nullable=False),
    Column("level_since", INSTANT, nullable=False),
    Column("as_of", INSTANT, nullable=False),
    Column("purchases", Integer, nullable=False),
    Column("silence_days", Integer),
    Column("cycle_days", Float),
    Column("reasons", JSONB, nullable=False),
    CheckConstraint(f"level IN {_LEVELS}", name="level"),
    CheckConstraint("score BETWEEN 0 AND 100", name="score"),
    reference("customer_id", "customers"),
    reference("assessment_id", "churn_assessments"),
    Index("ix_customer_churn_score", "tenant_id", "score", "customer_id"),
    Index("ix_customer_churn_level", "tenant_id", "level", "score", "customer_id"),
    key=("customer_id",),
)

churn_log = tenant_table(
    "churn_log",
    Column("customer_id", Uuid, nullable=False),
    Column("assessment_id", Uuid, nullable=False),
    Column("from_level", Text, nullable=False),
    Column("to_level", Text, nullable=False),
    Column("score", Float, nullable=False),
    Column("alert", Boolean, nullable=False),
    Column("reasons", JSONB, nullable=False),
    Column("at", INSTANT, nullable=False),
    CheckConstraint(f"from_level IN {_LEVELS} AND to_level IN {_LEVELS}", name="levels"),
    reference("customer_id", "customers"),
    reference("assessment_id", "churn_assessments"),
    Index("ix_churn_log_customer", "tenant_id", "customer_id", "id"),
    info={APPEND_ONLY: True},
)

churn_backtests = resource_table(
    "churn_backtests",
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    Column("until", Date, nullable=False),
    Column("cuts", Integer, nullable=False),
    Column("step_days", Integer, nullable=False),
    Column("horizon_days", Integer, nullable=False),
    _count("processed"),
    Column("settings", JSONB, nullable=False),
    Column("settings_version", Integer, nullable=False),
    Column("result", JSONB(none_as_null=True)),
    Column("error", Text),
    Column("started_at", INSTANT),
    Column("finished_at", INSTANT),
    CheckConstraint("state IN ('queued', 'running', 'completed', 'failed')", name="state"),
)
