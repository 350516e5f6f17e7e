"""Segments, who is in them, how that came about, and when it will change by time alone."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import APPEND_ONLY, INSTANT, created_at, reference, resource_table, tenant_table, unique

ZERO = text("0")

segments = resource_table(
    "segments",
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("kind", Text, nullable=False, server_default=text("'dynamic'")),
    # None of a static segment: its members are named one by one.
    Column("rule", JSONB(none_as_null=True)),
    Column("state", Text, nullable=False, server_default=text("'compiling'")),
    Column("error", Text),
    Column("error_zh", Text),
    # The moment a snapshot shows.
    Column("as_of", INSTANT),
    Column("size", Integer, nullable=False, server_default=ZERO),
    Column("last_sequence", BigInteger, nullable=False, server_default=ZERO),
    # Progress of the full evaluation at work.
    Column("total", Integer, nullable=False, server_default=ZERO),
    Column("processed", Integer, nullable=False, server_default=ZERO),
    Column("evaluated_at", INSTANT),
    # When a day begins that may change anybody's membership; null when no leaf of the rule looks at days.
    Column("calendar_at", INSTANT),
    CheckConstraint("state IN ('draft', 'compiling', 'active', 'failed', 'archived')", name="state"),
    CheckConstraint("kind IN ('dynamic', 'static', 'snapshot')", name="kind"),
    CheckConstraint("(kind = 'static') = (rule IS NULL)", name="rule"),
    CheckConstraint("(kind = 'snapshot') = (as_of IS NOT NULL)", name="as_of"),
    unique("name"),
)

segment_dependencies = tenant_table(
    "segment_dependencies",
    Column("segment_id", Uuid, nullable=False),
    Column("needs_id", Uuid, nullable=False),
    reference("segment_id", "segments"),
    reference("needs_id", "segments"),
    Index("ix_segment_dependencies_needs", "tenant_id", "needs_id"),
    key=("segment_id", "needs_id"),
)
"""Which segments a segment's rule names; without cycles."""

segment_members = tenant_table(
    "segment_members",
    Column("segment_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    created_at("entered_at"),
    reference("segment_id", "segments"),
    reference("customer_id", "customers"),
    Index("ix_segment_members_customer", "tenant_id", "customer_id"),
    key=("segment_id", "customer_id"),
)

segment_log = tenant_table(
    "segment_log",
    Column("segment_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    # 1, 2, 3 … in each segment, without gaps.
    Column("sequence", BigInteger),
    Column("change", Text, nullable=False),
    Column("cause", Text, nullable=False),
    # The message of an event or a scoring, the merge, the reconciliation.
    Column("cause_id", Uuid),
    Column("at", INSTANT, nullable=False),
    CheckConstraint("change IN ('enter', 'leave')", name="change"),
    CheckConstraint(
        "cause IN ('rule', 'event', 'scoring', 'time', 'merge', 'manual', 'snapshot', 'reconcile', 'clustering')",
        name="cause",
    ),
    CheckConstraint("sequence IS NOT NULL", name="sequence"),
    reference("segment_id", "segments"),
    reference("customer_id", "customers"),
    Index("ix_segment_log_segment", "tenant_id", "segment_id", "id"),
    Index("ix_segment_log_customer", "tenant_id", "customer_id", "id"),
    Index("uq_segment_log_sequence", "tenant_id", "segment_id", "sequence", unique=True),
    info={APPEND_ONLY: True},
)

segment_flips = tenant_table(
    "segment_flips",
    Column("segment_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("at", INSTANT, nullable=False),
    Index("ix_segment_flips_at", "tenant_id", "at"),
    key=("segment_id", "customer_id"),
    tied=False,
)
"""When a customer's membership may next change by time alone: never later than it does, perhaps earlier.

Written in bulk with every evaluation and thrown away with it, so without foreign keys: a row of a customer or segment
that is gone is dropped when it comes due.
"""

segment_reconciliations = tenant_table(
    "segment_reconciliations",
    Column("segment_id", Uuid, nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("checked", Integer, nullable=False),
    Column("entered", Integer, nullable=False),
    Column("left", Integer, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("error", Text),
    Column("error_zh", Text),
    reference("segment_id", "segments"),
    Index("ix_segment_reconciliations_segment", "tenant_id", "segment_id", "id"),
    info={APPEND_ONLY: True},
)
"""What the nightly evaluation of everybody found that upkeep had missed: nothing, or it is a fault of ours."""
