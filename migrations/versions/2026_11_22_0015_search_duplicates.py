"""Wider search keys, and candidates for duplicates.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import grant, protect

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# ruff: noqa: RUF001 - the marks in search keys are chosen because nobody writes them

SEARCH = r"""
CREATE FUNCTION crm_search(
  tenant uuid, needle text, spaced text, wanted integer, after_fit integer, after_id uuid, backward boolean
) RETURNS TABLE (id uuid, fit integer)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100 COST 10000 AS $$
-- Customers whose search keys fit a needle, best fit first, then newest first: all, or `wanted` beyond a position.
-- How well a key fits is asked level by level, and no level is asked when those above filled the page.
DECLARE
  newest CONSTANT integer := 2000;
  short CONSTANT boolean := length(needle) <= 2;
  part CONSTANT text := regexp_replace(needle, '([\\%_])', '\\\1', 'g');
  spaced_part CONSTANT text := '%' || regexp_replace(spaced, '([\\%_])', '\\\1', 'g') || '%';
  exact CONSTANT text := '% ǀ' || part || 'ǁ%';
  prefix CONSTANT text := '% ǀ' || part || '%';
  word CONSTANT text := '% ǂ' || part || '%';
  tail CONSTANT text := '%' || part || 'ǁ%';
  inside CONSTANT text := CASE WHEN short THEN '% ǃ' || part || '%' ELSE '%' || part || '%' END;
  direction CONSTANT text := CASE WHEN backward THEN 'ASC' ELSE 'DESC' END;
  level integer;
  span text;
  fits text;
  found uuid[];
BEGIN
  IF needle = '' THEN
    RETURN;
  END IF;
  FOR level IN SELECT each FROM generate_series(1, 4) AS each ORDER BY CASE WHEN backward THEN each ELSE -each END LOOP
    CONTINUE WHEN after_fit IS NOT NULL AND CASE WHEN backward THEN level < after_fit ELSE level > after_fit END;
    fits := CASE level
      WHEN 4 THEN 'k.haystack LIKE $2'
      WHEN 3 THEN 'k.haystack LIKE $3 AND k.haystack NOT LIKE $2'
      WHEN 2 THEN CASE WHEN short THEN 'k.haystack LIKE $4' ELSE '(k.haystack LIKE $4 OR k.haystack LIKE $5)' END
        || ' AND k.haystack NOT LIKE $3'
      -- Keys of 0.1 know fragments only: names by their characters and pairs, and white space as it was written.
      ELSE CASE
        WHEN short THEN '(k.haystack LIKE $6 OR crm_grams(k.name) @> ARRAY[$8])'
        WHEN spaced <> needle THEN '(k.haystack LIKE $6 OR k.haystack LIKE $7)'
        ELSE 'k.haystack LIKE $6'
      END || ' AND k.haystack NOT LIKE $3 AND k.haystack NOT LIKE $4'
        || CASE WHEN short THEN '' ELSE ' AND k.haystack NOT LIKE $5' END
    END;
    span := 'k.tenant_id = $1' || CASE
      WHEN level IS DISTINCT FROM after_fit THEN ''
      WHEN backward THEN ' AND k.customer_id > $9'
      ELSE ' AND k.customer_id < $9'
    END;
    found := NULL;
    IF wanted IS NOT NULL THEN
      -- What many have is soon found among the newest, without looking for all.
      EXECUTE format(
        'SELECT array(SELECT k.customer_id FROM (SELECT k.* FROM customer_search_keys k WHERE %s '
        'ORDER BY k.customer_id %s LIMIT %s) k WHERE %s LIMIT $10)', span, direction, newest, fits
      ) INTO found USING tenant, exact, prefix, word, tail, inside, spaced_part, needle, after_id, wanted;
    END IF;
    IF found IS NULL OR cardinality(found) < wanted THEN
      -- OFFSET 0 keeps the planner from walking the primary key in the wanted order, row by row, to find a few.
      EXECUTE format(
        'SELECT array(SELECT m.customer_id FROM (SELECT k.customer_id FROM customer_search_keys k WHERE %s AND %s '
        'OFFSET 0) m ORDER BY m.customer_id %s LIMIT $10)', span, fits, direction
      ) INTO found USING tenant, exact, prefix, word, tail, inside, spaced_part, needle, after_id, wanted;
    END IF;
    RETURN QUERY SELECT each, level FROM unnest(found) AS each;
    wanted := wanted - cardinality(found);
    EXIT WHEN wanted <= 0;
  END LOOP;
END
$$
"""
"""How well a key fits: `crm_api.customers.search.Fit`; the marks ǀ ǁ ǂ ǃ are explained there."""

OWNERS = """
CREATE FUNCTION crm_contact_owners(tenant uuid, kinds text[], contact_values text[])
RETURNS TABLE (customer_id uuid, kind text, value text, verified boolean)
LANGUAGE plpgsql VOLATILE SET lock_timeout = '10s' AS $$
-- The living customers with these contact points, once nobody else can give one of them to a customer any more: until
-- the transaction ends the values are locked, in the order of their hashes. Volatile, so that the query after the locks
-- sees what was committed while they were waited for.
DECLARE
  hash bigint;
BEGIN
  -- A bulk write of the tenant holds this lock for itself, for a second or so: hence the longer wait.
  PERFORM pg_advisory_xact_lock_shared(hashtextextended('customers.bulk:' || tenant, 0));
  FOR hash IN
    SELECT DISTINCT hashtextextended('contact:' || tenant || ':' || g.kind || ':' || g.value, 0)
    FROM unnest(kinds, contact_values) AS g (kind, value) ORDER BY 1
  LOOP
    PERFORM pg_advisory_xact_lock(hash);
  END LOOP;
  RETURN QUERY
    SELECT p.customer_id, p.kind, p.value, p.verified_at IS NOT NULL
    FROM unnest(kinds, contact_values) AS g (kind, value)
    JOIN contact_points p ON p.tenant_id = tenant AND p.kind = g.kind AND p.value = g.value
    JOIN customers c ON c.tenant_id = tenant AND c.id = p.customer_id AND c.deleted_at IS NULL
    ORDER BY p.kind, p.value, p.customer_id LIMIT 20;
END
$$
"""


def upgrade() -> None:
    """Apply."""
    _search()
    op.execute(OWNERS)
    _duplicates()


def _search() -> None:
    op.add_column(
        "customer_search_keys",
        sa.Column("keys_version", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.execute(SEARCH)
    grant("customer_search_keys", "SELECT", "crm_system")  # whose keys are old


def _duplicates() -> None:
    op.create_table(
        "duplicate_runs",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("phase", sa.Text(), server_default=sa.text("'features'"), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("processed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("changed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("compared", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("found", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("skipped", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('full', 'incremental')", name=op.f("ck_duplicate_runs_kind")),
        sa.CheckConstraint("phase IN ('features', 'pairs', 'done')", name=op.f("ck_duplicate_runs_phase")),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'completed', 'failed')", name=op.f("ck_duplicate_runs_state")
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_duplicate_runs_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_duplicate_runs")),
    )
    protect("duplicate_runs")

    op.create_table(
        "duplicate_features",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("rules_version", sa.SmallInteger(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("features", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_duplicate_features_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "customer_id", name=op.f("pk_duplicate_features")),
    )
    protect("duplicate_features")

    op.create_table(
        "duplicate_keys",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "key", "customer_id", name=op.f("pk_duplicate_keys")),
    )
    op.create_index("ix_duplicate_keys_customer", "duplicate_keys", ["tenant_id", "customer_id"], unique=False)
    protect("duplicate_keys")

    op.create_table(
        "duplicate_candidates",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("first_id", sa.Uuid(), nullable=False),
        sa.Column("second_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column("score", sa.SmallInteger(), nullable=False),
        sa.Column("weight", sa.REAL(), nullable=False),
        sa.Column("reasons", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("merge_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('open', 'accepted', 'rejected')", name=op.f("ck_duplicate_candidates_state")),
        sa.CheckConstraint("first_id <= second_id", name=op.f("ck_duplicate_candidates_ordered")),
        sa.CheckConstraint("score BETWEEN 0 AND 100", name=op.f("ck_duplicate_candidates_score")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "first_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_duplicate_candidates_tenant_id_first_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "second_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_duplicate_candidates_tenant_id_second_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_duplicate_candidates")),
    )
    op.create_index(
        "ix_duplicate_candidates_queue", "duplicate_candidates", ["tenant_id", "state", "weight", "id"], unique=False
    )
    op.create_index("ix_duplicate_candidates_second", "duplicate_candidates", ["tenant_id", "second_id"], unique=False)
    op.create_index(
        "uq_duplicate_candidates_pair", "duplicate_candidates", ["tenant_id", "first_id", "second_id"], unique=True
    )
    protect("duplicate_candidates")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
