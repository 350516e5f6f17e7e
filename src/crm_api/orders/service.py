"""What can be done with orders."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from crm_api.catalogue.service import ProductService
from crm_api.core.batch import BatchMode, Done, Item, Result
from crm_api.core.errors import Conflict, Duplicate, FieldError, Invalid, NotFound, PreconditionFailed
from crm_api.core.ids import new_id
from crm_api.core.text import is_masked_id
from crm_api.core.undo import Entry, Undone
from crm_api.customers.service import CustomerService
from crm_api.db.batch import run_batch
from crm_api.db.uow import UnitOfWork
from crm_api.orders import messages, rules
from crm_api.orders.bulk import BulkWrite
from crm_api.orders.lines import are_same, categories_of, line_rows
from crm_api.orders.models import (
    MAX_BULK,
    BulkMode,
    CustomerReference,
    OrderBatchItem,
    OrderLineInput,
    OrderRow,
    OrderUpsert,
    OrderValues,
    RefundCreate,
    RefundRow,
    RefundVerdict,
    RowVerdict,
    Upserted,
)
from crm_api.orders.refund_rows import BulkRefunds
from crm_api.orders.repository import OrderRepository
from crm_api.orders.undo import UndoOrders, UndoRefunds

READ = "orders:read"
WRITE = "orders:write"


class _RivalError(Exception):
    """Another writer inserted the order first."""


class OrderService:
    """Orders as platforms report them, refunds, and the purchase facts that follow."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = OrderRepository(unit)
        self.customers = CustomerService(unit)

    # -- one order -------------------------------------------------------------------------------------------------

    async def upsert(
        self, platform: str, external_id: str, data: OrderUpsert, *, expected_version: int | None = None
    ) -> Upserted:
        """Take in an order as its platform has it; repeated and late messages are harmless.

        A masked buyer (``t***b``) is many people: a new order of one gets a customer of its own, a known order keeps
        whom it has.

        Args:
            platform: lower-case name of the platform.
            external_id: the order's id there.
            data: the order; replaces what is stored unless it is older.
            expected_version: refuse when the stored order has another version.

        Returns:
            The order's id, and whether it was ``created``, ``updated``, ``unchanged`` (said nothing new) or
            ``stale`` (older than what is known).

        Raises:
            Invalid: something cannot be; names each field.
            NotFound: there is no customer with the given id.
            PreconditionFailed: the order has another version.

        """
        self.unit.actor.require(WRITE)
        message = messages.message_of(platform, external_id, data, self.unit.now())
        hidden = data.customer if data.customer is not None and is_masked_id(data.customer.external_id) else None
        if hidden is None:
            message["customer_id"] = await self._customer(platform, data)
        lines = None if data.lines is None else await self._lines(data.lines)
        if lines is not None:
            message["categories"] = categories_of(lines)
        while True:
            stored = await self.repository.lock_by_key(platform, external_id)
            if expected_version is not None and (stored is None or stored["version"] != expected_version):
                raise PreconditionFailed
            if stored is not None:
                return await self._change(stored, message, lines)
            created = (
                await self._create(message, lines) if hidden is None else await self._create_for(hidden, message, lines)
            )
            if created is not None:
                return created
            # A rival inserted it first and has committed: now there is a row to lock.

    async def batch(self, items: Sequence[Item[OrderBatchItem]], mode: BatchMode) -> list[Result]:
        """Take in orders, each as `upsert` does, in their order; see `crm_api.db.batch.run_batch`."""
        self.unit.actor.require(WRITE)

        async def work(data: OrderBatchItem) -> Done:
            order_id, verdict = await self.upsert(data.platform, data.external_id, data.order())
            return Done(order_id, verdict)

        return await run_batch(self.unit, items, mode, work)

    async def _customer(self, platform: str, data: OrderUpsert) -> UUID:
        if data.customer is not None:
            name = data.customer.name or data.customer.external_id
            customer_id, _ = await self.customers.resolve(platform, data.customer.external_id, name)
            return customer_id
        assert data.customer_id is not None  # noqa: S101 - messages.message_of has seen to it
        await self.customers.require_living(data.customer_id)
        return data.customer_id

    async def _lines(self, lines: Sequence[OrderLineInput]) -> list[dict[str, Any]]:
        known = await ProductService(self.unit).by_skus(line.sku for line in lines if line.sku)
        return line_rows(lines, known)

    async def _create(self, message: OrderValues, lines: list[dict[str, Any]] | None) -> Upserted | None:
        order = rules.begin(message, new_id())
        if not await self.repository.add(order):
            return None
        if lines:
            await self.repository.add_lines(order["id"], lines)
        await self.repository.refresh_facts([order["customer_id"]])
        self._tell(None, order)
        return Upserted(order["id"], "created")

    async def _create_for(
        self, hidden: CustomerReference, message: OrderValues, lines: list[dict[str, Any]] | None
    ) -> Upserted | None:
        """Create an order whose buyer the platform hides, with a customer of its own whom nothing identifies."""
        with contextlib.suppress(_RivalError):
            async with self.unit.savepoint():
                name = hidden.name or hidden.external_id
                customer_id = await self.customers.add_stranger(message["platform"], name)
                created = await self._create({**message, "customer_id": customer_id}, lines)
                if created is None:
                    raise _RivalError  # the customer goes with the savepoint: the rival made one
                return created
        return None

    async def _change(
        self, stored: Mapping[str, Any], message: OrderValues, lines: list[dict[str, Any]] | None
    ) -> Upserted:
        order_id: UUID = stored["id"]
        verdict = rules.judge(stored, message)
        if verdict == "stale":
            return Upserted(order_id, "stale")
        same_lines = lines is None or await self._has_lines(order_id, lines)
        if verdict == "unchanged" and (same_lines or rules.dated(message)):
            return Upserted(order_id, "unchanged")
        refused = rules.currency_change(stored, message, "/total/currency")
        if refused is not None:
            raise refused
        order = rules.merge(stored, message)
        if lines is not None and not same_lines:
            await self.repository.set_lines(order_id, lines)
        await self.repository.put(order)
        await self.repository.refresh_facts([stored["customer_id"], order["customer_id"]])
        self._tell(stored, order, touched=not same_lines)
        return Upserted(order_id, "updated")

    async def _has_lines(self, order_id: UUID, lines: Iterable[Mapping[str, Any]]) -> bool:
        return are_same(await self.repository.lines(order_id), lines)

    async def find(self, platform: str, external_id: str) -> UUID:
        """Return the id of the order with its platform's id.

        Raises:
            NotFound: there is none.

        """
        self.unit.actor.require(READ)
        order_id = await self.repository.id_by_key(platform, external_id)
        if order_id is None:
            raise NotFound
        return order_id

    # -- refunds ---------------------------------------------------------------------------------------------------

    async def refund(self, order_id: UUID, data: RefundCreate) -> tuple[UUID, bool]:
        """Record money paid back; never more in all than was paid.

        Returns:
            The refund's id, and whether it is new: the same external id again changes nothing.

        Raises:
            NotFound: there is no such order.
            Invalid: nothing is paid back, or in another currency, or at an impossible time.
            Duplicate: the external id belongs to a refund of another amount.
            Conflict: it would exceed what was paid.

        """
        self.unit.actor.require(WRITE)
        stored = await self.repository.lock(order_id)
        refunded_at = data.refunded_at or self.unit.now()
        messages.check_refund(stored, data, refunded_at, self.unit.now())
        if data.external_id is not None:
            known = await self.repository.refund(order_id, data.external_id)
            if known is not None:
                if known["amount"] != data.amount.amount:
                    raise _REFUND_DIFFERS
                return known["id"], False
        return await self._add_refund(stored, data, refunded_at), True

    async def _add_refund(self, stored: Mapping[str, Any], data: RefundCreate, refunded_at: datetime) -> UUID:
        recorded = stored["recorded_refund_amount"] + data.amount.amount
        if recorded > stored["paid_amount"]:
            raise _EXCEEDS_PAID
        refund_id = new_id()
        await self.repository.add_refund(
            {
                "id": refund_id,
                "order_id": stored["id"],
                "external_id": data.external_id or str(refund_id),
                "amount": data.amount.amount,
                "currency": data.amount.currency,
                "reason": data.reason,
                "refunded_at": refunded_at,
            }
        )
        order = rules.merge(stored, {"recorded_refund_amount": recorded})
        await self.repository.put(order)
        await self.repository.refresh_facts([order["customer_id"]])
        self._tell(stored, order, refund_id=refund_id)
        return refund_id

    # -- thousands of orders ---------------------------------------------------------------------------------------

    async def upsert_many(self, rows: Sequence[OrderRow], mode: BulkMode = "upsert") -> list[RowVerdict]:
        """Take in many orders by a handful of statements, with the same outcome as one `upsert` after the other.

        Args:
            rows: at most 5,000; an order may occur more than once, later rows then follow earlier ones.
            mode: whether rows may create, change, or both.

        Returns:
            One verdict per row, in the rows' order. A row that cannot be is ``failed`` and changes nothing.

        """
        self.unit.actor.require(WRITE)
        if len(rows) > MAX_BULK:
            raise Invalid.field(
                "/rows", "too_many", f"At most {MAX_BULK} orders at a time", f"一次最多 {MAX_BULK} 个订单"
            )
        return await BulkWrite(self.unit, self.customers, rows, self._tell, mode).run()

    async def refund_many(self, rows: Sequence[RefundRow]) -> list[RefundVerdict]:
        """Record many refunds, with the same outcome as one `refund` after the other; returns one verdict per row."""
        self.unit.actor.require(WRITE)

        def tell(before: Mapping[str, Any], after: OrderValues, refund_id: UUID) -> None:
            self._tell(before, after, refund_id=refund_id)

        return await BulkRefunds(self.unit, rows, tell).run()

    async def undo_many(self, entries: Sequence[Entry]) -> list[Undone]:
        """Take back what rows of `upsert_many` did, in the order given; returns a verdict for each.

        A created order goes with its lines and refunds; a changed one gets its values back. What was changed since is
        left alone and reported.
        """
        self.unit.actor.require(WRITE)
        return await UndoOrders(self.unit, entries, self._tell_undone).run()

    async def undo_refunds(self, entries: Sequence[Entry]) -> list[Undone]:
        """Take back refunds of `refund_many`; returns a verdict for each."""
        self.unit.actor.require(WRITE)
        return await UndoRefunds(self.unit, entries, self._tell_undone).run()

    def _tell_undone(self, before: Mapping[str, Any], after: OrderValues | None) -> None:
        about = {"order_id": str(before["id"]), "customer_id": str(before["customer_id"])}
        if after is None:
            self.unit.audit("order.removed", "Order", before["id"], before=rules.told(dict(before)))
            self.unit.emit("order.withdrawn", before["id"], about)
            return
        self._tell(before, after)
        if before["status"] in rules.PAID and after["status"] not in rules.PAID:
            self.unit.emit("order.withdrawn", before["id"], about)

    # -- what leaves -----------------------------------------------------------------------------------------------

    def _tell(
        self,
        before: Mapping[str, Any] | None,
        after: OrderValues,
        *,
        refund_id: UUID | None = None,
        touched: bool = False,
    ) -> None:
        order_id = after["id"]
        if before is None:
            self.unit.audit("order.created", "Order", order_id, after=rules.told(after))
        else:
            was, became = rules.changed(before, after)
            operation = "order.updated" if refund_id is None else "order.refunded"
            self.unit.audit(operation, "Order", order_id, before=was, after=became)
        for kind, payload in rules.announcements(before, after, refund_id=refund_id, touched=touched):
            self.unit.emit(kind, order_id, payload)


_REFUND_DIFFERS = Duplicate(
    errors=[
        FieldError(
            "/external_id", "duplicate", "A refund with this id has another amount", "该退款编号已存在且金额不同"
        )
    ]
)
_EXCEEDS_PAID = Conflict(
    "More cannot be refunded than was paid",
    zh="退款总额不能超过已付金额",
    code="refund_exceeds_paid",
    errors=[
        FieldError(
            "/amount/amount", "exceeds_paid", "More cannot be refunded than was paid", "退款总额不能超过已付金额"
        )
    ],
)
