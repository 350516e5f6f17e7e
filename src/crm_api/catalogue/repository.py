"""Access to products."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, FromClause, Text, any_, collate, literal, or_, select

from crm_api.attributes.repository import referable
from crm_api.catalogue.models import KnownProduct, Product
from crm_api.catalogue.tables import products
from crm_api.db.bulk import insert_rows, plan_for_arrays, update_rows
from crm_api.db.projections import Filter, FilterValue, Projection, at_least, columns, desc, eq, money
from crm_api.db.repository import Repository


def _in_category(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    # Everything below 海鲜 lies between "海鲜/" and "海鲜0" (the character after the slash).
    path = collate(t.c.category, "C")
    return or_(
        path == v(str, Text()),
        (path >= v(lambda text: f"{text}/", Text())) & (path < v(lambda text: f"{text}0", Text())),
    )


PRODUCT = Projection(
    "Product",
    table=products,
    model=Product,
    scope="orders:read",
    description="Something that can be bought.",
    fields={
        **columns(
            "id",
            "sku",
            "name",
            "category",
            "brand",
            "active",
            "new_arrival_on",
            "version",
            "created_at",
            "updated_at",
        ),
        "price": money("price_amount", "currency"),
    },
    orders={"newest": [desc("id")]},
    filters={
        "sku": eq("sku", description="Exactly this SKU."),
        "active": eq("active", bool),
        "category": Filter(str, _in_category, description="This category path and everything below it."),
        "brand": eq("brand"),
        "created_after": at_least("created_at", description="First stored here at this instant or later."),
    },
)


_COLUMNS: Final = ("sku", "name", "category", "brand", "price_amount", "currency", "active", "new_arrival_on")
_LOCK: Final = f"SELECT id, {', '.join(_COLUMNS)} FROM products WHERE tenant_id = $1 AND "  # noqa: S608 - constants
_LOCK_BY_SKU: Final = _LOCK + """sku = ANY ($2::text[]) ORDER BY sku COLLATE "C" FOR NO KEY UPDATE"""
_LOCK_BY_ID: Final = _LOCK + """id = ANY ($2::uuid[]) ORDER BY sku COLLATE "C" FOR NO KEY UPDATE"""
_REMOVE: Final = "DELETE FROM products WHERE tenant_id = $1 AND id = ANY ($2::uuid[])"

referable("product", products)


class ProductRepository(Repository):
    """Products."""

    table = products

    async def by_skus(self, skus: Sequence[str]) -> dict[str, KnownProduct]:
        """Return the products with these SKUs."""
        wanted: Any = literal(list(skus), ARRAY(Text))
        rows = await self.unit.fetch_all(
            select(products.c.id, products.c.sku, products.c.category).where(
                self.mine(), products.c.sku == any_(wanted)
            )
        )
        return {row["sku"]: KnownProduct(**dict(row)) for row in rows}

    # -- by the thousand -----------------------------------------------------------------------------------------------

    async def begin_bulk(self) -> None:
        """Prepare the transaction: one bulk write of the tenant's products runs at a time."""
        await plan_for_arrays(self.unit)
        await self.unit.connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"products.bulk:{self.unit.tenant_id}"
        )

    async def lock_by_skus(self, skus: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the products with these SKUs, held against other writers, by SKU."""
        rows = await self.unit.connection.fetch(_LOCK_BY_SKU, self.unit.tenant_id, skus)
        return {row["sku"]: dict(row) for row in rows}

    async def lock_many(self, ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
        """Return products by id, held against other writers."""
        rows = await self.unit.connection.fetch(_LOCK_BY_ID, self.unit.tenant_id, ids)
        return {row["id"]: dict(row) for row in rows}

    async def add_many(self, rows: Sequence[dict[str, Any]]) -> None:
        """Insert products."""
        names = ("id", *_COLUMNS)
        await insert_rows(self.unit, products, names, [[row[name] for name in names] for row in rows])

    async def put_many(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write locked products."""
        await update_rows(self.unit, products, _COLUMNS, [[row[name] for name in ("id", *_COLUMNS)] for row in rows])

    async def remove_many(self, ids: Sequence[UUID]) -> None:
        """Delete products that nothing refers to."""
        if ids:
            await self.unit.connection.execute(_REMOVE, self.unit.tenant_id, ids)
