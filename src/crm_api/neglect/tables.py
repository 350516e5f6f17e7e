"""How often customers of a class should hear from their owner."""

from sqlalchemy import CheckConstraint, Column, Integer, Text

from crm_api.db.schema import resource_table, unique

contact_standards = resource_table(
    "contact_standards",
    Column("dimension", Text, nullable=False),
    Column("class_name", Text, nullable=False),
    Column("every_days", Integer, nullable=False),
    CheckConstraint("every_days BETWEEN 1 AND 3650", name="every_days"),
    unique("dimension", "class_name"),
)
"""A customer who meets several is held to the strictest."""
