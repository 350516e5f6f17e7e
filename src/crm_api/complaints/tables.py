"""Complaints, the log of everything that happened to each, and what was said about them."""

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import APPEND_ONLY, INSTANT, created_at, reference, resource_table, tenant_table, unique

complaints = resource_table(
    "complaints",
    Column("state", Text, nullable=False),
    Column("state_changed_at", INSTANT, nullable=False),
    Column("kind", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("source_ref", Text),
    Column("customer_id", Uuid, nullable=False),
    Column("order_id", Uuid),
    Column("severity", Text, nullable=False),
    Column("safety", Boolean, nullable=False),
    Column("category", Text),
    Column("root_cause", Text),
    Column("subject", Text, nullable=False),
    Column("description", Text),
    Column("remedy_sought", Text),
    Column("assignee_id", Uuid),
    Column("decision", Text),
    Column("reason", Text),
    Column("merged_into_id", Uuid),
    Column("reopened", Integer, nullable=False),
    Column("received_at", INSTANT, nullable=False),
    Column("acknowledged_at", INSTANT),
    Column("resolved_at", INSTANT),
    Column("decision_told_at", INSTANT),
    Column("closed_at", INSTANT),
    CheckConstraint(
        "state IN ('received', 'acknowledged', 'assessed', 'in_progress', 'waiting_customer', 'waiting_third_party', "
        "'proposed', 'escalated_external', 'resolved', 'closed', 'duplicate', 'withdrawn', 'rejected')",
        name="state",
    ),
    CheckConstraint("kind IN ('complaint', 'inquiry', 'request', 'praise')", name="kind"),
    CheckConstraint("severity IN ('S1', 'S2', 'S3', 'S4')", name="severity"),
    # The guards of rules.py once more, where no mistake of ours can pass.
    CheckConstraint("state <> 'closed' OR decision_told_at IS NOT NULL", name="closed_told"),
    CheckConstraint(
        "state <> 'closed' OR severity IN ('S3', 'S4') OR root_cause IS NOT NULL", name="closed_root_cause"
    ),
    CheckConstraint("state <> 'duplicate' OR merged_into_id IS NOT NULL", name="merged"),
    CheckConstraint("state <> 'rejected' OR reason IS NOT NULL", name="rejected_reason"),
    reference("customer_id", "customers"),
    reference("order_id", "orders"),
    reference("assignee_id", "staff"),
    reference("merged_into_id", "complaints"),
    Index("uq_complaints_source_ref", "tenant_id", "source_ref", unique=True),
    Index("ix_complaints_customer", "tenant_id", "customer_id", "received_at", "id"),
    Index("ix_complaints_state", "tenant_id", "state", "id"),
    Index("ix_complaints_assignee", "tenant_id", "assignee_id", "id"),
    Index("ix_complaints_order", "tenant_id", "order_id"),
    Index("ix_complaints_merged_into", "tenant_id", "merged_into_id"),
)

complaint_events = tenant_table(
    "complaint_events",
    Column("complaint_id", Uuid, nullable=False),
    # Equal to the complaint's version after the event: two rivals cannot both write the same number.
    Column("number", Integer, nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Uuid, nullable=False),
    Column("action", Text, nullable=False),
    Column("from_state", Text),
    Column("to_state", Text, nullable=False),
    Column("note", Text),
    Column("data", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    reference("complaint_id", "complaints"),
    unique("complaint_id", "number"),
    info={APPEND_ONLY: True},
)
"""What happened: replaying a complaint's events gives its row."""

complaint_interactions = tenant_table(
    "complaint_interactions",
    Column("complaint_id", Uuid, nullable=False),
    Column("interaction_id", Uuid, nullable=False),
    created_at(),
    reference("complaint_id", "complaints"),
    reference("interaction_id", "interactions"),
    Index("ix_complaint_interactions_interaction", "tenant_id", "interaction_id"),
    key=("complaint_id", "interaction_id"),
)
"""Which interactions were about a complaint."""
