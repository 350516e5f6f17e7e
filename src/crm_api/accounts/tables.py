"""Tenants, their stores, staff and API keys."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from crm_api.db.schema import INSTANT, created_at, metadata, reference, resource_table, tenant_id, tenant_table, unique

tenants = Table(
    "tenants",
    metadata,
    tenant_id(),
    Column("name", Text, nullable=False),
    Column("preset", Text, nullable=False),
    Column("time_zone", Text, nullable=False, server_default=text("'Asia/Shanghai'")),
    Column("currency", Text, nullable=False, server_default=text("'CNY'")),
    Column("locale", Text, nullable=False, server_default=text("'zh'")),
    Column("version", Integer, nullable=False, server_default=text("1")),
    created_at(),
    created_at("updated_at"),
    PrimaryKeyConstraint("tenant_id"),
)

stores = resource_table(
    "stores",
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False, server_default=text("'branch'")),
    CheckConstraint("kind IN ('branch', 'online')", name="kind"),
    unique("name"),
)

staff = resource_table(
    "staff",
    Column("name", Text, nullable=False),
    Column("email", Text),
    Column("store_id", Uuid),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    reference("store_id", "stores"),
    Index("uq_staff_email", "tenant_id", "email", unique=True),
)

api_keys = tenant_table(
    "api_keys",
    Column("name", Text, nullable=False),
    # Only the hash is kept: 256 random bits need no slow hash.
    Column("hash", LargeBinary, nullable=False),
    Column("hint", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("expires_at", INSTANT),
    Column("revoked_at", INSTANT),
    created_at(),
    Index("uq_api_keys_hash", "hash", unique=True),
)
