"""Households, who belongs to them, and how a tenant cuts children's ages into stages."""

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

from crm_api.db.schema import INSTANT, reference, resource_table, tenant_table

households = resource_table("households", Column("name", Text, nullable=False))

household_members = resource_table(
    "household_members",
    Column("household_id", Uuid, nullable=False),
    # Null: a child that is no customer, whose details stand here.
    Column("customer_id", Uuid),
    Column("relation", Text, nullable=False),
    Column("name", Text),
    Column("sex", Text),
    # As it was given; it may be lunar and may lack its year.
    Column("birth_calendar", Text),
    Column("birth_year", SmallInteger),
    Column("birth_month", SmallInteger),
    Column("birth_day", SmallInteger),
    Column("birth_leap_month", Boolean),
    # The same day in the solar calendar; null while the year is not known.
    Column("born_on", Date),
    Column("due_date", Date),
    Column("birth_recorded_at", INSTANT),
    Column("guardian_id", Uuid),
    CheckConstraint(
        "relation IN ('child', 'mother', 'father', 'guardian', 'grandparent', 'spouse', 'other')", name="relation"
    ),
    CheckConstraint("sex IN ('female', 'male')", name="sex"),
    CheckConstraint("birth_calendar IN ('solar', 'lunar')", name="birth_calendar"),
    CheckConstraint("customer_id IS NOT NULL OR relation = 'child'", name="only_children_are_no_customers"),
    CheckConstraint(
        "customer_id IS NULL OR num_nonnulls(name, sex, birth_month, born_on, due_date) = 0", name="customers_details"
    ),
    reference("household_id", "households"),
    reference("customer_id", "customers"),
    reference("guardian_id", "customers"),
    Index("ix_household_members_household", "tenant_id", "household_id", "id"),
    Index(
        "uq_household_members_customer",
        "tenant_id",
        "customer_id",
        "household_id",
        unique=True,
        postgresql_where=text("customer_id IS NOT NULL"),
    ),
    Index(
        "ix_household_members_guardian", "tenant_id", "guardian_id", postgresql_where=text("guardian_id IS NOT NULL")
    ),
    # Stages are ranges of days of birth, or of days they are due.
    Index("ix_household_members_born", "tenant_id", "born_on", postgresql_where=text("born_on IS NOT NULL")),
    Index("ix_household_members_due", "tenant_id", "due_date", postgresql_where=text("due_date IS NOT NULL")),
)

household_settings = tenant_table(
    "household_settings",
    Column("stage_codes", ARRAY(Text), nullable=False),
    Column("stage_months", ARRAY(Integer), nullable=False),
    Column("overdue_after_days", SmallInteger, nullable=False),
    CheckConstraint("cardinality(stage_codes) = cardinality(stage_months) AND stage_months[1] = 0", name="stages"),
    CheckConstraint("overdue_after_days BETWEEN 0 AND 90", name="overdue_after_days"),
    key=(),
)
"""At most one row per tenant; without it the defaults of ``rules.DEFAULT_STAGES`` hold."""

customer_children = Table(
    "customer_children",
    MetaData(),
    Column("tenant_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("household_id", Uuid, nullable=False),
    Column("name", Text),
    Column("sex", Text),
    Column("born_on", Date),
    Column("due_date", Date),
    Column("birth_recorded_at", INSTANT),
)
"""A view (not in the metadata): every grown-up member with each living child of the household; ``id`` is the child's
membership. A child that is a customer has the birthday of the customer."""
