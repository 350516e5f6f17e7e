"""The consent ledger, the texts it refers to, and what is true now.

What was said is appended (the application role cannot change or delete it); what follows from it is stored beside it,
so that a send is decided by one read of a key, and equals the replay of the ledger (``rules.replay``).
"""

from sqlalchemy import ARRAY, Boolean, CheckConstraint, Column, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import APPEND_ONLY, INSTANT, created_at, reference, tenant_table, unique

consent_settings = tenant_table(
    "consent_settings",
    Column("guardian_consent_required", Boolean, nullable=False, server_default=text("true")),
    Column("purposes", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    created_at("updated_at"),
    key=(),
)
"""One row per tenant that differs from the defaults."""

consent_texts = tenant_table(
    "consent_texts",
    Column("purpose", Text, nullable=False),
    Column("language", Text, nullable=False),
    # Counts from 1 within purpose and language.
    Column("version", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    created_at(),
    CheckConstraint("version > 0", name="version"),
    unique("purpose", "language", "version", name="uq_consent_texts_version"),
    info={APPEND_ONLY: True},
)
"""The words people agree to: a version never changes, new words are a new version."""

consents = tenant_table(
    "consents",
    Column("customer_id", Uuid, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("text_id", Uuid),
    Column("source", Text, nullable=False),
    Column("proof", JSONB(none_as_null=True)),
    # When it was said; entries may arrive late, so this and not the time of storing decides which is the latest.
    Column("at", INSTANT, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Uuid, nullable=False),
    created_at(),
    CheckConstraint("action IN ('granted', 'withdrawn')", name="action"),
    reference("customer_id", "customers"),
    reference("text_id", "consent_texts"),
    Index("ix_consents_customer", "tenant_id", "customer_id", "at", "id"),
    info={APPEND_ONLY: True},
)
"""The ledger: what customers said."""

consent_states = tenant_table(
    "consent_states",
    Column("customer_id", Uuid, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("consent_id", Uuid, nullable=False),
    CheckConstraint("action IN ('granted', 'withdrawn')", name="action"),
    reference("customer_id", "customers"),
    reference("consent_id", "consents"),
    # Who agreed to this: lists and segments.
    Index("ix_consent_states_purpose", "tenant_id", "purpose", "channel", "action", "customer_id"),
    Index("ix_consent_states_consent", "tenant_id", "consent_id"),
    key=("customer_id", "purpose", "channel"),
)
"""The latest entry for each customer, purpose and channel."""
