"""Complaints, the log of everything that happened to each, and what was said about them."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import APPEND_ONLY, INSTANT, created_at, reference, resource_table, tenant_table, unique

CLOCKED = (
    "next_change_at IS NOT NULL OR state IN ('received', 'acknowledged', 'assessed', 'in_progress', "
    "'waiting_customer', 'waiting_third_party', 'proposed', 'escalated_external')"
)
"""Cases with clocks that can still run."""

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
    Column("regulator_ref", Text),
    Column("subject", Text, nullable=False),
    Column("description", Text),
    Column("remedy_sought", Text),
    Column("assignee_id", Uuid),
    Column("decision", Text),
    Column("reason", Text),
    Column("merged_into_id", Uuid),
    Column("merged_from", Text),
    Column("reopens_id", Uuid),
    Column("reopened", Integer, nullable=False),
    Column("received_at", INSTANT, nullable=False),
    Column("acknowledged_at", INSTANT),
    Column("resolved_at", INSTANT),
    Column("decision_told_at", INSTANT),
    Column("closed_at", INSTANT),
    # Written by clocks.py, not by events: until when the first clock that runs must stop (missed ones too, while they
    # run), whether any was missed, when to look again, and as of which policies and calendars (`clock_policies.epoch`).
    Column("due_at", INSTANT),
    Column("breached", Boolean, nullable=False, server_default=text("false")),
    Column("next_change_at", INSTANT),
    Column("clock_epoch", BigInteger, nullable=False, server_default=text("0")),
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
    reference("reopens_id", "complaints"),
    Index("uq_complaints_source_ref", "tenant_id", "source_ref", unique=True),
    Index("ix_complaints_customer", "tenant_id", "customer_id", "received_at", "id"),
    Index("ix_complaints_state", "tenant_id", "state", "id"),
    Index("ix_complaints_assignee", "tenant_id", "assignee_id", "id"),
    Index("ix_complaints_order", "tenant_id", "order_id"),
    Index("ix_complaints_merged_into", "tenant_id", "merged_into_id"),
    Index("ix_complaints_reopens", "tenant_id", "reopens_id"),
    # What is resolved, oldest first: for closing by itself.
    Index("ix_complaints_resolved", "tenant_id", "resolved_at", "id", postgresql_where=text("state = 'resolved'")),
    Index("ix_complaints_due", "tenant_id", "due_at", "id", postgresql_where=text("due_at IS NOT NULL")),
    Index(
        "ix_complaints_next_change",
        "tenant_id",
        "next_change_at",
        "id",
        postgresql_where=text("next_change_at IS NOT NULL"),
    ),
    Index("ix_complaints_clock_epoch", "tenant_id", "clock_epoch", "id", postgresql_where=text(CLOCKED)),
)

complaint_orders = tenant_table(
    "complaint_orders",
    Column("complaint_id", Uuid, nullable=False),
    Column("order_id", Uuid, nullable=False),
    Column("position", SmallInteger, nullable=False),
    reference("complaint_id", "complaints"),
    reference("order_id", "orders"),
    Index("ix_complaint_orders_order", "tenant_id", "order_id"),
    key=("complaint_id", "order_id"),
)
"""All orders a case is about; the first is the case's own ``order_id``."""

complaint_products = tenant_table(
    "complaint_products",
    Column("complaint_id", Uuid, nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("product_id", Uuid),
    Column("sku", Text),
    Column("batch", Text),
    Column("quantity", Integer),
    CheckConstraint("product_id IS NOT NULL OR sku IS NOT NULL OR batch IS NOT NULL", name="named"),
    CheckConstraint("quantity > 0", name="quantity"),
    reference("complaint_id", "complaints"),
    reference("product_id", "products"),
    unique("complaint_id", "position"),
    Index("ix_complaint_products_product", "tenant_id", "product_id"),
    Index("ix_complaint_products_sku", "tenant_id", "sku"),
    Index("ix_complaint_products_batch", "tenant_id", "batch"),
)
"""What of the goods a case is about."""

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

complaint_messages = tenant_table(
    "complaint_messages",
    Column("complaint_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("channel", Text),
    Column("body", Text),
    Column("attachments", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("staff_id", Uuid),
    Column("interaction_id", Uuid),
    Column("source_ref", Text),
    Column("at", INSTANT, nullable=False),
    Column("tells", Boolean, nullable=False),
    created_at(),
    CheckConstraint("direction IN ('in', 'out', 'internal')", name="direction"),
    CheckConstraint("kind IN ('message', 'note', 'step')", name="kind"),
    CheckConstraint("(direction = 'internal') = (kind <> 'message')", name="kind_of_direction"),
    CheckConstraint("(direction = 'internal') = (channel IS NULL)", name="channel"),
    CheckConstraint("direction = 'out' OR NOT tells", name="tells"),
    reference("complaint_id", "complaints"),
    reference("staff_id", "staff"),
    reference("interaction_id", "interactions"),
    Index("uq_complaint_messages_source_ref", "tenant_id", "complaint_id", "source_ref", unique=True),
    Index("ix_complaint_messages_at", "tenant_id", "complaint_id", "at", "id"),
    Index("ix_complaint_messages_interaction", "tenant_id", "interaction_id"),
    info={APPEND_ONLY: True},
)
"""What was said to and by the customer, noted within the shop, and done."""

complaint_causes = resource_table(
    "complaint_causes",
    Column("path", Text, nullable=False),
    Column("name", JSONB, nullable=False),
    Column("description", Text),
    Column("required_skill_ids", ARRAY(Uuid), nullable=False, server_default=text("'{}'")),
    Column("archived", Boolean, nullable=False, server_default=text("false")),
    unique("path"),
)
"""The tenant's taxonomy; without any row, categories and causes are free text."""

complaint_settings = tenant_table(
    "complaint_settings",
    Column("reopen_days", Integer, nullable=False, server_default=text("30")),
    Column("close_after_days", Integer),
    Column("resume_on_message", Boolean, nullable=False, server_default=text("true")),
    Column("known_causes_only", Boolean, nullable=False, server_default=text("false")),
    Column("version", Integer, nullable=False, server_default=text("1")),
    created_at(),
    created_at("updated_at"),
    CheckConstraint("reopen_days BETWEEN 0 AND 3650", name="reopen_days"),
    CheckConstraint("close_after_days BETWEEN 1 AND 3650", name="close_after_days"),
    key=(),
)
"""One row per tenant, made with it (or by the migration)."""

# -- clocks ------------------------------------------------------------------------------------------------------------

_CLOCKS = "'acknowledge', 'first_response', 'next_response', 'resolution', 'decision', 'refund'"

clock_policies = resource_table(
    "clock_policies",
    Column("name", Text, nullable=False),
    Column("position", Integer, nullable=False, server_default=text("100")),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("conditions", JSONB, nullable=False),
    Column("calendar_id", Uuid),
    # [{"clock", "targets": [{"severity", "minutes", "working_days", "natural"}], "paused_in", "warn_percent"}, …]
    Column("clocks", JSONB, nullable=False),
    # [{"at", "clock", "after_minutes", "action", "to", "staff_ids", "staff_id", "url"}, …]
    Column("escalations", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("preset", Text),
    Column("note", Text),
    Column("secret", Text),
    reference("calendar_id", "calendars"),
    unique("name"),
    Index("ix_clock_policies_position", "tenant_id", "position", "id"),
)

complaint_clocks = tenant_table(
    "complaint_clocks",
    Column("complaint_id", Uuid, nullable=False),
    Column("policy_id", Uuid, nullable=False),
    Column("clock", Text, nullable=False),
    Column("cycle", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("started_at", INSTANT, nullable=False),
    # Of the clock's runs that start at this instant, counted from 1.
    Column("nth", Integer, nullable=False),
    Column("due_at", INSTANT),
    Column("warn_at", INSTANT),
    Column("warned_at", INSTANT),
    Column("breached_at", INSTANT),
    Column("stopped_at", INSTANT),
    Column("natural", Boolean, nullable=False),
    Column("spent_seconds", BigInteger, nullable=False),
    Column("measured_at", INSTANT, nullable=False),
    CheckConstraint(f"clock IN ({_CLOCKS})", name="clock"),
    CheckConstraint("state IN ('running', 'paused', 'met', 'breached', 'cancelled')", name="state"),
    CheckConstraint("breached_at IS NULL OR state = 'breached'", name="missed_stays_missed"),
    reference("complaint_id", "complaints"),
    reference("policy_id", "clock_policies"),
    # A run is stored once, so that what it announces is announced once (`clock_log.identities`).
    unique("complaint_id", "clock", "started_at", "nth"),
    Index(
        "uq_complaint_clocks_single",
        "tenant_id",
        "complaint_id",
        "clock",
        unique=True,
        postgresql_where=text("clock NOT IN ('next_response', 'refund')"),
    ),
    Index("ix_complaint_clocks_stopped", "tenant_id", "stopped_at", "clock"),
)
"""Runs of clocks, as derived from the log when something last changed; between changes time alone says the rest."""

complaint_clock_alerts = tenant_table(
    "complaint_clock_alerts",
    Column("complaint_id", Uuid, nullable=False),
    Column("complaint_clock_id", Uuid, nullable=False),
    # Whose step it is: by the time it is taken the clock may follow another.
    Column("policy_id", Uuid, nullable=False),
    Column("what", Text, nullable=False),
    # '' for warnings and missed limits, so that the key below holds for them too.
    Column("step", Text, nullable=False),
    Column("action", Text),
    Column("at", INSTANT, nullable=False),
    Column("told_at", INSTANT, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    CheckConstraint("what IN ('warned', 'breached', 'escalated')", name="what"),
    CheckConstraint("action IN ('notify', 'raise', 'reassign', 'webhook')", name="action"),
    CheckConstraint("outcome IN ('told', 'pending', 'done', 'not_needed', 'failed')", name="outcome"),
    reference("complaint_id", "complaints"),
    reference("complaint_clock_id", "complaint_clocks"),
    reference("policy_id", "clock_policies"),
    # Exactly once: whoever inserts it tells it, in the same transaction.
    unique("complaint_clock_id", "what", "step"),
    Index("ix_complaint_clock_alerts_complaint", "tenant_id", "complaint_id", "at"),
)

complaint_clock_marks = tenant_table(
    "complaint_clock_marks",
    Column("complaint_id", Uuid, nullable=False),
    Column("what", Text, nullable=False),
    Column("at", INSTANT, nullable=False),
    created_at(),
    CheckConstraint("what IN ('return_received', 'refunded')", name="what"),
    reference("complaint_id", "complaints"),
    Index("ix_complaint_clock_marks_complaint", "tenant_id", "complaint_id", "at"),
    info={APPEND_ONLY: True},
)
"""What moves a clock and is no step of the case."""

complaint_queue = tenant_table(
    "complaint_queue",
    Column("complaint_id", Uuid, nullable=False),
    Column("rule_id", Uuid, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", INSTANT, nullable=False),
    CheckConstraint("reason IN ('nobody_online', 'no_skill', 'no_capacity', 'nobody_there')", name="reason"),
    reference("complaint_id", "complaints"),
    reference("rule_id", "assignment_rules", ondelete="CASCADE"),
    unique("complaint_id"),
    Index("ix_complaint_queue_since", "tenant_id", "since", "id"),
)
"""Cases for which no rule found anybody: looked at again when somebody may have become free."""
