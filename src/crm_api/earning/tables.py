"""Earning rules, their published versions, what was earned by them, and what is left of budgets."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Date, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import APPEND_ONLY, INSTANT, created_at, reference, resource_table, tenant_table, unique

ZERO = text("0")
_TRIGGERS = "'order_paid', 'order_completed', 'event', 'sign_up', 'birthday', 'survey', 'referral', 'compensation'"

earning_rules = resource_table(
    "earning_rules",
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("state", Text, nullable=False, server_default=text("'draft'")),
    # Of what is published in earning_rule_versions; the columns below are what is being edited.
    Column("revision", Integer, nullable=False, server_default=ZERO),
    Column("trigger", Text, nullable=False),
    Column("event_type", Text),
    Column("customer_rule", JSONB(none_as_null=True)),
    Column("order_rule", JSONB(none_as_null=True)),
    Column("lines_rule", JSONB(none_as_null=True)),
    Column("event_rule", JSONB(none_as_null=True)),
    Column("formula", JSONB, nullable=False),
    Column("gives", Text, nullable=False, server_default=text("'both'")),
    Column("stacking", Text, nullable=False, server_default=text("'additive'")),
    Column("stacking_group", Text, nullable=False, server_default=text("'default'")),
    Column("priority", Integer, nullable=False, server_default=text("100")),
    Column("keeps_base", Boolean, nullable=False, server_default=text("false")),
    Column("counts", JSONB, nullable=False),
    Column("caps", JSONB, nullable=False),
    Column("starts_at", INSTANT),
    Column("ends_at", INSTANT),
    Column("reason", Text),
    CheckConstraint("state IN ('draft', 'active', 'archived')", name="state"),
    CheckConstraint(f"trigger IN ({_TRIGGERS})", name="trigger"),
    CheckConstraint("(trigger = 'event') = (event_type IS NOT NULL)", name="event_type"),
    CheckConstraint("gives IN ('both', 'spendable', 'qualifying')", name="gives"),
    CheckConstraint("stacking IN ('exclusive', 'additive', 'best_of')", name="stacking"),
    CheckConstraint("starts_at < ends_at", name="validity"),
    unique("name"),
)

earning_rule_versions = tenant_table(
    "earning_rule_versions",
    Column("rule_id", Uuid, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("definition", JSONB, nullable=False),
    # Holds for what happened from then on, until the next version of the rule.
    Column("effective_from", INSTANT, nullable=False),
    created_at(),
    CheckConstraint("state IN ('active', 'archived')", name="state"),
    reference("rule_id", "earning_rules"),
    unique("rule_id", "revision"),
    info={APPEND_ONLY: True},
)

earning_limits = tenant_table(
    "earning_limits",
    Column("per_order", BigInteger),
    Column("per_day", BigInteger),
    Column("per_week", BigInteger),
    Column("per_month", BigInteger),
    Column("per_life", BigInteger),
    Column("budget", BigInteger),
    Column("version", Integer, nullable=False, server_default=text("1")),
    created_at("updated_at"),
    key=(),
)
"""One row a tenant, made with it (or by the migration): caps over all rules together."""

earning_budgets = tenant_table(
    "earning_budgets",
    # A rule's id, or the tenant's for all rules together.
    Column("scope_id", Uuid, nullable=False),
    Column("used", BigInteger, nullable=False, server_default=ZERO),
    CheckConstraint("used >= 0", name="used"),
    key=("scope_id",),
)
"""Points given under budgets: one row is everybody's, so it is locked last and shortly."""

earnings = tenant_table(
    "earnings",
    Column("trigger", Text, nullable=False),
    # What earned: the order, the event, the customer who signed up, or made of the birthday's year or the reference.
    Column("subject_id", Uuid, nullable=False),
    Column("reference", Text),
    Column("customer_id", Uuid, nullable=False),
    Column("order_id", Uuid),
    Column("occurred_at", INSTANT, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("qualifying", BigInteger, nullable=False),
    Column("decisions", JSONB, nullable=False),
    Column("transaction_id", Uuid),
    Column("qualifying_transaction_id", Uuid),
    # By refunds of an order that was completed; those of paid orders are counted by the ledger's accruals.
    Column("taken_back", BigInteger, nullable=False, server_default=ZERO),
    Column("qualifying_taken_back", BigInteger, nullable=False, server_default=ZERO),
    created_at(),
    CheckConstraint(f"trigger IN ({_TRIGGERS})", name="trigger"),
    CheckConstraint("taken_back BETWEEN 0 AND points", name="taken_back"),
    CheckConstraint("qualifying_taken_back BETWEEN 0 AND qualifying", name="qualifying_taken_back"),
    reference("customer_id", "customers"),
    unique("trigger", "subject_id", name="uq_earnings_subject"),
    Index("ix_earnings_customer", "tenant_id", "customer_id", "occurred_at", "id"),
    Index("ix_earnings_order", "tenant_id", "order_id", postgresql_where=text("order_id IS NOT NULL")),
)

earning_awards = tenant_table(
    "earning_awards",
    Column("earning_id", Uuid, nullable=False),
    # None: the programme's own formula.
    Column("rule_id", Uuid),
    Column("revision", Integer, nullable=False),
    Column("points", BigInteger, nullable=False),
    CheckConstraint("points > 0", name="points"),
    reference("earning_id", "earnings"),
    reference("rule_id", "earning_rules"),
    Index("ix_earning_awards_earning", "tenant_id", "earning_id"),
    info={APPEND_ONLY: True},
)
"""What each rule gave at each occasion: caps of a customer are counted by it."""

earning_days = tenant_table(
    "earning_days",
    Column("day", Date, nullable=False),
    key=("day",),
)
"""Days whose birthdays have been seen to."""
