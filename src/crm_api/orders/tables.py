"""Orders, their lines and refunds, and what each customer's purchases add up to."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    text,
)

from crm_api.db.schema import INSTANT, created_at, reference, resource_table, tenant_table, unique

_STATUSES = "'pending_payment', 'paid', 'shipped', 'completed', 'cancelled', 'refunded'"


def _amount(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _texts(name: str) -> Column[list[str]]:
    return Column(name, ARRAY(Text), nullable=False, server_default=text("'{}'"))


orders = resource_table(
    "orders",
    Column("customer_id", Uuid, nullable=False),
    Column("platform", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("currency", Text, nullable=False),
    _amount("total_amount"),
    _amount("discount_amount"),
    _amount("shipping_amount"),
    _amount("paid_amount"),
    # Parts of what was paid that points may not be earned for.
    _amount("tax_amount"),
    _amount("paid_by_points_amount"),
    _amount("paid_by_vouchers_amount"),
    _amount("refunded_amount"),
    Column("placed_at", INSTANT, nullable=False),
    Column("paid_at", INSTANT),
    Column("completed_at", INSTANT),
    # What decides which of two messages is the newer one.
    Column("platform_version", BigInteger),
    Column("platform_updated_at", INSTANT),
    # What the platform said and what our refund records add up to: `status` and `refunded_amount` follow from both.
    Column("reported_status", Text, nullable=False),
    _amount("reported_refund_amount"),
    _amount("recorded_refund_amount"),
    # Whether `order.paid` has been sent; it is sent once.
    Column("paid_announced", Boolean, nullable=False, server_default=text("false")),
    Column("store_id", Uuid),
    Column("staff_id", Uuid),
    Column("channel", Text),
    Column("buyer_note", Text),
    # The lines' categories, each once: facts and rules need no join to the lines.
    _texts("categories"),
    CheckConstraint(f"status IN ({_STATUSES})", name="status"),
    CheckConstraint(f"reported_status IN ({_STATUSES})", name="reported_status"),
    CheckConstraint(
        "total_amount >= 0 AND discount_amount >= 0 AND shipping_amount >= 0 AND paid_amount >= 0 "
        "AND reported_refund_amount >= 0 AND recorded_refund_amount >= 0",
        name="amounts",
    ),
    CheckConstraint("refunded_amount BETWEEN 0 AND paid_amount", name="refunded"),
    reference("customer_id", "customers"),
    reference("store_id", "stores"),
    reference("staff_id", "staff"),
    unique("platform", "external_id", name="uq_orders_external"),
    Index("ix_orders_customer", "tenant_id", "customer_id", text("placed_at DESC"), text("id DESC")),
    Index("ix_orders_placed", "tenant_id", "placed_at", "id"),
)

order_lines = tenant_table(
    "order_lines",
    Column("order_id", Uuid, nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("sku", Text),
    Column("title", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    # Pieces that were sent back or refunded.
    Column("refunded_quantity", Integer, nullable=False, server_default=text("0")),
    Column("unit_price_amount", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("product_id", Uuid),
    Column("category", Text),
    CheckConstraint("quantity > 0", name="quantity"),
    CheckConstraint("refunded_quantity BETWEEN 0 AND quantity", name="refunded_quantity"),
    CheckConstraint("unit_price_amount >= 0 AND amount >= 0", name="amounts"),
    reference("order_id", "orders"),
    reference("product_id", "products"),
    unique("order_id", "position", name="uq_order_lines_position"),
    Index("ix_order_lines_product", "tenant_id", "product_id", postgresql_where=text("product_id IS NOT NULL")),
)

refunds = tenant_table(
    "refunds",
    Column("order_id", Uuid, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("reason", Text),
    Column("refunded_at", INSTANT, nullable=False),
    created_at(),
    CheckConstraint("amount > 0", name="amount"),
    reference("order_id", "orders"),
    unique("order_id", "external_id", name="uq_refunds_external"),
)

customer_purchase_facts = tenant_table(
    "customer_purchase_facts",
    Column("customer_id", Uuid, nullable=False),
    Column("order_count", Integer, nullable=False, server_default=text("0")),
    Column("paid_order_count", Integer, nullable=False, server_default=text("0")),
    Column("first_order_at", INSTANT),
    Column("last_order_at", INSTANT),
    # The currency of the amounts; see docs/domains/orders.md for which it is and what happens to others.
    Column("currency", Text),
    _amount("gross_spend_amount"),
    _amount("net_spend_amount"),
    Column("average_order_amount", BigInteger),
    Column("other_currency_order_count", Integer, nullable=False, server_default=text("0")),
    Column("median_gap_days", Float),
    _texts("favourite_categories"),
    Column("next_expected_at", INSTANT),
    created_at("updated_at"),
    reference("customer_id", "customers"),
    key=("customer_id",),
)
"""One row per customer with an order, kept by the transaction that writes the order."""
