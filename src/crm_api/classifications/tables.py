"""Scores and the runs that made them."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import APPEND_ONLY, INSTANT, reference, resource_table, tenant_table

ZERO = text("0")

scoring_settings = tenant_table(
    "scoring_settings",
    Column("active_days", Integer, nullable=False),
    Column("dormant_days", Integer, nullable=False),
    Column("loyal_purchases", Integer, nullable=False),
    Column("grade_shares", ARRAY(Float), nullable=False),
    CheckConstraint("0 < active_days AND active_days < dormant_days", name="days"),
    CheckConstraint("loyal_purchases >= 2", name="loyal_purchases"),
    key=(),
)
"""One row per tenant."""

scoring_runs = resource_table(
    "scoring_runs",
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    Column("as_of", INSTANT, nullable=False),
    Column("currency", Text),
    Column("thresholds", JSONB(none_as_null=True)),
    # The last customer scored: a killed worker's successor goes on behind it.
    Column("cursor", Uuid),
    Column("total", Integer, nullable=False, server_default=ZERO),
    Column("processed", Integer, nullable=False, server_default=ZERO),
    Column("summary", JSONB(none_as_null=True)),
    Column("error", Text),
    Column("started_at", INSTANT),
    Column("finished_at", INSTANT),
    CheckConstraint("state IN ('queued', 'running', 'completed', 'failed')", name="state"),
)

customer_scores = tenant_table(
    "customer_scores",
    Column("customer_id", Uuid, nullable=False),
    Column("run_id", Uuid, nullable=False),
    Column("lifecycle", Text, nullable=False),
    Column("recency_days", Integer),
    Column("frequency", Integer, nullable=False),
    Column("monetary_amount", BigInteger),
    Column("currency", Text),
    Column("r", SmallInteger),
    Column("f", SmallInteger),
    Column("m", SmallInteger),
    Column("grade", Text),
    Column("scored_at", INSTANT, nullable=False),
    CheckConstraint(
        "lifecycle IN ('prospect', 'first_purchase', 'repeat', 'loyal', 'dormant', 'lost')", name="lifecycle"
    ),
    CheckConstraint("grade IN ('A', 'B', 'C', 'D')", name="grade"),
    CheckConstraint("r BETWEEN 1 AND 5 AND f BETWEEN 1 AND 5 AND m BETWEEN 1 AND 5", name="quintiles"),
    reference("customer_id", "customers"),
    reference("run_id", "scoring_runs"),
    key=("customer_id",),
)

lifecycle_log = tenant_table(
    "lifecycle_log",
    Column("customer_id", Uuid, nullable=False),
    Column("from_stage", Text),
    Column("to_stage", Text, nullable=False),
    Column("run_id", Uuid, nullable=False),
    Column("at", INSTANT, nullable=False),
    reference("customer_id", "customers"),
    reference("run_id", "scoring_runs"),
    Index("ix_lifecycle_log_customer", "tenant_id", "customer_id", "id"),
    info={APPEND_ONLY: True},
)
