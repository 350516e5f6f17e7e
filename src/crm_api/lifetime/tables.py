"""Models of purchases to come, and what the current one says of each customer."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Date, Float, Index, Integer, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import INSTANT, reference, resource_table, tenant_table

churn_models = resource_table(
    "churn_models",
    Column("state", Text, nullable=False),
    # The last day that is learned from; null until the job has decided.
    Column("calibration_end", Date),
    Column("horizon_days", Integer, nullable=False),
    Column("apply", Boolean, nullable=False),
    Column("currency", Text),
    Column("customers", Integer),
    Column("repeat_customers", Integer),
    Column("params", JSONB(none_as_null=True)),
    Column("log_likelihood", Float),
    Column("spend_params", JSONB(none_as_null=True)),
    Column("spend_correlation", Float),
    Column("spend_refused", JSONB(none_as_null=True)),
    Column("holdout", JSONB(none_as_null=True)),
    Column("cumulative", JSONB(none_as_null=True)),
    Column("refused", JSONB(none_as_null=True)),
    Column("error", Text),
    Column("total", Integer, nullable=False),
    Column("processed", Integer, nullable=False),
    Column("started_at", INSTANT),
    Column("finished_at", INSTANT),
    CheckConstraint("state IN ('queued', 'running', 'completed', 'refused', 'failed')", name="state"),
    CheckConstraint("horizon_days BETWEEN 1 AND 1830", name="horizon_days"),
    CheckConstraint("(state = 'refused') = (refused IS NOT NULL)", name="refused"),
)

customer_outlooks = tenant_table(
    "customer_outlooks",
    Column("customer_id", Uuid, nullable=False),
    Column("model_id", Uuid, nullable=False),
    Column("repeat_purchases", Integer, nullable=False),
    # Days; the papers' t_x and T in weeks are these over 7.
    Column("recency_days", Integer, nullable=False),
    Column("age_days", Integer, nullable=False),
    Column("alive", Float, nullable=False),
    Column("expected_purchases", Float, nullable=False),
    Column("expected_value_amount", BigInteger),
    Column("currency", Text),
    CheckConstraint("alive BETWEEN 0 AND 1", name="alive"),
    CheckConstraint("expected_purchases >= 0", name="expected_purchases"),
    reference("customer_id", "customers"),
    reference("model_id", "churn_models"),
    Index("ix_customer_outlooks_alive", "tenant_id", "alive", "customer_id"),
    key=("customer_id",),
)
