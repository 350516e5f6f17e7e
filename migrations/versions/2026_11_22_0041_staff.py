"""Staff, teams, stores, skills, shifts, ownership.

Revision ID: 0041
Revises: 0040
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import open_to_erasure, protect

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

UUID_7 = (
    "encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING "
    "substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6"
    "), 52, 1), 53, 1), 'hex')::uuid"
)
"""A UUIDv7 (RFC 9562): milliseconds, version and variant around random bits."""


def upgrade() -> None:
    """Apply."""
    _staff()
    _people()
    _assigning()
    _rebalancing()
    _history()
    _neglect()


def _staff() -> None:
    for column in (
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("customer_capacity", sa.Integer(), nullable=True),
        sa.Column("case_capacity", sa.Integer(), nullable=True),
        sa.Column("weight", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("availability", sa.Text(), server_default=sa.text("'online'"), nullable=False),
        sa.Column("told_online", sa.Boolean(), server_default=sa.text("true"), nullable=False),
    ):
        op.add_column("staff", column)
    for name, condition in (
        ("capacities", "customer_capacity >= 0 AND case_capacity >= 0"),
        ("weight", "weight BETWEEN 1 AND 100"),
        ("availability", "availability IN ('online', 'offline', 'by_shift')"),
    ):
        # Validated by 0041a.
        op.execute(f"ALTER TABLE staff ADD CONSTRAINT ck_staff_{name} CHECK ({condition}) NOT VALID")


def _people() -> None:
    op.create_table(
        "teams",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=True),
        sa.Column("store_id", sa.Uuid(), nullable=True),
        sa.Column("archived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "lead_id"], ["staff.tenant_id", "staff.id"], name=op.f("fk_teams_tenant_id_lead_id")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "store_id"], ["stores.tenant_id", "stores.id"], name=op.f("fk_teams_tenant_id_store_id")
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_teams_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_teams")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_teams_tenant_id_name")),
    )
    protect("teams")

    op.create_table(
        "team_members",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "staff_id"], ["staff.tenant_id", "staff.id"], name=op.f("fk_team_members_tenant_id_staff_id")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "team_id"], ["teams.tenant_id", "teams.id"], name=op.f("fk_team_members_tenant_id_team_id")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "team_id", "staff_id", name=op.f("pk_team_members")),
    )
    op.create_index("ix_team_members_staff", "team_members", ["tenant_id", "staff_id"], unique=False)
    protect("team_members")

    op.create_table(
        "skills",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("archived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_skills_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_skills")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_skills_tenant_id_name")),
    )
    protect("skills")

    op.create_table(
        "courses",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("pass_score", sa.Float(), nullable=False),
        sa.Column("skill_id", sa.Uuid(), nullable=True),
        sa.Column("skill_level", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("valid_days", sa.Integer(), nullable=True),
        sa.Column("archived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("pass_score BETWEEN 0 AND 100", name=op.f("ck_courses_pass_score")),
        sa.CheckConstraint("skill_level BETWEEN 1 AND 5", name=op.f("ck_courses_skill_level")),
        sa.CheckConstraint("valid_days > 0", name=op.f("ck_courses_valid_days")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "skill_id"], ["skills.tenant_id", "skills.id"], name=op.f("fk_courses_tenant_id_skill_id")
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_courses_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_courses")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_courses_tenant_id_name")),
    )
    protect("courses")

    op.create_table(
        "staff_skills",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("skill_id", sa.Uuid(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=True),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("source IN ('manual', 'training')", name=op.f("ck_staff_skills_source")),
        sa.CheckConstraint("level BETWEEN 1 AND 5", name=op.f("ck_staff_skills_level")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "course_id"],
            ["courses.tenant_id", "courses.id"],
            name=op.f("fk_staff_skills_tenant_id_course_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "skill_id"],
            ["skills.tenant_id", "skills.id"],
            name=op.f("fk_staff_skills_tenant_id_skill_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "staff_id"], ["staff.tenant_id", "staff.id"], name=op.f("fk_staff_skills_tenant_id_staff_id")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_staff_skills")),
        sa.UniqueConstraint(
            "tenant_id", "staff_id", "skill_id", name=op.f("uq_staff_skills_tenant_id_staff_id_skill_id")
        ),
    )
    op.create_index("ix_staff_skills_skill", "staff_skills", ["tenant_id", "skill_id", "staff_id"], unique=False)
    protect("staff_skills")

    op.create_table(
        "shifts",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('work', 'absence')", name=op.f("ck_shifts_kind")),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_shifts_order")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "staff_id"], ["staff.tenant_id", "staff.id"], name=op.f("fk_shifts_tenant_id_staff_id")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "store_id"], ["stores.tenant_id", "stores.id"], name=op.f("fk_shifts_tenant_id_store_id")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_shifts")),
    )
    op.create_index("ix_shifts_staff", "shifts", ["tenant_id", "staff_id", "ends_at"], unique=False)
    op.create_index("ix_shifts_start", "shifts", ["tenant_id", "starts_at", "id"], unique=False)
    protect("shifts")

    op.create_table(
        "course_completions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("score BETWEEN 0 AND 100", name=op.f("ck_course_completions_score")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "course_id"],
            ["courses.tenant_id", "courses.id"],
            name=op.f("fk_course_completions_tenant_id_course_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "staff_id"],
            ["staff.tenant_id", "staff.id"],
            name=op.f("fk_course_completions_tenant_id_staff_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_course_completions")),
        info={"append_only": True},
    )
    op.create_index(
        "ix_course_completions_course",
        "course_completions",
        ["tenant_id", "course_id", "completed_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_course_completions_staff",
        "course_completions",
        ["tenant_id", "staff_id", "completed_at", "id"],
        unique=False,
    )
    protect("course_completions", writes="append")


def _assigning() -> None:
    op.create_table(
        "assignment_rules",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "conditions", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("team_id", sa.Uuid(), nullable=True),
        sa.Column("same_store", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("required_skill_ids", postgresql.ARRAY(sa.Uuid()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("sticky", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("online_only", sa.Boolean(), nullable=False),
        sa.Column(
            "turn", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "strategy IN ('round_robin', 'least_load', 'weighted')", name=op.f("ck_assignment_rules_strategy")
        ),
        sa.CheckConstraint("target IN ('customers', 'cases')", name=op.f("ck_assignment_rules_target")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "team_id"],
            ["teams.tenant_id", "teams.id"],
            name=op.f("fk_assignment_rules_tenant_id_team_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_assignment_rules_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_assignment_rules")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_assignment_rules_tenant_id_name")),
    )
    op.create_index(
        "ix_assignment_rules_position", "assignment_rules", ["tenant_id", "target", "position", "id"], unique=False
    )
    protect("assignment_rules")

    op.create_table(
        "owner_queue",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("rule_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "reason IN ('nobody_online', 'no_skill', 'no_capacity', 'nobody_there')", name=op.f("ck_owner_queue_reason")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_owner_queue_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "rule_id"],
            ["assignment_rules.tenant_id", "assignment_rules.id"],
            name=op.f("fk_owner_queue_tenant_id_rule_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_owner_queue")),
        sa.UniqueConstraint("tenant_id", "customer_id", name=op.f("uq_owner_queue_tenant_id_customer_id")),
    )
    op.create_index("ix_owner_queue_since", "owner_queue", ["tenant_id", "since", "id"], unique=False)
    protect("owner_queue")


def _rebalancing() -> None:
    op.create_table(
        "rebalancings",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("gini_before", sa.Float(), nullable=False),
        sa.Column("gini_after", sa.Float(), nullable=False),
        sa.Column("planned", sa.Integer(), nullable=False),
        sa.Column("unplaced", sa.Integer(), nullable=False),
        sa.Column("kept", sa.Integer(), nullable=False),
        sa.Column("moved", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("skipped", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("returned", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("stayed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("decision_note", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("cause IN ('asked', 'left')", name=op.f("ck_rebalancings_cause")),
        sa.CheckConstraint(
            "state IN ('proposed', 'approved', 'rejected', 'applied', 'undone')", name=op.f("ck_rebalancings_state")
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_rebalancings_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_rebalancings")),
    )
    protect("rebalancings")

    op.create_table(
        "rebalancing_moves",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("rebalancing_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("from_staff_id", sa.Uuid(), nullable=False),
        sa.Column("to_staff_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'planned'"), nullable=False),
        sa.CheckConstraint(
            "state IN ('planned', 'applied', 'skipped', 'returned', 'stayed')", name=op.f("ck_rebalancing_moves_state")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_rebalancing_moves_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "from_staff_id"],
            ["staff.tenant_id", "staff.id"],
            name=op.f("fk_rebalancing_moves_tenant_id_from_staff_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "rebalancing_id"],
            ["rebalancings.tenant_id", "rebalancings.id"],
            name=op.f("fk_rebalancing_moves_tenant_id_rebalancing_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "to_staff_id"],
            ["staff.tenant_id", "staff.id"],
            name=op.f("fk_rebalancing_moves_tenant_id_to_staff_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_rebalancing_moves")),
        sa.UniqueConstraint(
            "tenant_id",
            "rebalancing_id",
            "customer_id",
            name=op.f("uq_rebalancing_moves_tenant_id_rebalancing_id_customer_id"),
        ),
    )
    op.create_index("ix_rebalancing_moves_customer", "rebalancing_moves", ["tenant_id", "customer_id"], unique=False)
    protect("rebalancing_moves")


def _history() -> None:
    """Write the history of owners whoever changes them: a service, an import, a merge."""
    op.create_table(
        "customer_ownerships",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("previous_owner_id", sa.Uuid(), nullable=True),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("by_id", sa.Uuid(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "cause IN ('opening', 'edited', 'handover', 'rule', 'rebalancing', 'rebalancing_undone')",
            name=op.f("ck_customer_ownerships_cause"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_customer_ownerships")),
        info={"append_only": True},
    )
    op.create_index(
        "ix_customer_ownerships_customer",
        "customer_ownerships",
        ["tenant_id", "customer_id", sa.literal_column("at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index(
        "ix_customer_ownerships_owner", "customer_ownerships", ["tenant_id", "owner_id", "at"], unique=False
    )
    op.create_index(
        "ix_customer_ownerships_previous", "customer_ownerships", ["tenant_id", "previous_owner_id", "at"], unique=False
    )
    protect("customer_ownerships", writes="append")
    open_to_erasure("customer_ownerships", "note")
    op.execute(
        f"""
        CREATE FUNCTION crm_log_owner() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
          -- What a handover says of itself (customers/repository/owners.py); other writers say nothing.
          told jsonb := nullif(current_setting('app.ownership', true), '')::jsonb;
        BEGIN
          INSERT INTO customer_ownerships
            (tenant_id, id, customer_id, previous_owner_id, owner_id, cause, by_id, note, at)
          VALUES (NEW.tenant_id, {UUID_7}, NEW.id, CASE TG_OP WHEN 'UPDATE' THEN OLD.owner_id END, NEW.owner_id,
            coalesce(told ->> 'cause', 'edited'), (told ->> 'by_id')::uuid, told ->> 'note',
            coalesce((told ->> 'at')::timestamptz, now()));
          RETURN NULL;
        END $$;
        """  # noqa: S608 - constants of this module
    )
    # By row, because only so a condition costs next to nothing where the owner stays: nearly always.
    op.execute(
        "CREATE TRIGGER log_owner_insert AFTER INSERT ON customers FOR EACH ROW "
        "WHEN (NEW.owner_id IS NOT NULL) EXECUTE FUNCTION crm_log_owner()"
    )
    op.execute(
        "CREATE TRIGGER log_owner_update AFTER UPDATE OF owner_id ON customers FOR EACH ROW "
        "WHEN (OLD.owner_id IS DISTINCT FROM NEW.owner_id) EXECUTE FUNCTION crm_log_owner()"
    )
    op.execute(
        f"INSERT INTO customer_ownerships (tenant_id, id, customer_id, owner_id, cause, at) "  # noqa: S608
        f"SELECT tenant_id, {UUID_7}, id, owner_id, 'opening', created_at FROM customers WHERE owner_id IS NOT NULL"
    )


def _neglect() -> None:
    op.create_table(
        "contact_standards",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("class_name", sa.Text(), nullable=False),
        sa.Column("every_days", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("every_days BETWEEN 1 AND 3650", name=op.f("ck_contact_standards_every_days")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_contact_standards_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_contact_standards")),
        sa.UniqueConstraint(
            "tenant_id", "dimension", "class_name", name=op.f("uq_contact_standards_tenant_id_dimension_class_name")
        ),
    )
    protect("contact_standards")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
