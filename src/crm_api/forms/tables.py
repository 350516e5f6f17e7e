"""Capture forms and what was sent through them."""

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import INSTANT, created_at, reference, resource_table, tenant_table

capture_forms = resource_table(
    "capture_forms",
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text),
    Column("fields", JSONB, nullable=False),
    # Texts are never changed or deleted, so an array of their ids stays good.
    Column("consent_text_ids", ARRAY(Uuid), nullable=False, server_default=text("'{}'")),
    Column("source", Text),
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("allowed_origins", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("hourly_limit", Integer, nullable=False),
    Column("visitor_hourly_limit", Integer, nullable=False),
    Column("minimum_seconds", SmallInteger, nullable=False),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    # Signs tickets and blurs visitors' addresses; no surface shows it.
    Column("secret", LargeBinary, nullable=False),
    CheckConstraint("kind IN ('registration', 'membership', 'activity', 'consultation')", name="kind"),
    CheckConstraint("hourly_limit > 0 AND visitor_hourly_limit > 0", name="limits"),
    CheckConstraint("minimum_seconds >= 0", name="minimum_seconds"),
)

form_submissions = tenant_table(
    "form_submissions",
    Column("form_id", Uuid, nullable=False),
    # The ticket's number: the same ticket has its effect once.
    Column("ticket", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    Column("customer_id", Uuid),
    Column("interaction_id", Uuid),
    Column("new_customer", Boolean, nullable=False, server_default=text("false")),
    Column("answers", JSONB, nullable=False),
    Column("consents", ARRAY(Uuid), nullable=False, server_default=text("'{}'")),
    Column("visitor", Text, nullable=False),
    Column("submitted_at", INSTANT, nullable=False),
    created_at(),
    CheckConstraint("state IN ('accepted', 'spam')", name="state"),
    CheckConstraint("(state = 'accepted') = (customer_id IS NOT NULL)", name="accepted"),
    reference("form_id", "capture_forms"),
    reference("customer_id", "customers"),
    reference("interaction_id", "interactions"),
    Index("uq_form_submissions_ticket", "tenant_id", "form_id", "ticket", unique=True),
    Index("ix_form_submissions_recent", "tenant_id", "form_id", "submitted_at"),
    Index("ix_form_submissions_customer", "tenant_id", "customer_id", "submitted_at", "id"),
)
