"""Tier schemes with their rules of all times, who stands where, how that came about, and tiers given by hand."""

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, SmallInteger, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import APPEND_ONLY, INSTANT, created_at, reference, resource_table, tenant_table, unique

ZERO = text("0")

tier_schemes = resource_table(
    "tier_schemes",
    Column("programme_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    # As in the newest version.
    Column("rules", JSONB, nullable=False),
    reference("programme_id", "loyalty_programmes"),
    unique("programme_id", name="uq_tier_schemes_programme"),
)

tier_scheme_versions = tenant_table(
    "tier_scheme_versions",
    Column("scheme_id", Uuid, nullable=False),
    Column("number", Integer, nullable=False),
    # Null: from the beginning of all history; what came before is not asked for any more.
    Column("since", INSTANT),
    Column("rules", JSONB, nullable=False),
    Column("time_zone", Text, nullable=False),
    created_at(),
    reference("scheme_id", "tier_schemes"),
    key=("scheme_id", "number"),
    info={APPEND_ONLY: True},
)
"""The rules of all times: a replay needs those that held then."""

customer_tiers = tenant_table(
    "customer_tiers",
    Column("scheme_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    # 0 and null: no tier.
    Column("level", SmallInteger, nullable=False, server_default=ZERO),
    Column("code", Text),
    Column("since", INSTANT),
    Column("until", INSTANT),
    Column("grace_until", INSTANT),
    Column("override_id", Uuid),
    # Whether the scheme is that of the default programme: the one that rules and `Customer.tier` mean.
    Column("main", Boolean, nullable=False, server_default=text("true")),
    # When time alone may change any of this.
    Column("next_at", INSTANT),
    # The fall that was told of ahead of time: each is told once.
    Column("warned_of", INSTANT),
    Column("looked_at", INSTANT),
    CheckConstraint("(level = 0) = (code IS NULL)", name="level"),
    reference("scheme_id", "tier_schemes"),
    reference("customer_id", "customers"),
    Index("ix_customer_tiers_customer", "tenant_id", "customer_id"),
    Index("ix_customer_tiers_level", "tenant_id", "scheme_id", "level", "customer_id"),
    Index("ix_customer_tiers_next", "tenant_id", "next_at", postgresql_where=text("next_at IS NOT NULL")),
    key=("scheme_id", "customer_id"),
)
"""What `crm_api.tiers.walking.stand` says of everybody, kept so that it can be searched and changes can be told."""

tier_log = tenant_table(
    "tier_log",
    Column("scheme_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("from_level", SmallInteger, nullable=False),
    Column("from_code", Text),
    Column("to_level", SmallInteger, nullable=False),
    Column("to_code", Text),
    Column("cause", Text, nullable=False),
    Column("at", INSTANT, nullable=False),
    CheckConstraint("cause IN ('activity', 'time', 'rules', 'override', 'merge', 'replay')", name="cause"),
    reference("scheme_id", "tier_schemes"),
    reference("customer_id", "customers"),
    Index("ix_tier_log_customer", "tenant_id", "customer_id", "id"),
    Index("ix_tier_log_scheme", "tenant_id", "scheme_id", "at"),
    info={APPEND_ONLY: True},
)
"""What was told: each entry is one change, written in the transaction that made it."""

tier_overrides = resource_table(
    "tier_overrides",
    Column("scheme_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("tier_code", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("starts_at", INSTANT, nullable=False),
    Column("ends_at", INSTANT, nullable=False),
    Column("reason", Text),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Uuid, nullable=False),
    CheckConstraint("mode IN ('at_least', 'exactly')", name="mode"),
    CheckConstraint("starts_at <= ends_at", name="ends_later"),
    reference("scheme_id", "tier_schemes"),
    reference("customer_id", "customers"),
    Index("ix_tier_overrides_customer", "tenant_id", "customer_id", "id"),
)

tier_replays = resource_table(
    "tier_replays",
    Column("scheme_id", Uuid, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    # Why: the scheme was made, its rules were changed, or somebody asked.
    Column("cause", Text, nullable=False),
    # The last customer looked at: a killed worker's successor goes on behind it.
    Column("cursor", Uuid),
    Column("total", Integer, nullable=False, server_default=ZERO),
    Column("processed", Integer, nullable=False, server_default=ZERO),
    Column("moved", Integer, nullable=False, server_default=ZERO),
    Column("error", Text),
    Column("started_at", INSTANT),
    Column("finished_at", INSTANT),
    CheckConstraint("state IN ('queued', 'running', 'completed', 'failed')", name="state"),
    CheckConstraint("cause IN ('rules', 'replay')", name="cause"),
    CheckConstraint("processed >= 0 AND moved BETWEEN 0 AND processed", name="counts"),
    reference("scheme_id", "tier_schemes"),
    Index("ix_tier_replays_scheme", "tenant_id", "scheme_id", "id"),
)
