"""What can be done with products.

Products are part of what orders are made of, so they share the scopes ``orders:read`` and ``orders:write``.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from crm_api.catalogue.bulk import BulkProducts, UndoProducts
from crm_api.catalogue.models import BulkMode, KnownProduct, ProductCreate, ProductRow, ProductRowVerdict, ProductUpdate
from crm_api.catalogue.repository import ProductRepository
from crm_api.core.errors import Duplicate, FieldError
from crm_api.core.ids import new_id
from crm_api.core.money import PositiveMoney
from crm_api.core.undo import Entry, Undone
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as

WRITE = "orders:write"

_SKU_TAKEN = {
    "uq_products_sku": Duplicate(
        errors=[FieldError("/sku", "duplicate", "Another product has this SKU", "该 SKU 已属于其他商品")]
    )
}


class ProductService:
    """The catalogue."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ProductRepository(unit)

    async def create(self, data: ProductCreate) -> UUID:
        """Add a product; returns its id.

        Raises:
            Duplicate: another product has the SKU.

        """
        self.unit.actor.require(WRITE)
        product_id = new_id()
        with unique_as(_SKU_TAKEN):
            await self.repository.insert(
                {"id": product_id, **data.model_dump(exclude={"price"}), **_price_columns(data.price)}
            )
        self._tell("product.created", product_id, after=data.model_dump(mode="json"))
        return product_id

    async def update(self, product_id: UUID, data: ProductUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields that were given."""
        self.unit.actor.require(WRITE)
        before = await self.repository.get(product_id, lock=True, expected_version=expected_version)
        given = data.model_fields_set
        changes: dict[str, Any] = data.model_dump(include=given - {"price"})
        if "price" in given:
            changes |= _price_columns(data.price)
        with unique_as(_SKU_TAKEN):
            await self.repository.change(product_id, changes)
        self._tell(
            "product.updated",
            product_id,
            before={name: _plain(before[name]) for name in changes},
            after=data.model_dump(mode="json", include=given),
        )

    async def by_skus(self, skus: Iterable[str]) -> dict[str, KnownProduct]:
        """Return the products with these SKUs, by SKU; unknown ones are left out."""
        wanted = sorted(set(skus))
        return await self.repository.by_skus(wanted) if wanted else {}

    async def import_many(self, rows: Sequence[ProductRow], mode: BulkMode = "upsert") -> list[ProductRowVerdict]:
        """Create or update products from rows, a few statements for all of them; returns a verdict for each.

        A row means the product with its SKU. Later rows see what earlier ones did.
        """
        self.unit.actor.require(WRITE)
        return await BulkProducts(self.repository, mode, self._tell_bulk).run(rows)

    async def undo_many(self, entries: Sequence[Entry]) -> list[Undone]:
        """Take back what rows of `import_many` did, in the order given; returns a verdict for each."""
        self.unit.actor.require(WRITE)
        return await UndoProducts(self.repository, self._tell_bulk).run(entries)

    def _tell_bulk(
        self, operation: str, product_id: UUID, before: dict[str, Any] | None, after: dict[str, Any] | None
    ) -> None:
        self._tell(operation, product_id, before=before, after=after)

    def _tell(
        self,
        operation: str,
        product_id: UUID,
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> None:
        self.unit.audit(operation, "Product", product_id, before=before, after=after)
        self.unit.emit(operation, product_id, {})


def _price_columns(price: PositiveMoney | None) -> dict[str, Any]:
    return {"price_amount": price.amount if price else None, "currency": price.currency if price else None}


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
