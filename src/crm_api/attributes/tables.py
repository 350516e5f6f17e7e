"""Definitions of a tenant's own attributes; the values lie with what has them."""

from sqlalchemy import Boolean, CheckConstraint, Column, Double, Integer, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import resource_table, unique

attribute_definitions = resource_table(
    "attribute_definitions",
    Column("entity", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("label_en", Text, nullable=False),
    Column("label_zh", Text, nullable=False),
    Column("description", Text),
    # [{"value", "label": {"en", "zh"}, "archived"}], in the order screens show them.
    Column("choices", JSONB, nullable=False, server_default=text("'[]'")),
    Column("refers_to", Text),
    Column("required", Boolean, nullable=False, server_default=text("false")),
    Column("minimum", Double),
    Column("maximum", Double),
    Column("max_length", Integer),
    Column("archived", Boolean, nullable=False, server_default=text("false")),
    CheckConstraint("entity IN ('customer')", name="entity"),
    CheckConstraint(
        "type IN ('text', 'number', 'money', 'date', 'boolean', 'choice', 'multi_choice', 'reference')", name="type"
    ),
    CheckConstraint("refers_to IN ('customer', 'staff', 'store', 'product')", name="refers_to"),
    CheckConstraint("(type = 'reference') = (refers_to IS NOT NULL)", name="reference"),
    CheckConstraint("minimum <= maximum", name="range"),
    unique("entity", "key", name="uq_attribute_definitions_key"),
)
