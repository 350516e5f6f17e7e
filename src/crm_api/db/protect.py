"""Row-level security and grants, as every migration applies them to a new table.

Migrations are frozen history, so these functions never change what they do for a given call; a new policy is a new
function.
"""

from typing import Literal

from alembic import op

CURRENT_TENANT = "(SELECT nullif(current_setting('app.tenant', true), '')::uuid)"
"""A sub-select, so that it is evaluated once per statement; null (no rows) when the setting is missing."""


def protect(table: str, *, writes: Literal["all", "append"] = "all") -> None:
    """Let the application role see and write only the current tenant's rows.

    Args:
        table: must have a ``tenant_id``.
        writes: ``append`` grants INSERT and SELECT only.

    """
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant ON {table} TO crm_app "
        f"USING (tenant_id = {CURRENT_TENANT}) WITH CHECK (tenant_id = {CURRENT_TENANT})"
    )
    grant(table, "SELECT, INSERT" if writes == "append" else "SELECT, INSERT, UPDATE, DELETE")


def grant(table: str, privileges: str, role: str = "crm_app") -> None:
    """Grant without row-level security: only for tables that hold ids and search keys."""
    op.execute(f"GRANT {privileges} ON {table} TO {role}")


def open_to_system(table: str, privileges: str) -> None:
    """Let the system role (relay, authentication, pruning) reach all tenants' rows of a protected table."""
    op.execute(f"CREATE POLICY system ON {table} TO crm_system USING (true) WITH CHECK (true)")
    grant(table, privileges, "crm_system")
