"""What is derived from each customer's purchases and looks, and which things are bought together."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Float,
    Index,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import INSTANT, created_at, reference, resource_table, tenant_table

ZERO = text("0")

pattern_settings = tenant_table(
    "pattern_settings",
    Column("half_life_days", Integer, nullable=False),
    Column("min_purchase_days", Integer, nullable=False),
    Column("coverage_percent", SmallInteger, nullable=False),
    Column("medium_percent", SmallInteger, nullable=False),
    Column("high_percent", SmallInteger, nullable=False),
    Column("interest_days", Integer, nullable=False),
    Column("basket_days", Integer, nullable=False),
    Column("min_baskets", Integer, nullable=False),
    Column("min_support", Float, nullable=False),
    # Grows with each change: patterns made under an older one are made anew.
    Column("revision", Integer, nullable=False),
    CheckConstraint("half_life_days BETWEEN 7 AND 3650", name="half_life_days"),
    CheckConstraint("min_purchase_days BETWEEN 3 AND 50", name="min_purchase_days"),
    CheckConstraint("coverage_percent BETWEEN 50 AND 95", name="coverage_percent"),
    CheckConstraint("0 < medium_percent AND medium_percent < high_percent AND high_percent <= 100", name="percents"),
    CheckConstraint("interest_days BETWEEN 1 AND 400", name="interest_days"),
    CheckConstraint("basket_days BETWEEN 1 AND 3650", name="basket_days"),
    CheckConstraint("min_baskets BETWEEN 2 AND 1000000", name="min_baskets"),
    CheckConstraint("min_support BETWEEN 0 AND 1", name="min_support"),
    key=(),
)
"""At most one row per tenant; without it ``rules.DEFAULTS`` hold."""

customer_patterns = tenant_table(
    "customer_patterns",
    Column("customer_id", Uuid, nullable=False),
    # Revision of the settings the row was made under; null until it is made.
    Column("settings_revision", Integer),
    Column("purchases", Integer, nullable=False, server_default=ZERO),
    Column("purchase_days", Integer, nullable=False, server_default=ZERO),
    Column("currency", Text),
    Column("median_value_amount", BigInteger),
    Column("low_value_amount", BigInteger),
    Column("high_value_amount", BigInteger),
    Column("cycle_days", Float),
    Column("cycle_low_days", Float),
    Column("cycle_high_days", Float),
    Column("cycle_dispersion", Float),
    Column("next_purchase_expected", Date),
    Column("next_purchase_from", Date),
    Column("next_purchase_to", Date),
    Column("next_purchase_coverage", Float),
    Column("lines", Integer, nullable=False, server_default=ZERO),
    Column("discounted_line_share", Float),
    Column("discounted_spend_share", Float),
    Column("price_sensitivity", Text),
    created_at("updated_at"),
    CheckConstraint("price_sensitivity IN ('low', 'medium', 'high')", name="price_sensitivity"),
    CheckConstraint("next_purchase_from <= next_purchase_to", name="next_purchase"),
    reference("customer_id", "customers"),
    Index("ix_customer_patterns_next", "tenant_id", "next_purchase_expected", "customer_id"),
    key=("customer_id",),
)

customer_favourites = tenant_table(
    "customer_favourites",
    Column("customer_id", Uuid, nullable=False),
    Column("category", Text, nullable=False),
    Column("place", SmallInteger, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("score", Float, nullable=False),
    Column("line_share", Float, nullable=False),
    Column("spend_share", Float),
    CheckConstraint("place > 0 AND lines > 0", name="counts"),
    reference("customer_id", "customers"),
    Index("ix_customer_favourites_category", "tenant_id", "category", "customer_id"),
    key=("customer_id", "category"),
)

customer_interests = tenant_table(
    "customer_interests",
    Column("customer_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    # The SKU of a product, the path of a category.
    Column("item", Text, nullable=False),
    Column("place", SmallInteger, nullable=False),
    # No foreign key: derived, and it must not keep a product from being taken back.
    Column("product_id", Uuid),
    Column("category", Text),
    Column("looks", Integer, nullable=False),
    Column("cart_adds", Integer, nullable=False),
    Column("strength", Integer, nullable=False),
    Column("first_at", INSTANT, nullable=False),
    Column("last_at", INSTANT, nullable=False),
    CheckConstraint("kind IN ('product', 'category')", name="kind"),
    reference("customer_id", "customers"),
    Index("ix_customer_interests_item", "tenant_id", "kind", "item", "customer_id"),
    key=("customer_id", "kind", "item"),
)

pattern_runs = resource_table(
    "pattern_runs",
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    # Whether customers whose patterns are up to date are looked at too.
    Column("everyone", Boolean, nullable=False),
    # Null until the job has begun.
    Column("as_of", INSTANT),
    Column("settings", JSONB(none_as_null=True)),
    # The last customer looked at: a killed worker's successor goes on behind it.
    Column("cursor", Uuid),
    Column("total", Integer, nullable=False, server_default=ZERO),
    Column("processed", Integer, nullable=False, server_default=ZERO),
    Column("figures", JSONB(none_as_null=True)),
    Column("error", Text),
    Column("started_at", INSTANT),
    Column("finished_at", INSTANT),
    CheckConstraint("kind IN ('customers', 'bought_together')", name="kind"),
    CheckConstraint("state IN ('queued', 'running', 'completed', 'failed')", name="state"),
    Index("ix_pattern_runs_kind", "tenant_id", "kind", "id"),
)

bought_together = tenant_table(
    "bought_together",
    Column("run_id", Uuid, nullable=False),
    Column("as_of", INSTANT, nullable=False),
    Column("basis", Text, nullable=False),
    # Either two products or two categories. No foreign keys: derived, like a customer's interests.
    Column("product_id", Uuid),
    Column("with_product_id", Uuid),
    Column("category", Text),
    Column("with_category", Text),
    Column("baskets", Integer, nullable=False),
    Column("item_baskets", Integer, nullable=False),
    Column("with_baskets", Integer, nullable=False),
    Column("both_baskets", Integer, nullable=False),
    Column("support", Float, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("lift", Float, nullable=False),
    CheckConstraint("basis IN ('order', 'customer')", name="basis"),
    CheckConstraint("num_nonnulls(product_id, category) <= 1", name="one_kind"),
    reference("run_id", "pattern_runs"),
    Index(
        "ix_bought_together_product",
        "tenant_id",
        "product_id",
        "confidence",
        "id",
        postgresql_where=text("product_id IS NOT NULL"),
    ),
    Index(
        "ix_bought_together_category",
        "tenant_id",
        "category",
        "confidence",
        "id",
        postgresql_where=text("category IS NOT NULL"),
    ),
    Index("ix_bought_together_run", "tenant_id", "run_id"),
)
"""Both directions of every pair; only those of the last completed run are shown."""
