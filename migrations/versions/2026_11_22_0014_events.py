"""Behaviour events and devices.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import CURRENT_TENANT, protect

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

DEFAULT_RETENTION_DAYS = 400

# The application may not create or drop tables. It, or rather its worker, may call these three, which belong to the
# tables' owner, take nothing but a month, and can do nothing else.
FUNCTIONS = (
    # What is to be made: from last month to `ahead` months from now, and whatever waits in the default partition.
    """
CREATE FUNCTION crm_events_missing_months(ahead integer) RETURNS SETOF date
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  SELECT m.month FROM (
    SELECT generate_series(
      date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month',
      date_trunc('month', now() AT TIME ZONE 'UTC') + least(ahead, 12) * interval '1 month',
      interval '1 month')::date AS month
    UNION
    SELECT date_trunc('month', e.occurred_at AT TIME ZONE 'UTC')::date FROM public.events_default e
  ) AS m
  WHERE to_regclass('public.events_y' || to_char(m.month, 'YYYY"m"MM')) IS NULL
  ORDER BY m.month;
END
""",
    # A partition is attached, not created in place: that would lock the whole table against everybody. What waits in
    # the default partition moves with it. Nobody but the owner may reach a partition directly; should somebody grant
    # it one day, row-level security stands there as well.
    f"""
CREATE FUNCTION crm_events_make_partition(month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
  first timestamp := date_trunc('month', month);
  name text := 'events_y' || to_char(first, 'YYYY"m"MM');
  low timestamptz := first AT TIME ZONE 'UTC';
  high timestamptz := (first + interval '1 month') AT TIME ZONE 'UTC';
BEGIN
  IF month IS NULL OR abs(first::date - now()::date) > 12 * 366 THEN
    RAISE EXCEPTION 'no partition is made for %', month;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended('crm events partitions', 0));
  IF to_regclass('public.' || name) IS NOT NULL THEN
    RETURN false;
  END IF;
  EXECUTE format('CREATE TABLE public.%I (LIKE public.events INCLUDING ALL)', name);
  EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', name);
  EXECUTE format(
    'CREATE POLICY tenant ON public.%I USING (tenant_id = {CURRENT_TENANT.replace("'", "''")})', name);
  LOCK TABLE public.events_default IN ACCESS EXCLUSIVE MODE;
  EXECUTE format(
    'WITH moved AS (DELETE FROM public.events_default WHERE occurred_at >= $1 AND occurred_at < $2 RETURNING *)
     INSERT INTO public.%I SELECT * FROM moved', name) USING low, high;
  EXECUTE format(
    'ALTER TABLE public.events ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)', name, low, high);
  RETURN true;
END $$
""",  # noqa: S608 - a constant
    f"""
CREATE FUNCTION crm_events_drop_expired() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
  keep integer := (SELECT greatest({DEFAULT_RETENTION_DAYS}, max(retention_days)) FROM public.event_settings);
  part text;
  dropped integer := 0;
BEGIN
  FOR part IN
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'public.events'::regclass AND c.relname ~ '^events_y[0-9]{{4}}m[0-9]{{2}}$'
      AND to_date(substr(c.relname, 9), 'YYYY"m"MM') + interval '1 month'
          < now() AT TIME ZONE 'UTC' - (keep + 1) * interval '1 day'
    ORDER BY 1
  LOOP
    EXECUTE format('DROP TABLE public.%I', part);
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END $$
""",  # noqa: S608 - a constant
)
CALLED = ("crm_events_missing_months(integer)", "crm_events_make_partition(date)", "crm_events_drop_expired()")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "event_settings",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("retention_days", sa.Integer(), nullable=False),
        sa.CheckConstraint("retention_days BETWEEN 7 AND 3650", name=op.f("ck_event_settings_retention_days")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_event_settings_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_event_settings")),
    )
    protect("event_settings")

    op.create_table(
        "identifications",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'done'"), nullable=False),
        sa.Column("attributed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('running', 'done')", name=op.f("ck_identifications_state")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_identifications_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_identifications_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_identifications")),
        sa.UniqueConstraint("tenant_id", "device_id", "at", name="uq_identifications_device"),
    )
    op.create_index(
        "ix_identifications_customer",
        "identifications",
        ["tenant_id", "customer_id", "at"],
        unique=False,
        postgresql_where=sa.text("customer_id IS NOT NULL"),
    )
    protect("identifications")

    op.create_table(
        "events",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=True),
        sa.Column("customer_id", sa.Uuid(), nullable=True),
        sa.Column("stated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("dwell_ms", sa.Integer(), nullable=True),
        sa.Column(
            "properties",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.CheckConstraint("device_id IS NOT NULL OR customer_id IS NOT NULL", name=op.f("ck_events_somebody")),
        sa.PrimaryKeyConstraint("tenant_id", "id", "occurred_at", name=op.f("pk_events")),
        postgresql_partition_by="RANGE (occurred_at)",
    )
    op.create_index(
        "ix_events_customer",
        "events",
        ["tenant_id", "customer_id", "occurred_at", "id"],
        unique=False,
        postgresql_where=sa.text("customer_id IS NOT NULL"),
    )
    op.create_index(
        "ix_events_device",
        "events",
        ["tenant_id", "device_id", "occurred_at"],
        unique=False,
        postgresql_where=sa.text("device_id IS NOT NULL"),
    )
    op.create_index("ix_events_occurred", "events", ["tenant_id", "occurred_at", "id"], unique=False)
    protect("events")

    # The safety net: an event whose month has no partition yet waits here, and the worker moves it within the hour.
    op.execute("CREATE TABLE events_default PARTITION OF events DEFAULT")
    op.execute("ALTER TABLE events_default ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON events_default USING (tenant_id = {CURRENT_TENANT})")
    for statement in FUNCTIONS:
        op.execute(statement)
    for name in CALLED:
        op.execute(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {name} TO crm_system")
    op.execute("SELECT crm_events_make_partition(month) FROM crm_events_missing_months(3) AS month")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
