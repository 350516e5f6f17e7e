"""Referral programmes, the customers' codes, and each referral with all that happened to it."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import APPEND_ONLY, INSTANT, created_at, reference, resource_table, tenant_table, unique

_NOTHING = text("'[]'::jsonb")

referral_programmes = resource_table(
    "referral_programmes",
    Column("name", Text, nullable=False),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("starts_at", INSTANT),
    Column("ends_at", INSTANT),
    Column("minimum_amount", BigInteger),
    Column("minimum_currency", Text),
    Column("qualifying_order", Text, nullable=False),
    Column("window_days", SmallInteger, nullable=False),
    Column("window_from", Text, nullable=False),
    Column("claim_days", SmallInteger),
    # Points or a voucher's campaign, as `models.ReferralReward`.
    Column("referrer_reward", JSONB(none_as_null=True)),
    Column("friend_reward", JSONB(none_as_null=True)),
    Column("link_template", Text),
    # Check → what is done about what it finds.
    Column("checks", JSONB, nullable=False),
    Column("velocity_limit", Integer, nullable=False),
    Column("velocity_hours", Integer, nullable=False),
    Column("cap_count", Integer),
    Column("cap_period", Text, nullable=False),
    CheckConstraint("(minimum_amount IS NULL) = (minimum_currency IS NULL)", name="minimum"),
    CheckConstraint("minimum_amount >= 0", name="minimum_amount"),
    CheckConstraint("qualifying_order IN ('first', 'any')", name="qualifying_order"),
    CheckConstraint("window_from IN ('paid', 'completed')", name="window_from"),
    CheckConstraint("window_days BETWEEN 0 AND 3650", name="window_days"),
    CheckConstraint("claim_days BETWEEN 1 AND 3650", name="claim_days"),
    CheckConstraint("starts_at < ends_at", name="times"),
    CheckConstraint("velocity_limit > 0 AND velocity_hours > 0", name="velocity"),
    CheckConstraint("cap_count > 0", name="cap_count"),
    CheckConstraint("cap_period IN ('day', 'week', 'month', 'year', 'life')", name="cap_period"),
    unique("name", name="uq_referral_programmes_name"),
)

referral_codes = tenant_table(
    "referral_codes",
    Column("programme_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("code", Text, nullable=False),
    created_at(),
    # Upper case alone, so that equal codes are equal texts.
    CheckConstraint("code ~ '^[A-Z0-9-]{4,32}$'", name="code"),
    reference("programme_id", "referral_programmes"),
    reference("customer_id", "customers"),
    Index("uq_referral_codes_code", "tenant_id", "code", unique=True),
    Index("uq_referral_codes_customer", "tenant_id", "customer_id", "programme_id", unique=True),
    Index("ix_referral_codes_programme", "tenant_id", "programme_id", "id"),
)
"""One per customer and programme. It is also what decisions about one referrer wait for, so that caps are exact."""

referrals = resource_table(
    "referrals",
    Column("programme_id", Uuid, nullable=False),
    Column("referrer_id", Uuid, nullable=False),
    Column("friend_id", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_changed_at", INSTANT, nullable=False),
    Column("signed_up_at", INSTANT, nullable=False),
    # What was promised then, as `models.ReferralTerms`.
    Column("terms", JSONB, nullable=False),
    Column("findings", JSONB, nullable=False, server_default=_NOTHING),
    Column("waived", JSONB, nullable=False, server_default=_NOTHING),
    # No foreign key: an order may be undone with its import, what came of it stays.
    Column("order_id", Uuid),
    Column("qualified_at", INSTANT),
    Column("due_at", INSTANT),
    Column("flagged_at", INSTANT),
    Column("approved_at", INSTANT),
    Column("rewarded_at", INSTANT),
    Column("voided_at", INSTANT),
    Column("void_reason", Text),
    Column("attempt", SmallInteger, nullable=False, server_default=text("0")),
    Column("referrer_booked", JSONB(none_as_null=True)),
    Column("friend_booked", JSONB(none_as_null=True)),
    Column("clawed_back_at", INSTANT),
    # Why the last booking failed, as `models.ReferralFailure`.
    Column("failure", JSONB(none_as_null=True)),
    CheckConstraint(
        "state IN ('signed_up', 'qualified', 'pending', 'flagged', 'approved', 'rewarded', 'voided')", name="state"
    ),
    # The guards of rules.py once more, where no mistake of ours can pass.
    CheckConstraint("(state = 'voided') = (void_reason IS NOT NULL)", name="voided_reason"),
    CheckConstraint("state <> 'rewarded' OR (order_id IS NOT NULL AND rewarded_at IS NOT NULL)", name="rewarded"),
    CheckConstraint("state <> 'pending' OR due_at IS NOT NULL", name="pending_ends"),
    reference("programme_id", "referral_programmes"),
    reference("referrer_id", "customers"),
    reference("friend_id", "customers"),
    # A person comes once.
    Index("uq_referrals_friend", "tenant_id", "friend_id", "programme_id", unique=True),
    Index("ix_referrals_referrer", "tenant_id", "referrer_id", "signed_up_at", "id"),
    Index("ix_referrals_programme", "tenant_id", "programme_id", "signed_up_at"),
    Index("ix_referrals_state", "tenant_id", "state", "id"),
    Index("ix_referrals_order", "tenant_id", "order_id", postgresql_where=text("order_id IS NOT NULL")),
    Index("ix_referrals_due", "tenant_id", "due_at", postgresql_where=text("due_at IS NOT NULL")),
)

referral_events = tenant_table(
    "referral_events",
    Column("referral_id", Uuid, nullable=False),
    # Equal to the referral's version after the event: two rivals cannot both write the same number.
    Column("number", Integer, nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Uuid, nullable=False),
    Column("action", Text, nullable=False),
    Column("from_state", Text),
    Column("to_state", Text, nullable=False),
    Column("note", Text),
    Column("data", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    reference("referral_id", "referrals"),
    unique("referral_id", "number"),
    info={APPEND_ONLY: True},
)
"""What happened: replaying a referral's events gives its row."""

referral_signals = tenant_table(
    "referral_signals",
    Column("customer_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    # SHA-256 over tenant, kind and value: it can be compared, and never shown.
    Column("digest", LargeBinary, nullable=False),
    created_at(),
    CheckConstraint("kind IN ('device', 'payment_account')", name="kind"),
    reference("customer_id", "customers"),
    key=("customer_id", "kind", "digest"),
)
"""Devices and payment accounts that the shop told of."""
