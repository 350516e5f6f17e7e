"""Tables of the plumbing: the outbox, the audit log and idempotency keys."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import UserDefinedType

from crm_api.db.schema import APPEND_ONLY, INSTANT, created_at, metadata, tenant_table


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the type's SQL name."""
        return "xid8"


outbox = tenant_table(
    "outbox",
    # Readers go by (xid, id) below the oldest running transaction; see db/outbox.py.
    Column("xid", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    Column("type", Text, nullable=False),
    Column("subject_id", Uuid, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("occurred_at", INSTANT, nullable=False),
    Index("ix_outbox_xid_id", "xid", "id"),
    tied=False,
)

outbox_receipts = tenant_table(
    "outbox_receipts",
    Column("subscriber", Text, nullable=False),
    Column("message_id", Uuid, nullable=False),
    created_at(),
    key=("subscriber", "message_id"),
    tied=False,
)
"""One row per message a subscriber has handled, written with the handler's effects."""

outbox_failures = tenant_table(
    "outbox_failures",
    Column("subscriber", Text, nullable=False),
    Column("message_id", Uuid, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("1")),
    Column("error", Text, nullable=False),
    Column("next_attempt_at", INSTANT),
    created_at(),
    key=("subscriber", "message_id"),
)
"""Messages a subscriber could not handle: retried until ``next_attempt_at`` is null, then left for a person."""

outbox_cursors = Table(
    "outbox_cursors",
    metadata,
    Column("subscriber", Text, primary_key=True),
    Column("xid", Xid8, nullable=False, server_default=text("'0'::xid8")),
    Column("message_id", Uuid, nullable=False, server_default=text("'00000000-0000-0000-0000-000000000000'::uuid")),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    info={"system": True},
)
"""How far each subscriber has read; the only table that belongs to no tenant."""

audit_log = tenant_table(
    "audit_log",
    Column("seq", BigInteger, Identity(always=True), nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Uuid, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("subject_type", Text, nullable=False),
    Column("subject_id", Uuid, nullable=False),
    Column("before", JSONB(none_as_null=True)),
    Column("after", JSONB(none_as_null=True)),
    Index("ix_audit_log_subject", "tenant_id", "subject_id", "id"),
    info={APPEND_ONLY: True},
    tied=False,
)

idempotency_keys = tenant_table(
    "idempotency_keys",
    Column("fingerprint", LargeBinary, nullable=False),
    Column("status", SmallInteger),
    Column("headers", JSONB(none_as_null=True)),
    Column("body", LargeBinary),
    created_at(),
    tied=False,
)
"""Answers to keyed requests, kept 24 hours; ``id`` is derived from the actor and the key."""
