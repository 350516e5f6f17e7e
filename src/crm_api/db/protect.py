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


def refuse_merged(table: str, column: str = "customer_id", *, any_update: bool = False) -> None:
    """Let no row be written for a customer that was merged into another: the writer loses the race and runs again.

    The triggers run after the foreign key's own, which wait for a merge that holds the customer; what they then see is
    committed (ADR 0015). So either the merge sees the row, or the row's writer sees the merge.

    Args:
        table: has a foreign key to ``customers``.
        column: the column it lies on.
        any_update: refuse every change of a merged customer's row, not only giving it a row.

    """
    name = "refuse_merged" if column == "customer_id" else f"refuse_merged_{column}"
    op.execute(
        f"CREATE TRIGGER {name}_insert AFTER INSERT ON {table} REFERENCING NEW TABLE AS fresh "
        f"FOR EACH STATEMENT EXECUTE FUNCTION crm_refuse_merged('{column}')"
    )
    if any_update:
        op.execute(
            f"CREATE TRIGGER {name}_update AFTER UPDATE ON {table} REFERENCING NEW TABLE AS fresh "
            f"FOR EACH STATEMENT EXECUTE FUNCTION crm_refuse_merged('{column}')"
        )
        return
    op.execute(
        f"CREATE TRIGGER {name}_update AFTER UPDATE OF {column} ON {table} FOR EACH ROW "
        f"WHEN (OLD.{column} IS DISTINCT FROM NEW.{column}) EXECUTE FUNCTION crm_refuse_merged_row('{column}')"
    )


def open_to_erasure(table: str, *columns: str) -> None:
    """Let the system role overwrite these columns of the current tenant: how erasure reaches what is append-only.

    The application role cannot change such a table, so an erasure takes the system role for single statements of its
    transaction (``privacy.repository.erasing``). Only these columns, only the tenant that is set; no column: whole rows
    may be deleted.
    """
    op.execute(
        f"CREATE POLICY erasure ON {table} TO crm_system "
        f"USING (tenant_id = {CURRENT_TENANT}) WITH CHECK (tenant_id = {CURRENT_TENANT})"
    )
    grant(table, f"SELECT, UPDATE ({', '.join(columns)})" if columns else "SELECT, DELETE", "crm_system")
