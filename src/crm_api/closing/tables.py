"""What customers were told of their cases, what they think of it, and what is done about causes."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    text,
)

from crm_api.complaints.tables import complaints as complaints  # noqa: PLC0414 - ownership follows cases
from crm_api.db.schema import INSTANT, created_at, reference, resource_table, tenant_table, unique


def _default(name: str, kind: type[Any], value: str) -> Column[Any]:
    return Column(name, kind, nullable=False, server_default=text(value))


closing_settings = tenant_table(
    "closing_settings",
    _default("tell_decision", Boolean, "true"),
    _default("tell_result", Boolean, "true"),
    _default("ask_rating", Boolean, "true"),
    _default("ask_after_hours", Integer, "24"),
    _default("answer_days", Integer, "7"),
    Column("tell_by", ARRAY(Text), nullable=False, server_default=text("'{email}'")),
    Column("rating_page", Text),
    _default("low_csat", SmallInteger, "2"),
    _default("low_ces", SmallInteger, "3"),
    _default("version", Integer, "1"),
    created_at(),
    created_at("updated_at"),
    CheckConstraint("ask_after_hours BETWEEN 0 AND 720", name="ask_after_hours"),
    CheckConstraint("answer_days BETWEEN 1 AND 90", name="answer_days"),
    CheckConstraint(
        "tell_by <@ ARRAY['email', 'sms'] AND cardinality(tell_by) BETWEEN 1 AND 2 "
        "AND tell_by[1] IS DISTINCT FROM tell_by[2]",
        name="tell_by",
    ),
    CheckConstraint("low_csat BETWEEN 0 AND 4 AND low_ces BETWEEN 0 AND 6", name="low"),
    key=(),
)
"""One row per tenant, made with it (or by the migration)."""

complaint_tellings = resource_table(
    "complaint_tellings",
    Column("complaint_id", Uuid, nullable=False),
    Column("what", Text, nullable=False),
    # How often the case had been decided anew: proposals and reopenings.
    Column("cycle", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("reason", Text),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    # Of `channel_messages`, where messages are forgotten after a while: no foreign key.
    Column("message_id", Uuid),
    Column("told_at", INSTANT),
    Column("told_by", Uuid),
    Column("note", Text),
    CheckConstraint("what IN ('decision', 'result')", name="what"),
    CheckConstraint("state IN ('to_tell', 'queued', 'told', 'superseded')", name="state"),
    CheckConstraint("channel IN ('shop', 'email', 'sms')", name="channel"),
    CheckConstraint(
        "reason IN ('asked', 'no_address', 'no_channel', 'not_allowed', 'too_long', 'not_delivered')", name="reason"
    ),
    CheckConstraint("(state = 'told') = (told_at IS NOT NULL)", name="told"),
    CheckConstraint("state <> 'queued' OR message_id IS NOT NULL", name="queued"),
    reference("complaint_id", "complaints"),
    reference("told_by", "staff"),
    unique("complaint_id", "what", "cycle"),
    Index("ix_complaint_tellings_message", "tenant_id", "message_id"),
    Index("ix_complaint_tellings_state", "tenant_id", "state", "id"),
)
"""A decision or a result on its way to the customer; one of each for each decision."""

complaint_ratings = resource_table(
    "complaint_ratings",
    Column("complaint_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("staff_id", Uuid),
    Column("state", Text, nullable=False),
    Column("ask_at", INSTANT, nullable=False),
    Column("channel", Text),
    Column("reason", Text),
    Column("token_hash", LargeBinary),
    Column("message_id", Uuid),
    Column("asked_at", INSTANT),
    Column("expires_at", INSTANT),
    Column("answered_at", INSTANT),
    Column("answered_by", Uuid),
    Column("csat", SmallInteger),
    Column("ces", SmallInteger),
    Column("comment", Text),
    Column("low", Boolean),
    Column("suggestion", Text),
    CheckConstraint("state IN ('planned', 'asked', 'answered', 'expired', 'dropped')", name="state"),
    CheckConstraint("channel IN ('shop', 'email', 'sms')", name="channel"),
    CheckConstraint(
        "reason IN ('asked', 'no_address', 'no_channel', 'not_allowed', 'too_long', 'no_page', 'not_delivered')",
        name="reason",
    ),
    CheckConstraint("csat BETWEEN 1 AND 5 AND ces BETWEEN 1 AND 7", name="scores"),
    CheckConstraint("suggestion IN ('follow_up', 'reopen')", name="suggestion"),
    CheckConstraint(
        "(state = 'answered') = (answered_at IS NOT NULL) AND (state = 'answered') = (csat IS NOT NULL) "
        "AND (state = 'answered') = (low IS NOT NULL)",
        name="answered",
    ),
    CheckConstraint(
        "state NOT IN ('asked', 'expired') OR (asked_at IS NOT NULL AND expires_at IS NOT NULL)", name="asked"
    ),
    reference("complaint_id", "complaints"),
    reference("customer_id", "customers"),
    reference("staff_id", "staff"),
    reference("answered_by", "staff"),
    unique("complaint_id"),
    Index("ix_complaint_ratings_ask", "tenant_id", "state", "ask_at"),
    Index("ix_complaint_ratings_expiry", "tenant_id", "state", "expires_at"),
    Index("ix_complaint_ratings_customer", "tenant_id", "customer_id", "answered_at", "id"),
    Index("ix_complaint_ratings_staff", "tenant_id", "staff_id", "answered_at"),
    Index("ix_complaint_ratings_message", "tenant_id", "message_id"),
)
"""What a customer thinks of how a case went: asked once for each case, however often it is reopened."""

corrective_actions = resource_table(
    "corrective_actions",
    Column("title", Text, nullable=False),
    Column("description", Text),
    Column("cause", Text, nullable=False),
    Column("owner_id", Uuid, nullable=False),
    Column("due_on", Date, nullable=False),
    Column("state", Text, nullable=False),
    Column("done_at", INSTANT),
    Column("done_by", Uuid),
    Column("outcome", Text),
    Column("verified_at", INSTANT),
    Column("verified_by", Uuid),
    Column("verification", Text),
    Column("cancelled_at", INSTANT),
    Column("reason", Text),
    Column("overdue_told_at", INSTANT),
    CheckConstraint("state IN ('open', 'in_progress', 'done', 'verified', 'cancelled')", name="state"),
    CheckConstraint("(state = 'done' OR state = 'verified') = (done_at IS NOT NULL)", name="done"),
    CheckConstraint("(state = 'verified') = (verified_at IS NOT NULL)", name="verified"),
    CheckConstraint("(verified_at IS NULL) = (verified_by IS NULL)", name="verifier"),
    # Nobody checks their own work, whatever code asks for it.
    CheckConstraint("verified_by <> owner_id AND verified_by <> done_by", name="four_eyes"),
    CheckConstraint("(state = 'cancelled') = (cancelled_at IS NOT NULL)", name="cancelled"),
    reference("owner_id", "staff"),
    reference("done_by", "staff"),
    reference("verified_by", "staff"),
    Index("ix_corrective_actions_cause", "tenant_id", "cause", "id"),
    Index("ix_corrective_actions_owner", "tenant_id", "owner_id", "id"),
    Index("ix_corrective_actions_due", "tenant_id", "state", "due_on"),
)
"""What is done so that a cause brings no more complaints."""

corrective_action_complaints = tenant_table(
    "corrective_action_complaints",
    Column("action_id", Uuid, nullable=False),
    Column("complaint_id", Uuid, nullable=False),
    created_at(),
    reference("action_id", "corrective_actions"),
    reference("complaint_id", "complaints"),
    Index("ix_corrective_action_complaints_complaint", "tenant_id", "complaint_id"),
    key=("action_id", "complaint_id"),
)
"""The cases an action is about."""
