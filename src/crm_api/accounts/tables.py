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
    Column("title", Text),
    # How much may be given automatically: null is without limit; people may give more by hand.
    Column("customer_capacity", Integer),
    Column("case_capacity", Integer),
    # Share of what the strategy `weighted` gives out.
    Column("weight", Integer, nullable=False, server_default=text("1")),
    Column("availability", Text, nullable=False, server_default=text("'online'")),
    # Whether others were last told that the member is at work: `staff.online` and `staff.offline` are sent on a change.
    Column("told_online", Boolean, nullable=False, server_default=text("true")),
    CheckConstraint("customer_capacity >= 0 AND case_capacity >= 0", name="capacities"),
    CheckConstraint("weight BETWEEN 1 AND 100", name="weight"),
    CheckConstraint("availability IN ('online', 'offline', 'by_shift')", name="availability"),
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
