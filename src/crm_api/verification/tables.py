"""One-time codes that were sent."""

from sqlalchemy import CheckConstraint, Column, Index, LargeBinary, SmallInteger, Text, Uuid, text

from crm_api.db.schema import INSTANT, reference, tenant_table

contact_verifications = tenant_table(
    "contact_verifications",
    Column("customer_id", Uuid, nullable=False),
    # No foreign key, and kind and value again: removing the contact point must not remove what its limits count.
    Column("contact_point_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("message_id", Uuid, nullable=False),
    # Both are deleted as soon as the code can no longer be used.
    Column("salt", LargeBinary),
    Column("code_hash", LargeBinary),
    Column("tries", SmallInteger, nullable=False, server_default=text("0")),
    Column("sent_at", INSTANT, nullable=False),
    Column("resend_at", INSTANT, nullable=False),
    Column("expires_at", INSTANT, nullable=False),
    Column("replaced_at", INSTANT),
    Column("verified_at", INSTANT),
    CheckConstraint("tries BETWEEN 0 AND 5", name="tries"),
    reference("customer_id", "customers"),
    # A new code voids the old one: at most one is open.
    Index(
        "uq_contact_verifications_open",
        "tenant_id",
        "contact_point_id",
        unique=True,
        postgresql_where=text("replaced_at IS NULL AND verified_at IS NULL"),
    ),
    Index("ix_contact_verifications_value", "tenant_id", "kind", "value", "sent_at"),
    Index("ix_contact_verifications_sent", "tenant_id", "sent_at"),
    Index("ix_contact_verifications_customer", "tenant_id", "customer_id", "id"),
)
