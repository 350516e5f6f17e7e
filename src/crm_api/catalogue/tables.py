"""Products: what can be bought."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Date, Index, Text, text

from crm_api.db.schema import resource_table, unique

products = resource_table(
    "products",
    Column("sku", Text, nullable=False),
    Column("name", Text, nullable=False),
    # The path from the root, such as 海鲜/虾: a subtree is a range of texts.
    Column("category", Text),
    Column("brand", Text),
    Column("price_amount", BigInteger),
    Column("currency", Text),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("new_arrival_on", Date),
    CheckConstraint("price_amount >= 0", name="price"),
    CheckConstraint("(price_amount IS NULL) = (currency IS NULL)", name="price_currency"),
    unique("sku", name="uq_products_sku"),
    # The C collation makes "begins with 海鲜/" a range of the index whatever the database's own is.
    Index("ix_products_category", "tenant_id", text('category COLLATE "C"'), "id"),
)
