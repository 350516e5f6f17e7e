"""Who speaks for a company, and what a company and its contacts have bought."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    text,
)

from crm_api.db.schema import INSTANT, reference, resource_table

company_contacts = resource_table(
    "company_contacts",
    Column("company_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("roles", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("title", Text),
    Column("is_primary", Boolean, nullable=False, server_default=text("false")),
    # Days in the tenant's zone, both included. Null: since ever, and until now.
    Column("since", Date),
    Column("until", Date),
    CheckConstraint("since <= until", name="period"),
    CheckConstraint("until IS NULL OR NOT is_primary", name="primary_is_current"),
    reference("company_id", "customers"),
    reference("customer_id", "customers"),
    Index(
        "uq_company_contacts_current",
        "tenant_id",
        "company_id",
        "customer_id",
        "until",
        unique=True,
        # Two contacts of today are equal: neither has a last day.
        postgresql_nulls_not_distinct=True,
    ),
    Index("ix_company_contacts_company", "tenant_id", "company_id", "id"),
    Index("ix_company_contacts_customer", "tenant_id", "customer_id", "id"),
)

_ROLLUP = MetaData()

company_purchases = Table(
    "company_purchases",
    _ROLLUP,
    Column("tenant_id", Uuid, nullable=False),
    Column("company_id", Uuid, nullable=False),
    Column("order_count", Integer, nullable=False),
    Column("paid_order_count", Integer, nullable=False),
    Column("first_order_at", INSTANT),
    Column("last_order_at", INSTANT),
    Column("currency", Text),
    Column("gross_spend_amount", BigInteger),
    Column("net_spend_amount", BigInteger),
    Column("other_currency_order_count", Integer, nullable=False),
)
"""A view (not in the metadata): every living company with its own orders and those its contacts placed while they were
contacts, each order once."""

company_points = Table(
    "company_points",
    _ROLLUP,
    Column("tenant_id", Uuid, nullable=False),
    Column("company_id", Uuid, nullable=False),
    Column("available", BigInteger, nullable=False),
    Column("pending", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("debt", BigInteger, nullable=False),
)
"""A view (not in the metadata): every living company with its own points and those of its current contacts."""
