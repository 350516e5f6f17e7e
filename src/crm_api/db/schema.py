"""The one MetaData and the shapes every table shares.

Every tenant table is keyed ``(tenant_id, id)`` and every foreign key starts with ``tenant_id``: a row can only ever
point at its own merchant's rows, and all of a merchant's rows can live on one shard.
"""

from typing import Any

from sqlalchemy import (
    Column,
    DateTime,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.sql.schema import SchemaItem

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

INSTANT = DateTime(timezone=True)

NO_ROW_SECURITY = "no_row_security"
"""``Table.info`` key: the table holds ids and search keys only, because row-level security would disable its index."""

APPEND_ONLY = "append_only"
"""``Table.info`` key: the application role may insert and read, never change or delete."""


def tenant_id() -> Column[Any]:
    """Return the leading column of every tenant table."""
    return Column("tenant_id", Uuid, nullable=False)


def created_at(name: str = "created_at") -> Column[Any]:
    """Return a column that the database fills with the transaction's time."""
    return Column(name, INSTANT, nullable=False, server_default=func.now())


def tenant_table(
    name: str,
    *items: SchemaItem,
    key: tuple[str, ...] = ("id",),
    info: dict[str, Any] | None = None,
    tied: bool = True,
) -> Table:
    """Declare a table keyed ``(tenant_id, *key)`` that is tied to its tenant.

    A foreign key to ``tenants`` is declared only where no other key leads there: checking it for every row was 30 % of
    an import's database time (docs/domains/orders.md).

    Args:
        name: plural noun.
        items: further columns and constraints.
        key: what follows ``tenant_id`` in the primary key; an ``id uuid`` column is added when it is ``id``.
        info: markers such as ``APPEND_ONLY``.
        tied: False for logs written with every change, whose tenant row-level security's check vouches for.

    """
    own_id = [Column("id", Uuid, nullable=False)] if "id" in key else []
    tie = [ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"])] if tied and not _leads_to_tenant(items) else []
    return Table(
        name,
        metadata,
        tenant_id(),
        *own_id,
        *items,
        PrimaryKeyConstraint("tenant_id", *key),
        *tie,
        info=info or {},
    )


def _leads_to_tenant(items: tuple[SchemaItem, ...]) -> bool:
    """Tell whether a foreign key over columns that are never null leads to a table that is tied itself."""
    required = {item.name for item in items if isinstance(item, Column) and not item.nullable} | {"tenant_id"}
    return any(isinstance(item, ForeignKeyConstraint) and set(item.column_keys) <= required for item in items)


def resource_table(name: str, *items: SchemaItem, info: dict[str, Any] | None = None) -> Table:
    """Declare a tenant table for something with an ETag: ``version`` counts its updates."""
    return tenant_table(
        name,
        *items,
        Column("version", Integer, nullable=False, server_default=text("1")),
        created_at(),
        created_at("updated_at"),
        info=info,
    )


def reference(column: str, target: str, *, ondelete: str | None = None) -> ForeignKeyConstraint:
    """Return the composite foreign key ``(tenant_id, column) → target``; the column is declared beside it."""
    return ForeignKeyConstraint(["tenant_id", column], [f"{target}.tenant_id", f"{target}.id"], ondelete=ondelete)


def unique(*columns: str, name: str | None = None) -> UniqueConstraint:
    """Return a unique constraint within the tenant."""
    return UniqueConstraint("tenant_id", *columns, name=name)
