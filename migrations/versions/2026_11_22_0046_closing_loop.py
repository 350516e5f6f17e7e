"""Tellings, ratings after a case, and corrective actions.

Revision ID: 0046
Revises: 0045
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import open_to_system, protect, refuse_merged

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _settings()
    _tellings()
    _ratings()
    _actions()


def _default(name: str, kind: type[sa.types.TypeEngine], value: str) -> sa.Column:
    return sa.Column(name, kind(), server_default=sa.text(value), nullable=False)


def _counted() -> tuple[sa.Column, ...]:
    return (
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )


def _key() -> tuple[sa.Column, ...]:
    return (sa.Column("tenant_id", sa.Uuid(), nullable=False), sa.Column("id", sa.Uuid(), nullable=False))


def _instant(name: str, *, nullable: bool = True) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _refers(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", column],
        [f"{target}.tenant_id", f"{target}.id"],
        name=op.f(f"fk_{table}_tenant_id_{column}"),
    )


def _settings() -> None:
    op.create_table(
        "closing_settings",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        _default("tell_decision", sa.Boolean, "true"),
        _default("tell_result", sa.Boolean, "true"),
        _default("ask_rating", sa.Boolean, "true"),
        _default("ask_after_hours", sa.Integer, "24"),
        _default("answer_days", sa.Integer, "7"),
        sa.Column("tell_by", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{email}'"), nullable=False),
        sa.Column("rating_page", sa.Text(), nullable=True),
        _default("low_csat", sa.SmallInteger, "2"),
        _default("low_ces", sa.SmallInteger, "3"),
        *_counted(),
        sa.CheckConstraint("ask_after_hours BETWEEN 0 AND 720", name=op.f("ck_closing_settings_ask_after_hours")),
        sa.CheckConstraint("answer_days BETWEEN 1 AND 90", name=op.f("ck_closing_settings_answer_days")),
        sa.CheckConstraint(
            "tell_by <@ ARRAY['email', 'sms'] AND cardinality(tell_by) BETWEEN 1 AND 2 "
            "AND tell_by[1] IS DISTINCT FROM tell_by[2]",
            name=op.f("ck_closing_settings_tell_by"),
        ),
        sa.CheckConstraint(
            "low_csat BETWEEN 0 AND 4 AND low_ces BETWEEN 0 AND 6", name=op.f("ck_closing_settings_low")
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_closing_settings_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_closing_settings")),
    )
    protect("closing_settings")
    # Shops from before this release told their customers by themselves: they switch it on when they want it.
    op.execute("INSERT INTO closing_settings (tenant_id, tell_decision) SELECT tenant_id, false FROM tenants")


def _tellings() -> None:
    table = "complaint_tellings"
    op.create_table(
        table,
        *_key(),
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        _instant("told_at"),
        sa.Column("told_by", sa.Uuid(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        *_counted(),
        sa.CheckConstraint("what IN ('decision', 'result')", name=op.f("ck_complaint_tellings_what")),
        sa.CheckConstraint(
            "state IN ('to_tell', 'queued', 'told', 'superseded')", name=op.f("ck_complaint_tellings_state")
        ),
        sa.CheckConstraint("channel IN ('shop', 'email', 'sms')", name=op.f("ck_complaint_tellings_channel")),
        sa.CheckConstraint(
            "reason IN ('asked', 'no_address', 'no_channel', 'not_allowed', 'too_long', 'not_delivered')",
            name=op.f("ck_complaint_tellings_reason"),
        ),
        sa.CheckConstraint("(state = 'told') = (told_at IS NOT NULL)", name=op.f("ck_complaint_tellings_told")),
        sa.CheckConstraint("state <> 'queued' OR message_id IS NOT NULL", name=op.f("ck_complaint_tellings_queued")),
        _refers(table, "complaint_id", "complaints"),
        _refers(table, "told_by", "staff"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_complaint_tellings")),
        sa.UniqueConstraint(
            "tenant_id",
            "complaint_id",
            "what",
            "cycle",
            name=op.f("uq_complaint_tellings_tenant_id_complaint_id_what_cycle"),
        ),
    )
    op.create_index("ix_complaint_tellings_message", table, ["tenant_id", "message_id"], unique=False)
    op.create_index("ix_complaint_tellings_state", table, ["tenant_id", "state", "id"], unique=False)
    protect(table)


def _ratings() -> None:
    table = "complaint_ratings"
    op.create_table(
        table,
        *_key(),
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        _instant("ask_at", nullable=False),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("token_hash", sa.LargeBinary(), nullable=True),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        _instant("asked_at"),
        _instant("expires_at"),
        _instant("answered_at"),
        sa.Column("answered_by", sa.Uuid(), nullable=True),
        sa.Column("csat", sa.SmallInteger(), nullable=True),
        sa.Column("ces", sa.SmallInteger(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("low", sa.Boolean(), nullable=True),
        sa.Column("suggestion", sa.Text(), nullable=True),
        *_counted(),
        sa.CheckConstraint(
            "state IN ('planned', 'asked', 'answered', 'expired', 'dropped')", name=op.f("ck_complaint_ratings_state")
        ),
        sa.CheckConstraint("channel IN ('shop', 'email', 'sms')", name=op.f("ck_complaint_ratings_channel")),
        sa.CheckConstraint(
            "reason IN ('asked', 'no_address', 'no_channel', 'not_allowed', 'too_long', 'no_page', 'not_delivered')",
            name=op.f("ck_complaint_ratings_reason"),
        ),
        sa.CheckConstraint("csat BETWEEN 1 AND 5 AND ces BETWEEN 1 AND 7", name=op.f("ck_complaint_ratings_scores")),
        sa.CheckConstraint("suggestion IN ('follow_up', 'reopen')", name=op.f("ck_complaint_ratings_suggestion")),
        sa.CheckConstraint(
            "(state = 'answered') = (answered_at IS NOT NULL) AND (state = 'answered') = (csat IS NOT NULL) "
            "AND (state = 'answered') = (low IS NOT NULL)",
            name=op.f("ck_complaint_ratings_answered"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('asked', 'expired') OR (asked_at IS NOT NULL AND expires_at IS NOT NULL)",
            name=op.f("ck_complaint_ratings_asked"),
        ),
        _refers(table, "complaint_id", "complaints"),
        _refers(table, "customer_id", "customers"),
        _refers(table, "staff_id", "staff"),
        _refers(table, "answered_by", "staff"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_complaint_ratings")),
        sa.UniqueConstraint("tenant_id", "complaint_id", name=op.f("uq_complaint_ratings_tenant_id_complaint_id")),
    )
    for name, columns in (
        ("ask", ["tenant_id", "state", "ask_at"]),
        ("expiry", ["tenant_id", "state", "expires_at"]),
        ("customer", ["tenant_id", "customer_id", "answered_at", "id"]),
        ("staff", ["tenant_id", "staff_id", "answered_at"]),
        ("message", ["tenant_id", "message_id"]),
    ):
        op.create_index(f"ix_complaint_ratings_{name}", table, columns, unique=False)
    protect(table)
    refuse_merged(table)
    # Who answers by a link has no key: the tenant is found by the rating.
    open_to_system(table, "SELECT")


def _actions() -> None:
    table = "corrective_actions"
    op.create_table(
        table,
        *_key(),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        _instant("done_at"),
        sa.Column("done_by", sa.Uuid(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        _instant("verified_at"),
        sa.Column("verified_by", sa.Uuid(), nullable=True),
        sa.Column("verification", sa.Text(), nullable=True),
        _instant("cancelled_at"),
        sa.Column("reason", sa.Text(), nullable=True),
        _instant("overdue_told_at"),
        *_counted(),
        sa.CheckConstraint(
            "state IN ('open', 'in_progress', 'done', 'verified', 'cancelled')",
            name=op.f("ck_corrective_actions_state"),
        ),
        sa.CheckConstraint(
            "(state = 'done' OR state = 'verified') = (done_at IS NOT NULL)", name=op.f("ck_corrective_actions_done")
        ),
        sa.CheckConstraint(
            "(state = 'verified') = (verified_at IS NOT NULL)", name=op.f("ck_corrective_actions_verified")
        ),
        sa.CheckConstraint(
            "(verified_at IS NULL) = (verified_by IS NULL)", name=op.f("ck_corrective_actions_verifier")
        ),
        sa.CheckConstraint(
            "verified_by <> owner_id AND verified_by <> done_by", name=op.f("ck_corrective_actions_four_eyes")
        ),
        sa.CheckConstraint(
            "(state = 'cancelled') = (cancelled_at IS NOT NULL)", name=op.f("ck_corrective_actions_cancelled")
        ),
        _refers(table, "owner_id", "staff"),
        _refers(table, "done_by", "staff"),
        _refers(table, "verified_by", "staff"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_corrective_actions")),
    )
    op.create_index("ix_corrective_actions_cause", table, ["tenant_id", "cause", "id"], unique=False)
    op.create_index("ix_corrective_actions_owner", table, ["tenant_id", "owner_id", "id"], unique=False)
    op.create_index("ix_corrective_actions_due", table, ["tenant_id", "state", "due_on"], unique=False)
    protect(table)

    table = "corrective_action_complaints"
    op.create_table(
        table,
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("action_id", sa.Uuid(), nullable=False),
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        _refers(table, "action_id", "corrective_actions"),
        _refers(table, "complaint_id", "complaints"),
        sa.PrimaryKeyConstraint("tenant_id", "action_id", "complaint_id", name=op.f(f"pk_{table}")),
    )
    op.create_index("ix_corrective_action_complaints_complaint", table, ["tenant_id", "complaint_id"], unique=False)
    protect(table)


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
