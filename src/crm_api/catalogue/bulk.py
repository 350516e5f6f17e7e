"""Products by the thousand, and taking back what such a write did.

The journal of a row that changed a product is ``{"values": {column: [before, after]}}``, as plain JSON.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final
from uuid import UUID

from crm_api.catalogue.models import BulkMode, ProductRow, ProductRowVerdict
from crm_api.catalogue.repository import ProductRepository
from crm_api.core.errors import FieldError
from crm_api.core.ids import new_id
from crm_api.core.undo import DONE, GONE, Entry, Undone, changes_since

Values = dict[str, Any]
Tell = Callable[[str, UUID, Values | None, Values | None], None]
"""Notes and announces: operation, product, values before and after."""


class BulkProducts:
    """One call of ``ProductService.import_many``."""

    def __init__(self, repository: ProductRepository, mode: BulkMode, tell: Tell) -> None:
        """Work through a repository."""
        self.repository = repository
        self.mode = mode
        self.tell = tell
        self.known: dict[str, Values] = {}
        self.new: dict[UUID, Values] = {}
        self.changed: dict[UUID, Values] = {}
        self.before: dict[UUID, Values] = {}

    async def run(self, rows: Sequence[ProductRow]) -> list[ProductRowVerdict]:
        """Write; returns one verdict per row."""
        await self.repository.begin_bulk()
        self.known = await self.repository.lock_by_skus(sorted({row.sku for row in rows}))
        verdicts = [self._take(row) for row in rows]
        await self.repository.add_many(list(self.new.values()))
        await self.repository.put_many(list(self.changed.values()))
        for product_id, values in self.new.items():
            self.tell("product.created", product_id, None, plain(values))
        for product_id, values in self.changed.items():
            before = self.before[product_id]
            self.tell("product.updated", product_id, plain(before), plain({name: values[name] for name in before}))
        return verdicts

    def _take(self, row: ProductRow) -> ProductRowVerdict:
        product = self.known.get(row.sku)
        if product is None:
            return self._create(row)
        if self.mode == "create_only":
            return ProductRowVerdict(product["id"], "duplicate")
        news = {name: value for name, value in row.values.items() if product[name] != value}
        if not news:
            return ProductRowVerdict(product["id"], "unchanged")
        before, after = plain({name: product[name] for name in news}), plain(news)
        if product["id"] not in self.new:
            first = self.before.setdefault(product["id"], {})
            first |= {name: product[name] for name in news if name not in first}
            self.changed[product["id"]] = product
        product |= news
        journal = {"values": {name: (before[name], after[name]) for name in news}}
        return ProductRowVerdict(product["id"], "updated", journal=journal)

    def _create(self, row: ProductRow) -> ProductRowVerdict:
        if self.mode == "update_only":
            return ProductRowVerdict(None, "failed", (_NOT_FOUND,))
        if "name" not in row.values:
            return ProductRowVerdict(None, "failed", (_NAMELESS,))
        product = {**_EMPTY, **row.values, "sku": row.sku, "id": new_id()}
        self.known[row.sku] = self.new[product["id"]] = product
        return ProductRowVerdict(product["id"], "created")


class UndoProducts:
    """One call of ``ProductService.undo_many``."""

    def __init__(self, repository: ProductRepository, tell: Tell) -> None:
        """Work through a repository."""
        self.repository = repository
        self.tell = tell

    async def run(self, entries: Sequence[Entry]) -> list[Undone]:
        """Take back; returns one verdict per entry."""
        await self.repository.begin_bulk()
        stored = await self.repository.lock_many(sorted({entry.resource_id for entry in entries}))
        removed: set[UUID] = set()
        changed: dict[UUID, Values] = {}
        verdicts = [self._take(entry, stored, removed, changed) for entry in entries]
        await self.repository.put_many([values for key, values in changed.items() if key not in removed])
        await self.repository.remove_many(sorted(removed))
        return verdicts

    def _take(
        self, entry: Entry, stored: dict[UUID, Values], removed: set[UUID], changed: dict[UUID, Values]
    ) -> Undone:
        product = stored.get(entry.resource_id)
        if product is None or product["id"] in removed:
            return DONE if entry.created else Undone((GONE,))
        if entry.created:
            if entry.obstacle is not None:
                return Undone((entry.obstacle,))
            removed.add(product["id"])
            self.tell("product.removed", product["id"], plain(product), None)
            return DONE
        journal = entry.journal["values"]
        reasons = changes_since(journal, plain(product))
        if reasons:
            return Undone(reasons)
        was = {name: product[name] for name in journal}
        product |= {name: _value(name, before) for name, (before, _) in journal.items()}
        changed[product["id"]] = product
        self.tell("product.updated", product["id"], plain(was), plain({name: product[name] for name in was}))
        return DONE


def plain(values: Mapping[str, Any]) -> Values:
    """Return values as JSON has them."""
    return {
        name: value.isoformat() if isinstance(value, date) else str(value) if isinstance(value, UUID) else value
        for name, value in values.items()
    }


def _value(name: str, stored: Any) -> Any:
    return date.fromisoformat(stored) if name == "new_arrival_on" and stored is not None else stored


_EMPTY: Final[Mapping[str, Any]] = {
    "category": None,
    "brand": None,
    "price_amount": None,
    "currency": None,
    "active": True,
    "new_arrival_on": None,
}
_NAMELESS: Final = FieldError("/name", "required", "A new product needs a name", "新商品必须有名称")
_NOT_FOUND: Final = FieldError(
    "/sku", "not_found", "There is no product with this SKU, and the import only updates", "未找到该 SKU，且仅允许更新"
)
