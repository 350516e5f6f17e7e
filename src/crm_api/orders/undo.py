"""Taking back what bulk writes of orders and refunds did.

The journal of an order row::

    {"values": {column: [before, after]}, "lines": [before, after], "made": customer id}

``values`` when the row changed an order (as `rules.changed` tells it), ``lines`` when it replaced its lines (as
`lines.told` tells them), ``made`` when its buyer was created for it; the buyer is the business of whoever keeps the
journal. A refund's journal is empty: all that a row can do is add one.

What was announced stays announced: an order whose payment is taken back, or that goes altogether, is announced as
``order.withdrawn``, and points earned from it are taken back as from a cancelled one. Points that an imported refund
took away are not given back: the ledger knows no refund of a refund (adjust them by hand).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from crm_api.catalogue.service import ProductService
from crm_api.core.undo import DONE, GONE, Entry, Undone, changed_since, changes_since
from crm_api.db.uow import UnitOfWork
from crm_api.orders import rules
from crm_api.orders.lines import restored, told
from crm_api.orders.models import OrderValues
from crm_api.orders.repository import BulkOrderRepository

Tell = Callable[[Mapping[str, Any], OrderValues | None], None]
"""Takes an order's columns before and after; None when it goes."""

_INSTANTS: Final = frozenset({"placed_at", "paid_at", "completed_at", "platform_updated_at"})
_IDS: Final = frozenset({"customer_id", "store_id", "staff_id"})
_STICKY: Final = frozenset({"paid_announced"})


class UndoOrders:
    """One call of ``OrderService.undo_many``."""

    def __init__(self, unit: UnitOfWork, entries: Sequence[Entry], tell: Tell) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.entries = entries
        self.tell = tell
        self.repository = BulkOrderRepository(unit)
        self.lines: dict[UUID, list[dict[str, Any]]] = {}
        self.relined: set[UUID] = set()
        self.orders: dict[UUID, OrderValues] = {}
        self.removed: dict[UUID, OrderValues] = {}
        self.changed: dict[UUID, OrderValues] = {}

    async def run(self) -> list[Undone]:
        """Take back; returns one verdict per entry."""
        await self.repository.begin()
        stored = await self.repository.lock_many_by_id({entry.resource_id for entry in self.entries})
        self.orders = {order["id"]: order for order in stored}
        relined = {entry.resource_id for entry in self.entries if "lines" in entry.journal}
        known = await self.repository.lines_of(list(relined)) if relined else {}
        self.lines = {order_id: told(known.get(order_id, ())) for order_id in relined}
        verdicts = [self._take(entry) for entry in self.entries]
        await self.repository.remove_many(list(self.removed))
        await self.repository.put_many([order for key, order in self.changed.items() if key not in self.removed])
        await self._put_lines()
        owners = {before["customer_id"] for before in stored}
        await self.repository.refresh_facts(owners | {order["customer_id"] for order in self.changed.values()})
        return verdicts

    async def _put_lines(self) -> None:
        lines = {order_id: self.lines[order_id] for order_id in self.relined - self.removed.keys()}
        skus = {line["sku"] for each in lines.values() for line in each if line["sku"]}
        known = await ProductService(self.unit).by_skus(skus)
        await self.repository.set_lines_of({order_id: restored(each, known) for order_id, each in lines.items()})

    def _take(self, entry: Entry) -> Undone:
        order = self.orders.get(entry.resource_id)
        if order is None or order["id"] in self.removed:
            return DONE if entry.created else Undone((GONE,))
        if entry.created:
            if entry.obstacle is not None:
                return Undone((entry.obstacle,))
            self.removed[order["id"]] = order
            self.tell(order, None)
            return DONE
        return self._restore(order, entry)

    def _restore(self, order: OrderValues, entry: Entry) -> Undone:
        written = {name: each for name, each in entry.journal.get("values", {}).items() if name not in _STICKY}
        reasons = changes_since(written, {name: rules.plain(order[name]) for name in written})
        lines = entry.journal.get("lines")
        if lines is not None and self.lines[order["id"]] != lines[1]:
            reasons = (*reasons, changed_since("/lines"))
        if reasons:
            return Undone(reasons)
        if lines is not None:
            self.lines[order["id"]] = lines[0]
            self.relined.add(order["id"])
        was = {name: _value(name, before) for name, (before, _) in written.items()}
        after = rules.settle({**order, **was})
        self.orders[order["id"]] = self.changed[order["id"]] = after
        self.tell(order, after)
        return DONE


def _value(name: str, plain: Any) -> Any:
    if plain is None:
        return None
    if name in _INSTANTS:
        return datetime.fromisoformat(plain)
    return UUID(plain) if name in _IDS else plain


class UndoRefunds:
    """One call of ``OrderService.undo_refunds``."""

    def __init__(self, unit: UnitOfWork, entries: Sequence[Entry], tell: Tell) -> None:
        """Work inside a unit."""
        self.entries = entries
        self.tell = tell
        self.repository = BulkOrderRepository(unit)

    async def run(self) -> list[Undone]:
        """Take back; returns one verdict per entry."""
        await self.repository.begin()
        known = await self.repository.refunds_by_id([entry.resource_id for entry in self.entries])
        stored = await self.repository.lock_many_by_id({order_id for order_id, _ in known.values()})
        orders = {order["id"]: order for order in stored}
        for order_id, amount in known.values():
            before = orders[order_id]
            after = rules.merge(before, {"recorded_refund_amount": before["recorded_refund_amount"] - amount})
            orders[order_id] = after
            self.tell(before, after)
        await self.repository.remove_refunds(list(known))
        await self.repository.settle_many(list(orders.values()))
        await self.repository.refresh_facts({order["customer_id"] for order in orders.values()})
        return [DONE for _ in self.entries]
