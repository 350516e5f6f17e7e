"""Thousands of orders by a handful of statements, with the outcome of one write after the other.

Rows are read, their customers found or made, and then written in waves: each wave has one row of every order, so that
an order that comes twice is written twice, in its rows' order; nearly always there is one wave. A wave locks the
orders that are known in key order, judges each row by the rules of single writes, and inserts the others; those a
rival inserted meanwhile go into the next wave. Lines, where rows have them, are replaced wave by wave. Purchase facts
are added up once, at the end.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol
from uuid import UUID

from crm_api.catalogue.service import ProductService
from crm_api.core.errors import FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.customers.models import CustomerRow
from crm_api.customers.service import CustomerBulkService, CustomerService
from crm_api.db.uow import UnitOfWork
from crm_api.orders import rules
from crm_api.orders.lines import are_same, categories_of, line_rows, told
from crm_api.orders.messages import message_of_row
from crm_api.orders.models import BulkMode, OrderRow, OrderValues, RowVerdict
from crm_api.orders.repository import BulkOrderRepository

Key = tuple[str, str]


class Tell(Protocol):
    """Notes a write in the audit log and announces it."""

    def __call__(self, before: Mapping[str, Any] | None, after: OrderValues, *, touched: bool = False) -> None:
        """Take the order's columns before (None: it is new) and after, and whether its lines changed."""
        ...


class BulkWrite:
    """One call of ``OrderService.upsert_many``."""

    def __init__(
        self,
        unit: UnitOfWork,
        customers: CustomerService,
        rows: Sequence[OrderRow],
        tell: Tell,
        mode: BulkMode = "upsert",
    ) -> None:
        """Work inside a unit."""
        self.mode = mode
        self.unit = unit
        self.customers = customers
        self.tell = tell
        self.repository = BulkOrderRepository(unit)
        self.rows = rows
        self.verdicts: dict[int, RowVerdict] = {}
        self.messages: dict[int, OrderValues] = {}
        self.touched: set[UUID] = set()
        self.done: list[tuple[Mapping[str, Any] | None, OrderValues, bool]] = []
        self.lines: dict[int, list[dict[str, Any]]] = {}
        self.made: dict[int, UUID] = {}

    async def run(self) -> list[RowVerdict]:
        """Write; returns one verdict per row."""
        self._read()
        if self.messages:
            await self.repository.begin()
            if self.mode != "upsert":
                await self._heed_mode()
            await self._name_customers()
            await self._link_lines()
            waiting = list(self.messages)
            while waiting:
                waiting = await self._wave(waiting)
            await self._finish()
        return [self.verdicts[index] for index in range(len(self.rows))]

    async def _finish(self) -> None:
        """Add up the facts; while the database does, a thread makes audit rows and messages, in the writes' order."""
        telling = asyncio.create_task(asyncio.to_thread(self._tell_all))
        try:
            await self.repository.refresh_facts(self.touched)
        finally:
            await telling

    def _tell_all(self) -> None:
        for before, after, touched in self.done:
            self.tell(before, after, touched=touched)

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
        accounts: dict[int, Key] = {}
        others: dict[int, CustomerRow] = {}
        wanted: dict[Key, str] = {}
        for index in self.messages:
            row = self.rows[index]
            if row.customer_external_id is not None:
                accounts[index] = (row.platform, row.customer_external_id)
                wanted.setdefault(accounts[index], row.customer_name or row.customer_external_id)
            elif row.customer is not None:
                others[index] = row.customer
        if wanted:
            found, made = await self.customers.resolve_and_tell(wanted)
            for index, key in accounts.items():
                self._bought(index, found[key], made)
        if others:
            await self._name_others(others)

    async def _name_others(self, buyers: Mapping[int, CustomerRow]) -> None:
        """Set the buyers of rows that do not name them by an account of the platform."""
        found = await CustomerBulkService(self.unit).find_or_make(list(buyers.values()))
        verdicts = dict(zip(buyers, found, strict=True))
        made = {each.customer_id for each in verdicts.values() if each.verdict == "created" and each.customer_id}
        for index, each in verdicts.items():
            if each.customer_id is not None:
                self._bought(index, each.customer_id, made)
                continue
            self.verdicts[index] = RowVerdict(None, "failed", tuple(_of_customer(error) for error in each.errors))
            del self.messages[index]

    def _bought(self, index: int, customer_id: UUID, made: set[UUID]) -> None:
        """Set a row's buyer; the first row of one who was made now takes note of that."""
        self.messages[index]["customer_id"] = customer_id
        if customer_id in made:
            made.remove(customer_id)
            self.made[index] = customer_id

    async def _link_lines(self) -> None:
        """Make the lines' rows, linked to the catalogue."""
        given = {index: lines for index in self.messages if (lines := self.rows[index].lines) is not None}
        if not given:
            return
        skus = {line.sku for lines in given.values() for line in lines if line.sku}
        known = await ProductService(self.unit).by_skus(skus)
        for index, lines in given.items():
            self.lines[index] = line_rows(lines, known)
            self.messages[index]["categories"] = categories_of(self.lines[index])

    async def _heed_mode(self) -> None:
        """Take out the rows that this write may not create or not change, before a buyer is made for them."""
        keys = {index: (message["platform"], message["external_id"]) for index, message in self.messages.items()}
        known = await self.repository.lock_many(sorted(set(keys.values())))
        for index, key in keys.items():
            if self.mode == "create_only" and key in known:
                self._refuse(index, known[key])
            elif self.mode == "update_only" and key not in known:
                self.verdicts[index] = RowVerdict(None, "failed", (_NOT_FOUND,))
                del self.messages[index]

    def _refuse(self, index: int, stored: Mapping[str, Any]) -> None:
        self.verdicts[index] = RowVerdict(stored["id"], "duplicate")
        self.messages.pop(index, None)

    def _journal(
        self, index: int, changes: Mapping[str, Any] | None = None, lines: Sequence[Any] | None = None
    ) -> dict[str, Any]:
        journal: dict[str, Any] = {"values": changes} if changes else {}
        journal |= {"lines": lines} if lines else {}
        return journal | ({"made": str(self.made[index])} if index in self.made else {})

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
        lines: dict[UUID, Sequence[Mapping[str, Any]]] = {}
        for index, order in orders.items():
            if order["id"] not in inserted:  # a rival was faster: there is a row to lock now
                lost.append(index)
                continue
            self._done(None, order)
            self.verdicts[index] = RowVerdict(order["id"], "created", journal=self._journal(index))
            if index in self.lines:
                lines[order["id"]] = self.lines[index]
        await self.repository.set_lines_of(lines)
        return lost

    async def _change(self, known: Mapping[int, Mapping[str, Any]]) -> None:
        changed: list[OrderValues] = []
        lines: dict[UUID, Sequence[Mapping[str, Any]]] = {}
        old = await self._known_lines(known)
        for index, stored in known.items():
            message, order_id = self.messages[index], stored["id"]
            if self.mode == "create_only":
                self._refuse(index, stored)
                continue
            verdict = rules.judge(stored, message)
            touched = index in self.lines and not are_same(old.get(order_id, ()), self.lines[index])
            if verdict == "unchanged" and touched and not rules.dated(message):
                verdict = "updated"
            refused = rules.currency_change(stored, message, "/currency")
            if verdict == "updated" and refused is not None:
                self._fail(index, refused)
                continue
            self.verdicts[index] = RowVerdict(order_id, verdict, journal=self._journal(index))
            if verdict != "updated":
                continue
            order = rules.merge(stored, message)
            changed.append(order)
            was, became = rules.changed(stored, order)
            changes = {name: (was[name], became[name]) for name in was}
            replaced = None
            if touched:
                lines[order_id] = self.lines[index]
                replaced = (told(old.get(order_id, ())), told(self.lines[index]))
            self.verdicts[index] = RowVerdict(order_id, verdict, journal=self._journal(index, changes, replaced))
            self.touched.add(stored["customer_id"])
            self._done(stored, order, touched=touched)
        await self.repository.put_many(changed)
        await self.repository.set_lines_of(lines)

    async def _known_lines(self, known: Mapping[int, Mapping[str, Any]]) -> Mapping[UUID, Sequence[Mapping[str, Any]]]:
        """Return the lines of orders for which rows bring some."""
        ids = [stored["id"] for index, stored in known.items() if index in self.lines]
        return await self.repository.lines_of(ids) if ids else {}

    def _done(self, before: Mapping[str, Any] | None, after: OrderValues, *, touched: bool = False) -> None:
        self.touched.add(after["customer_id"])
        self.done.append((before, after, touched))


def _of_customer(error: FieldError) -> FieldError:
    return replace(error, pointer=f"/customer{error.pointer}")


_NOT_FOUND = FieldError(
    "/external_id",
    "not_found",
    "There is no order with this id, and the import only updates",
    "未找到该订单，且仅允许更新",
)
