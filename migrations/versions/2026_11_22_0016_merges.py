"""Merges that can be undone.

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import protect, refuse_merged

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

OWNED = (
    ("contact_points", "customer_id"),
    ("customer_addresses", "customer_id"),
    ("customer_identities", "customer_id"),
    ("customer_tags", "customer_id"),
    ("orders", "customer_id"),
    ("identifications", "customer_id"),
    ("interactions", "customer_id"),
    ("complaints", "customer_id"),
    ("loyalty_accruals", "customer_id"),
    ("household_members", "customer_id"),
    ("household_members", "guardian_id"),
    ("company_contacts", "customer_id"),
    ("company_contacts", "company_id"),
)
"""What changes hands, of the tables there are so far; later ones call ``refuse_merged`` in their own migration."""


def upgrade() -> None:
    """Apply."""
    _aliases()
    _journal()
    _late_writers()
    _points()


def _aliases() -> None:
    op.add_column("customers", sa.Column("merged_into_id", sa.Uuid(), nullable=True))
    op.execute(
        "ALTER TABLE customers ADD CONSTRAINT ck_customers_merged_is_hidden "
        "CHECK (merged_into_id IS NULL OR deleted_at IS NOT NULL) NOT VALID"
    )
    op.execute(
        "ALTER TABLE customers ADD CONSTRAINT fk_customers_tenant_id_merged_into_id "
        "FOREIGN KEY (tenant_id, merged_into_id) REFERENCES customers (tenant_id, id) NOT VALID"
    )


def _journal() -> None:
    op.create_table(
        "merges",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("winner_id", sa.Uuid(), nullable=False),
        sa.Column("loser_ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'merged'"), nullable=False),
        sa.Column("merged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("notes", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("report", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(state = 'undone') = (undone_at IS NOT NULL)", name=op.f("ck_merges_undone")),
        sa.CheckConstraint("state IN ('merged', 'undone')", name=op.f("ck_merges_state")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "winner_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_merges_tenant_id_winner_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_merges")),
    )
    op.create_index("ix_merges_winner", "merges", ["tenant_id", "winner_id", "merged_at", "id"], unique=False)
    protect("merges")

    op.create_table(
        "merge_sides",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("merge_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("before", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("changes", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint("role IN ('winner', 'loser')", name=op.f("ck_merge_sides_role")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_merge_sides_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "merge_id"],
            ["merges.tenant_id", "merges.id"],
            name=op.f("fk_merge_sides_tenant_id_merge_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "merge_id", "customer_id", name=op.f("pk_merge_sides")),
    )
    op.create_index("ix_merge_sides_customer", "merge_sides", ["tenant_id", "customer_id", "merge_id"], unique=False)
    protect("merge_sides")

    op.create_table(
        "merge_rows",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("merge_id", sa.Uuid(), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("row_key", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("from_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "merge_id"], ["merges.tenant_id", "merges.id"], name=op.f("fk_merge_rows_tenant_id_merge_id")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "merge_id", "table_name", "row_key", name=op.f("pk_merge_rows")),
    )
    protect("merge_rows")


def _late_writers() -> None:
    # OFFSET 0 keeps the check a look into the small index of merged customers for each row, whatever the planner
    # expects of a table that it has no statistics of.
    op.execute("""
        CREATE FUNCTION crm_refuse_merged() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
          gone uuid;
        BEGIN
          IF TG_ARGV[0] = 'customer_id' THEN
            SELECT f.customer_id INTO gone FROM fresh f
            WHERE EXISTS (
              SELECT FROM customers c
              WHERE c.tenant_id = f.tenant_id AND c.id = f.customer_id AND c.merged_into_id IS NOT NULL OFFSET 0
            ) LIMIT 1;
          ELSE
            EXECUTE format(
              'SELECT f.%1$I FROM fresh f WHERE EXISTS (SELECT FROM customers c'
              ' WHERE c.tenant_id = f.tenant_id AND c.id = f.%1$I AND c.merged_into_id IS NOT NULL OFFSET 0) LIMIT 1',
              TG_ARGV[0]
            ) INTO gone;
          END IF;
          IF gone IS NOT NULL THEN
            RAISE EXCEPTION 'customer % was merged into another while this was written', gone
              USING ERRCODE = 'serialization_failure', TABLE = TG_TABLE_NAME, HINT = 'Run the transaction again.';
          END IF;
          RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE FUNCTION crm_refuse_merged_row() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
          given uuid := to_jsonb(NEW) ->> TG_ARGV[0];
        BEGIN
          IF EXISTS (
            SELECT FROM customers c
            WHERE c.tenant_id = NEW.tenant_id AND c.id = given AND c.merged_into_id IS NOT NULL
          ) THEN
            RAISE EXCEPTION 'customer % was merged into another while this was written', given
              USING ERRCODE = 'serialization_failure', TABLE = TG_TABLE_NAME, HINT = 'Run the transaction again.';
          END IF;
          RETURN NULL;
        END $$
    """)
    for table, column in OWNED:
        refuse_merged(table, column)
    # Whatever is booked on a wallet changes its row: nothing is booked for somebody who is no more.
    refuse_merged("loyalty_wallets", any_update=True)


def _points() -> None:
    widened = {
        "loyalty_transactions": (
            "ck_loyalty_transactions_type",
            "type IN ('restore', 'earn', 'release', 'redeem', 'reverse', 'adjust', 'expire', 'merge', 'unmerge')",
        ),
        "loyalty_entries": (
            "ck_loyalty_entries_account",
            (
                "account IN ('available', 'pending', 'held', 'debt', 'issued', 'redeemed', 'expired', 'cancelled', "
                "'adjusted', 'merged')"
            ),
        ),
    }
    for table, (name, check) in widened.items():
        op.execute(f"-- squawk-ignore ban-drop-constraint\nALTER TABLE {table} DROP CONSTRAINT {name}")
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({check}) NOT VALID")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
