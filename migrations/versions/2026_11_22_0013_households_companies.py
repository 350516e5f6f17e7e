"""Households and companies' contacts.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

from crm_api.db.protect import grant, protect

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "households",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_households_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_households")),
    )
    protect("households")

    op.create_table(
        "household_members",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("household_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=True),
        sa.Column("relation", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("sex", sa.Text(), nullable=True),
        sa.Column("birth_calendar", sa.Text(), nullable=True),
        sa.Column("birth_year", sa.SmallInteger(), nullable=True),
        sa.Column("birth_month", sa.SmallInteger(), nullable=True),
        sa.Column("birth_day", sa.SmallInteger(), nullable=True),
        sa.Column("birth_leap_month", sa.Boolean(), nullable=True),
        sa.Column("born_on", sa.Date(), nullable=True),
        sa.Column("due_date", sa.Date(), nullable=True),
        sa.Column("birth_recorded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("guardian_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("birth_calendar IN ('solar', 'lunar')", name=op.f("ck_household_members_birth_calendar")),
        sa.CheckConstraint(
            "customer_id IS NOT NULL OR relation = 'child'",
            name=op.f("ck_household_members_only_children_are_no_customers"),
        ),
        sa.CheckConstraint(
            "relation IN ('child', 'mother', 'father', 'guardian', 'grandparent', 'spouse', 'other')",
            name=op.f("ck_household_members_relation"),
        ),
        sa.CheckConstraint("sex IN ('female', 'male')", name=op.f("ck_household_members_sex")),
        sa.CheckConstraint(
            "customer_id IS NULL OR num_nonnulls(name, sex, birth_month, born_on, due_date) = 0",
            name=op.f("ck_household_members_customers_details"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_household_members_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "guardian_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_household_members_tenant_id_guardian_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "household_id"],
            ["households.tenant_id", "households.id"],
            name=op.f("fk_household_members_tenant_id_household_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_household_members")),
    )
    op.create_index(
        "ix_household_members_guardian",
        "household_members",
        ["tenant_id", "guardian_id"],
        unique=False,
        postgresql_where=sa.text("guardian_id IS NOT NULL"),
    )
    op.create_index(
        "ix_household_members_household", "household_members", ["tenant_id", "household_id", "id"], unique=False
    )
    op.create_index(
        "uq_household_members_customer",
        "household_members",
        ["tenant_id", "customer_id", "household_id"],
        unique=True,
        postgresql_where=sa.text("customer_id IS NOT NULL"),
    )
    op.create_index(
        "ix_household_members_born",
        "household_members",
        ["tenant_id", "born_on"],
        unique=False,
        postgresql_where=sa.text("born_on IS NOT NULL"),
    )
    op.create_index(
        "ix_household_members_due",
        "household_members",
        ["tenant_id", "due_date"],
        unique=False,
        postgresql_where=sa.text("due_date IS NOT NULL"),
    )
    protect("household_members")

    op.create_table(
        "household_settings",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("stage_codes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("stage_months", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("overdue_after_days", sa.SmallInteger(), nullable=False),
        sa.CheckConstraint(
            "cardinality(stage_codes) = cardinality(stage_months) AND stage_months[1] = 0",
            name=op.f("ck_household_settings_stages"),
        ),
        sa.CheckConstraint(
            "overdue_after_days BETWEEN 0 AND 90", name=op.f("ck_household_settings_overdue_after_days")
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_household_settings_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_household_settings")),
    )
    protect("household_settings")

    op.create_table(
        "company_contacts",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("company_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("roles", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("is_primary", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("since", sa.Date(), nullable=True),
        sa.Column("until", sa.Date(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("since <= until", name=op.f("ck_company_contacts_period")),
        sa.CheckConstraint("until IS NULL OR NOT is_primary", name=op.f("ck_company_contacts_primary_is_current")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "company_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_company_contacts_tenant_id_company_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_company_contacts_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_company_contacts")),
    )
    op.create_index("ix_company_contacts_company", "company_contacts", ["tenant_id", "company_id", "id"], unique=False)
    op.create_index(
        "ix_company_contacts_customer", "company_contacts", ["tenant_id", "customer_id", "id"], unique=False
    )
    op.create_index(
        "uq_company_contacts_current",
        "company_contacts",
        ["tenant_id", "company_id", "customer_id", "until"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    protect("company_contacts")

    # Whole months by the calendar: who is born on the 31st is a month older on the last day of a shorter month.
    op.execute("""
        CREATE FUNCTION crm_age_months(born date, today date) RETURNS integer
        LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
        RETURN (
          (extract(year FROM today) - extract(year FROM born)) * 12 + extract(month FROM today) - extract(month FROM born)
        )::integer - (
          (born + make_interval(months => (
            (extract(year FROM today) - extract(year FROM born)) * 12
            + extract(month FROM today) - extract(month FROM born)
          )::integer))::date > today
        )::integer
    """)
    # The caller's clock, not the server's, and the tenant's zone: business days begin there. Both functions return
    # tables, because PostgreSQL takes the body of such a function into the statement's own plan.
    op.execute("""
        CREATE FUNCTION crm_today(tenant uuid, now timestamptz) RETURNS TABLE (day date)
        LANGUAGE sql STABLE PARALLEL SAFE AS $$
          SELECT (now AT TIME ZONE t.time_zone)::date FROM tenants t WHERE t.tenant_id = tenant
        $$
    """)
    # A child is in the last stage that begins no later than today for its day of birth: `newest` is the latest birth
    # for which born + from_months is today or earlier. On the last day of a month that is the last day of that month.
    op.execute("""
        CREATE FUNCTION crm_stage_cuts(tenant uuid, now timestamptz)
        RETURNS TABLE (code text, from_months integer, newest date)
        LANGUAGE sql STABLE PARALLEL SAFE AS $$
          SELECT cut.code, cut.from_months, (CASE
              WHEN today.day = date_trunc('month', today.day) + interval '1 month - 1 day'
              THEN date_trunc('month', today.day - make_interval(months => cut.from_months))
                     + interval '1 month - 1 day'
              ELSE today.day - make_interval(months => cut.from_months)
            END)::date
          FROM (
            SELECT date_trunc('day', now AT TIME ZONE t.time_zone) AS day FROM tenants t WHERE t.tenant_id = tenant
          ) AS today
          LEFT JOIN household_settings s ON s.tenant_id = tenant
          CROSS JOIN unnest(
            coalesce(s.stage_codes, ARRAY['0-6m', '6-12m', '1-3y', '3-6y', '6y+']),
            coalesce(s.stage_months, ARRAY[0, 6, 12, 36, 72])
          ) AS cut (code, from_months)
        $$
    """)
    op.execute("""
        CREATE VIEW customer_children WITH (security_invoker = true) AS
        SELECT parent.tenant_id, parent.customer_id, child.id, child.household_id,
               coalesce(child.name, c.name) AS name, child.sex,
               coalesce(
                 child.born_on,
                 CASE WHEN c.birth_calendar = 'solar' AND c.birth_year IS NOT NULL
                      THEN make_date(c.birth_year, c.birth_month, c.birth_day) END
               ) AS born_on,
               child.due_date, child.birth_recorded_at
        FROM household_members parent
        JOIN household_members child
          ON child.tenant_id = parent.tenant_id AND child.household_id = parent.household_id
             AND child.relation = 'child'
        LEFT JOIN customers c ON c.tenant_id = child.tenant_id AND c.id = child.customer_id
        WHERE parent.customer_id IS NOT NULL AND parent.relation <> 'child' AND c.deleted_at IS NULL
    """)
    grant("customer_children", "SELECT")

    # An order is taken once however many contact periods it lies in.
    op.execute("""
        CREATE VIEW company_purchases WITH (security_invoker = true) AS
        SELECT company.tenant_id, company.id AS company_id, sums.*
        FROM customers company
        JOIN tenants t ON t.tenant_id = company.tenant_id
        CROSS JOIN LATERAL (
          SELECT coalesce(sum(orders), 0)::integer AS order_count,
                 coalesce(sum(purchases), 0)::integer AS paid_order_count,
                 min(first_at) AS first_order_at, max(last_at) AS last_order_at,
                 coalesce((array_agg(currency ORDER BY place))[1], t.currency) AS currency,
                 coalesce((array_agg(gross ORDER BY place))[1], 0)::bigint AS gross_spend_amount,
                 coalesce((array_agg(net ORDER BY place))[1], 0)::bigint AS net_spend_amount,
                 coalesce(sum(purchases) - (array_agg(purchases ORDER BY place))[1], 0)::integer
                   AS other_currency_order_count
          FROM (
            SELECT *, row_number() OVER (
              ORDER BY (purchases > 0 AND currency = t.currency) DESC, purchases DESC, (currency = t.currency) DESC,
                       currency COLLATE "C"
            ) AS place
            FROM (
              SELECT o.currency,
                     count(*) FILTER (WHERE o.status <> 'cancelled') AS orders,
                     count(*) FILTER (WHERE o.status IN ('paid', 'shipped', 'completed')) AS purchases,
                     min(o.placed_at) FILTER (WHERE o.status IN ('paid', 'shipped', 'completed')) AS first_at,
                     max(o.placed_at) FILTER (WHERE o.status IN ('paid', 'shipped', 'completed')) AS last_at,
                     coalesce(sum(o.paid_amount)
                       FILTER (WHERE o.status IN ('paid', 'shipped', 'completed', 'refunded')), 0) AS gross,
                     coalesce(sum(o.paid_amount - o.refunded_amount)
                       FILTER (WHERE o.status IN ('paid', 'shipped', 'completed', 'refunded')), 0) AS net
              FROM orders o
              WHERE o.tenant_id = company.tenant_id
                AND o.customer_id = ANY (ARRAY(
                  SELECT company.id
                  UNION
                  SELECT k.customer_id FROM company_contacts k
                  WHERE k.tenant_id = company.tenant_id AND k.company_id = company.id
                ))
                AND (o.customer_id = company.id OR EXISTS (
                  SELECT FROM company_contacts k
                  WHERE k.tenant_id = company.tenant_id AND k.company_id = company.id AND k.customer_id = o.customer_id
                    AND (k.since IS NULL OR (o.placed_at AT TIME ZONE t.time_zone)::date >= k.since)
                    AND (k.until IS NULL OR (o.placed_at AT TIME ZONE t.time_zone)::date <= k.until)
                ))
              GROUP BY o.currency
            ) AS by_currency
          ) AS ranked
        ) AS sums
        WHERE company.kind = 'company' AND company.deleted_at IS NULL
    """)
    grant("company_purchases", "SELECT")

    op.execute("""
        CREATE VIEW company_points WITH (security_invoker = true) AS
        SELECT company.tenant_id, company.id AS company_id, sums.*
        FROM customers company
        CROSS JOIN LATERAL (
          SELECT coalesce(sum(a.available), 0)::bigint AS available, coalesce(sum(a.pending), 0)::bigint AS pending,
                 coalesce(sum(a.held), 0)::bigint AS held, coalesce(sum(a.debt), 0)::bigint AS debt
          FROM loyalty_accounts a
          WHERE a.tenant_id = company.tenant_id
            AND a.id = ANY (ARRAY(
              SELECT company.id
              UNION
              SELECT k.customer_id FROM company_contacts k
              WHERE k.tenant_id = company.tenant_id AND k.company_id = company.id AND k.until IS NULL
            ))
        ) AS sums
        WHERE company.kind = 'company' AND company.deleted_at IS NULL
    """)
    grant("company_points", "SELECT")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
