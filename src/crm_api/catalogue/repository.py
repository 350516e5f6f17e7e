"""Access to products."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, FromClause, Text, any_, collate, literal, or_, select

from crm_api.catalogue.models import KnownProduct, Product
from crm_api.catalogue.tables import products
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
