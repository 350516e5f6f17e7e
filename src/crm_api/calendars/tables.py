"""Business calendars."""

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import resource_table, unique

calendars = resource_table(
    "calendars",
    Column("name", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    # "1" (Monday) to "7" → [["09:00", "12:00"], …]
    Column("weekly", JSONB, nullable=False),
    # [{"date", "intervals", "name", "source"}, …] by date: a few dozen a year, always read as a whole.
    Column("exceptions", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("is_default", Boolean, nullable=False, server_default=text("false")),
    Column("archived", Boolean, nullable=False, server_default=text("false")),
    CheckConstraint("NOT (is_default AND archived)", name="default_is_offered"),
    unique("name"),
    Index("uq_calendars_default", "tenant_id", unique=True, postgresql_where=text("is_default")),
)
