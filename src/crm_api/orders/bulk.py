"""Thousands of orders by a handful of statements, with the outcome of one write after the other.

Rows are read, their customers found or made, and then written in waves: each wave has one row of every order, so that
an order that comes twice is written twice, in its rows' order; nearly always there is one wave. A wave locks the
orders that are known in key order, judges each row by the rules of single writes, and inserts the others; those a
rival inserted meanwhile go into the next wave. Purchase facts are added up once, at the end.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from crm_api.core.errors import Invalid
from crm_api.core.ids import new_id
from crm_api.customers.service import CustomerService
from crm_api.db.uow import UnitOfWork
from crm_api.orders import rules
from crm_api.orders.messages import message_of_row
from crm_api.orders.models import OrderRow, OrderValues, RowVerdict
from crm_api.orders.repository import BulkOrderRepository

Key = tuple[str, str]


class Tell(Protocol):
    """Notes a write in the audit log and announces it."""

    def __call__(self, before: Mapping[str, Any] | None, after: OrderValues) -> None:
        """Take the order's columns before (None: it is new) and after."""
        ...


class BulkWrite:
    """One call of ``OrderService.upsert_many``."""

    def __init__(self, unit: UnitOfWork, customers: CustomerService, rows: Sequence[OrderRow], tell: Tell) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.customers = customers
        self.tell = tell
        self.repository = BulkOrderRepository(unit)
        self.rows = rows
        self.verdicts: dict[int, RowVerdict] = {}
        self.messages: dict[int, OrderValues] = {}
        self.touched: set[UUID] = set()

    async def run(self) -> list[RowVerdict]:
        """Write; returns one verdict per row."""
        self._read()
        if self.messages:
            await self.repository.begin()
            await self._name_customers()
            waiting = list(self.messages)
            while waiting:
                waiting = await self._wave(waiting)
            await self.repository.refresh_facts(self.touched)
        return [self.verdicts[index] for index in range(len(self.rows))]

    def _read(self) -> None:
        now = self.unit.now()
        for index, row in enumerate(self.rows):
            try:
                self.messages[index] = message_of_row(row, now)
            except Invalid as error:
                self._fail(index, error)

    def _fail(self, index: int, error: Invalid) -> None:
        self.verdicts[index] = RowVerdict(None, "failed", error.errors)

    async def _name_customers(self) -> None:
        wanted: dict[Key, str] = {}
        for index in self.messages:
            row = self.rows[index]
            wanted.setdefault((row.platform, row.customer_external_id), row.customer_name or row.customer_external_id)
        found = await self.customers.resolve_many(wanted)
        for index, message in self.messages.items():
            row = self.rows[index]
            message["customer_id"] = found[row.platform, row.customer_external_id]

    async def _wave(self, waiting: list[int]) -> list[int]:
        """Write the first waiting row of each order; return the rows that still wait."""
        wave: dict[Key, int] = {}
        later: list[int] = []
        for index in waiting:
            key = (self.messages[index]["platform"], self.messages[index]["external_id"])
            if wave.setdefault(key, index) != index:
                later.append(index)
        stored = await self.repository.lock_many(sorted(wave))
        await self._change({index: stored[key] for key, index in wave.items() if key in stored})
        lost = await self._create([wave[key] for key in sorted(wave) if key not in stored])
        return sorted(later + lost)

    async def _create(self, indexes: list[int]) -> list[int]:
        orders = {index: rules.begin(self.messages[index], new_id()) for index in indexes}
        inserted = await self.repository.add_many(list(orders.values()))
        lost = []
        for index, order in orders.items():
            if order["id"] not in inserted:  # a rival was faster: there is a row to lock now
                lost.append(index)
                continue
            self._done(None, order)
            self.verdicts[index] = RowVerdict(order["id"], "created")
        return lost

    async def _change(self, known: Mapping[int, Mapping[str, Any]]) -> None:
        changed: list[OrderValues] = []
        for index, stored in known.items():
            message = self.messages[index]
            verdict = rules.judge(stored, message)
            refused = rules.currency_change(stored, message, "/currency")
            if verdict == "updated" and refused is not None:
                self._fail(index, refused)
                continue
            self.verdicts[index] = RowVerdict(stored["id"], verdict)
            if verdict == "updated":
                order = rules.merge(stored, message)
                changed.append(order)
                self.touched.add(stored["customer_id"])
                self._done(stored, order)
        await self.repository.put_many(changed)

    def _done(self, before: Mapping[str, Any] | None, after: OrderValues) -> None:
        self.touched.add(after["customer_id"])
        self.tell(before, after)
