"""Definitions of classifications, what they say of each customer, what changed, and the runs that did it."""

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

from crm_api.db.schema import APPEND_ONLY, INSTANT, created_at, reference, resource_table, tenant_table, unique

ZERO = text("0")


def _classes() -> list[Column[str]]:
    """Return the columns of the dimensions whose classes are fixed words of their own."""
    names = ("frequency_class", "amount_class", "loyalty_class", "value_class", "activity_class", "value_potential")
    return [Column(name, Text) for name in names]


scoring_runs = resource_table(
    "scoring_runs",
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    Column("as_of", INSTANT, nullable=False),
    Column("currency", Text),
    Column("thresholds", JSONB(none_as_null=True)),
    # Retired: everybody is scored by one statement.
    Column("cursor", Uuid),
    Column("total", Integer, nullable=False, server_default=ZERO),
    Column("processed", Integer, nullable=False, server_default=ZERO),
    Column("summary", JSONB(none_as_null=True)),
    Column("error", Text),
    Column("started_at", INSTANT),
    Column("finished_at", INSTANT),
    # Who asked: somebody, the clock, or a changed definition.
    Column("cause", Text, nullable=False, server_default=text("'asked'")),
    # A run for a past period keeps its result beside the current scores: 2026-10, 2026-Q3 or 2026.
    Column("period", Text),
    # Dimension to version of the definitions that were used.
    Column("versions", JSONB(none_as_null=True)),
    CheckConstraint("cause IN ('asked', 'schedule', 'edit')", name="cause"),
    CheckConstraint("state IN ('queued', 'running', 'completed', 'failed')", name="state"),
)

customer_scores = tenant_table(
    "customer_scores",
    Column("customer_id", Uuid, nullable=False),
    # Null for a customer whom no run has scored yet. No foreign key: every run writes it into all rows, and checking
    # took a quarter of its time.
    Column("run_id", Uuid),
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
    # When the row was last assessed by our clock; strictly rising, so that the log has an order.
    Column("assessed_at", INSTANT),
    *_classes(),
    Column("rfm_group", Text),
    # What the classes were decided by, each in the window of its definition.
    Column("purchases", Integer),
    Column("frequency_purchases", Integer),
    Column("amount_spent", BigInteger),
    Column("loyalty_purchases", Integer),
    Column("value_purchases", Integer),
    Column("value_order_amount", BigInteger),
    Column("grade_amount", BigInteger),
    Column("potential_points", SmallInteger),
    CheckConstraint(
        "lifecycle IN ('prospect', 'first_purchase', 'repeat', 'loyal', 'dormant', 'lost')", name="lifecycle"
    ),
    CheckConstraint("grade IN ('A', 'B', 'C', 'D')", name="grade"),
    CheckConstraint("r BETWEEN 1 AND 5 AND f BETWEEN 1 AND 5 AND m BETWEEN 1 AND 5", name="quintiles"),
    reference("customer_id", "customers"),
    key=("customer_id",),
)

class_log = tenant_table(
    "class_log",
    Column("customer_id", Uuid, nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("cause", Text, nullable=False),
    Column("run_id", Uuid),
    # The dimensions that changed; the columns hold all classes as they were from then on.
    Column("changed", ARRAY(Text), nullable=False),
    *_classes(),
    Column("grade", Text),
    Column("rfm_group", Text),
    Column("lifecycle", Text),
    CheckConstraint("cause IN ('run', 'edit', 'event', 'input', 'before')", name="cause"),
    Index("ix_class_log_customer", "tenant_id", "customer_id", "at"),
    Index("ix_class_log_at", "tenant_id", "at", "id"),
    info={APPEND_ONLY: True},
    tied=False,
)
"""One row for each moment at which classes of a customer changed; the scores written beside it hold the foreign key."""

period_scores = tenant_table(
    "period_scores",
    Column("period", Text, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("run_id", Uuid, nullable=False),
    Column("silent_days", Integer),
    Column("frequency", Integer, nullable=False),
    Column("monetary_amount", BigInteger),
    Column("currency", Text),
    Column("r", SmallInteger),
    Column("f", SmallInteger),
    Column("m", SmallInteger),
    *_classes(),
    Column("grade", Text),
    Column("rfm_group", Text),
    Column("lifecycle", Text, nullable=False),
    reference("customer_id", "customers"),
    reference("run_id", "scoring_runs"),
    unique("period", "customer_id"),
)
"""What the classes were at the end of a period, by the orders known when it was computed."""

classifications = resource_table(
    "classifications",
    Column("dimension", Text, nullable=False),
    Column("definition", JSONB, nullable=False),
    Column("contact_limits", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    CheckConstraint(
        "dimension IN ('frequency', 'amount', 'loyalty', 'value', 'activity', 'value_potential', 'grade', 'rfm', "
        "'lifecycle')",
        name="dimension",
    ),
    unique("dimension"),
)

classification_versions = tenant_table(
    "classification_versions",
    Column("dimension", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("definition", JSONB, nullable=False),
    Column("contact_limits", JSONB, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Uuid),
    created_at(),
    unique("dimension", "version"),
    info={APPEND_ONLY: True},
)

customer_potentials = resource_table(
    "customer_potentials",
    Column("customer_id", Uuid, nullable=False),
    Column("industry_position", Text),
    Column("outlook", Text),
    Column("purchase_intent", Text),
    Column("note", Text),
    Column("staff_id", Uuid),
    CheckConstraint("industry_position IN ('leading', 'strong', 'average', 'weak')", name="industry_position"),
    CheckConstraint("outlook IN ('growing', 'stable', 'shrinking')", name="outlook"),
    CheckConstraint("purchase_intent IN ('high', 'mid', 'low')", name="purchase_intent"),
    reference("customer_id", "customers"),
    reference("staff_id", "staff"),
    unique("customer_id"),
)
"""What staff think a customer may become."""

# -- retired: taken over by migration 0024, kept for workers of the release before ------------------------------------

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
"""Taken over by ``classifications``."""

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
"""Taken over by ``class_log``."""
