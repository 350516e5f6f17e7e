"""Customers and what identifies them."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from crm_api.db.schema import INSTANT, NO_ROW_SECURITY, created_at, reference, resource_table, tenant_table

customers = resource_table(
    "customers",
    Column("kind", Text, nullable=False, server_default=text("'person'")),
    Column("name", Text, nullable=False),
    Column("gender", Text),
    # A birthday may be lunar and may lack its year, so it is not a date.
    Column("birth_calendar", Text),
    Column("birth_year", SmallInteger),
    Column("birth_month", SmallInteger),
    Column("birth_day", SmallInteger),
    Column("birth_leap_month", Boolean),
    Column("occupation", Text),
    Column("region", Text),
    Column("city", Text),
    Column("address", Text),
    Column("preferences", Text),
    Column("special_requirements", Text),
    Column("price_sensitivity", Text),
    Column("notes", Text),
    Column("age_range", Text),
    Column("family", Text),
    Column("interests", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    # Values of the tenant's own attributes by key; crm_api.attributes.rules says how each type is stored.
    Column("attributes", JSONB, nullable=False, server_default=text("'{}'")),
    # Not a mark on the address: when a merge brings addresses together there is still one default, and undo is exact.
    Column("default_address_id", Uuid),
    Column("source", Text),
    Column("blacklisted", Boolean, nullable=False, server_default=text("false")),
    Column("owner_id", Uuid),
    Column("store_id", Uuid),
    Column("deleted_at", INSTANT),
    # Personal data are gone for good (privacy): nothing brings the customer back.
    Column("erased_at", INSTANT),
    # Who this customer became in a merge; never somebody who was merged in turn. Its id is an alias of that one.
    Column("merged_into_id", Uuid),
    CheckConstraint("merged_into_id IS NULL OR deleted_at IS NOT NULL", name="merged_is_hidden"),
    CheckConstraint("kind IN ('person', 'company')", name="kind"),
    CheckConstraint("gender IN ('female', 'male', 'other')", name="gender"),
    CheckConstraint("birth_calendar IN ('solar', 'lunar')", name="birth_calendar"),
    CheckConstraint("price_sensitivity IN ('low', 'medium', 'high')", name="price_sensitivity"),
    reference("owner_id", "staff"),
    reference("store_id", "stores"),
    Index("ix_customers_owner", "tenant_id", "owner_id", "id"),
    Index("ix_customers_store", "tenant_id", "store_id", "id"),
    reference("merged_into_id", "customers"),
    Index(
        "ix_customers_merged", "tenant_id", "merged_into_id", "id", postgresql_where=text("merged_into_id IS NOT NULL")
    ),
    Index("ix_customers_alias", "tenant_id", "id", postgresql_where=text("merged_into_id IS NOT NULL")),
)

contact_points = tenant_table(
    "contact_points",
    Column("customer_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("is_primary", Boolean, nullable=False, server_default=text("false")),
    Column("verified_at", INSTANT),
    # Whether the verification stands: not while its customer is deleted. A claimed value is one customer's alone.
    Column("claimed", Boolean, nullable=False, server_default=text("false")),
    created_at(),
    CheckConstraint("NOT claimed OR verified_at IS NOT NULL", name="claimed"),
    ForeignKeyConstraint(
        ["tenant_id", "customer_id"],
        ["customers.tenant_id", "customers.id"],
        name="fk_contact_points_tenant_id_customer_id",
    ),
    Index("uq_contact_points_customer", "tenant_id", "customer_id", "kind", "value", unique=True),
    Index("ix_contact_points_value", "tenant_id", "kind", "value"),
    Index("uq_contact_points_claimed", "tenant_id", "kind", "value", unique=True, postgresql_where=text("claimed")),
)

customer_identities = tenant_table(
    "customer_identities",
    Column("customer_id", Uuid, nullable=False),
    Column("platform", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    created_at(),
    reference("customer_id", "customers"),
    Index("uq_customer_identities_external", "tenant_id", "platform", "external_id", unique=True),
    Index("ix_customer_identities_customer", "tenant_id", "customer_id"),
)

customer_tags = tenant_table(
    "customer_tags",
    Column("customer_id", Uuid, nullable=False),
    Column("tag", Text, nullable=False),
    created_at(),
    reference("customer_id", "customers"),
    Index("ix_customer_tags_tag", "tenant_id", "tag", "customer_id"),
    key=("customer_id", "tag"),
)

customer_addresses = tenant_table(
    "customer_addresses",
    Column("customer_id", Uuid, nullable=False),
    Column("label", Text),
    Column("receiver", Text),
    Column("phone", Text),
    Column("province", Text),
    Column("city", Text),
    Column("district", Text),
    Column("street", Text),
    Column("postcode", Text),
    created_at(),
    reference("customer_id", "customers"),
    Index("ix_customer_addresses_customer", "tenant_id", "customer_id"),
)

customer_search_keys = tenant_table(
    "customer_search_keys",
    Column("customer_id", Uuid, nullable=False),
    # Only keys of 0.1 have a name here: it answers needles of one or two characters until they are keyed anew.
    Column("name", Text, nullable=False),
    Column("haystack", Text, nullable=False),
    Column("keys_version", SmallInteger, nullable=False, server_default=text("0")),
    reference("customer_id", "customers"),
    Index(
        "ix_customer_search_keys_grams",
        "tenant_id",
        func.crm_grams(text("name")),
        postgresql_using="gin",
    ),
    Index(
        "ix_customer_search_keys_haystack",
        "tenant_id",
        "haystack",
        postgresql_using="gin",
        postgresql_ops={"haystack": "gin_trgm_ops"},
    ),
    # Empty but for the time after an upgrade: what `customers.rekey` has still to do.
    Index("ix_customer_search_keys_old", "tenant_id", "customer_id", postgresql_where=text("keys_version < 1")),
    key=("customer_id",),
    info={NO_ROW_SECURITY: True},
)
"""What the search box looks at. No row-level security (it would switch the index off): it yields ids only, which are
then joined to the protected table."""
