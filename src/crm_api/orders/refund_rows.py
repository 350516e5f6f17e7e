"""Thousands of refunds by a handful of statements, with the outcome of one after the other."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from crm_api.core.errors import FieldError
from crm_api.core.ids import new_id
from crm_api.core.money import to_minor
from crm_api.db.uow import UnitOfWork
from crm_api.orders import rules
from crm_api.orders.messages import SKEW
from crm_api.orders.models import OrderValues, RefundRow, RefundVerdict
from crm_api.orders.repository import BulkOrderRepository

Tell = Callable[[Mapping[str, Any], OrderValues, UUID], None]
Key = tuple[str, str]


class BulkRefunds:
    """One call of ``OrderService.refund_many``."""

    def __init__(self, unit: UnitOfWork, rows: Sequence[RefundRow], tell: Tell) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.rows = rows
        self.tell = tell
        self.repository = BulkOrderRepository(unit)
        self.orders: dict[Key, OrderValues] = {}
        self.known: dict[tuple[UUID, str], tuple[UUID, int]] = {}
        self.added: list[tuple[Any, ...]] = []
        self.changed: dict[Key, OrderValues] = {}

    async def run(self) -> list[RefundVerdict]:
        """Write; returns one verdict per row."""
        await self.repository.begin()
        self.orders = await self.repository.lock_many({(row.platform, row.order_external_id) for row in self.rows})
        self.known = await self.repository.refunds_of([order["id"] for order in self.orders.values()])
        verdicts = [self._take(row) for row in self.rows]
        await self.repository.add_refunds(self.added)
        await self.repository.settle_many(list(self.changed.values()))
        await self.repository.refresh_facts({order["customer_id"] for order in self.changed.values()})
        return verdicts

    def _take(self, row: RefundRow) -> RefundVerdict:
        key = row.platform, row.order_external_id
        order = self.orders.get(key)
        if order is None:
            return RefundVerdict(None, "failed", (_NO_ORDER,))
        refunded_at = row.refunded_at or self.unit.now()
        amount, error = self._amount(row, order, refunded_at)
        if error is not None:
            return RefundVerdict(None, "failed", (error,))
        known = self.known.get((order["id"], row.external_id))
        if known is not None:
            same = known[1] == amount
            return RefundVerdict(known[0], "unchanged") if same else RefundVerdict(None, "failed", (_DIFFERS,))
        recorded = order["recorded_refund_amount"] + amount
        if recorded > order["paid_amount"]:
            return RefundVerdict(None, "failed", (_EXCEEDS,))
        return self._add(row, key, order, amount, refunded_at)

    def _add(self, row: RefundRow, key: Key, order: OrderValues, amount: int, refunded_at: datetime) -> RefundVerdict:
        refund_id = new_id()
        self.known[order["id"], row.external_id] = refund_id, amount
        self.added.append((refund_id, order["id"], row.external_id, amount, order["currency"], row.reason, refunded_at))
        after = rules.merge(order, {"recorded_refund_amount": order["recorded_refund_amount"] + amount})
        self.orders[key] = self.changed[key] = after
        self.tell(order, after, refund_id)
        return RefundVerdict(refund_id, "created")

    def _amount(self, row: RefundRow, order: Mapping[str, Any], refunded_at: datetime) -> tuple[int, FieldError | None]:
        """Return the amount in minor units, and what is wrong with the row."""
        if row.currency is not None and row.currency != order["currency"]:
            return 0, FieldError(
                "/currency",
                "currency_mismatch",
                f"The order is in {order['currency']}",
                f"订单货币为 {order['currency']}",
            )
        try:
            amount = to_minor(row.amount, order["currency"])
        except ValueError:
            return 0, _OUT_OF_RANGE
        if amount == 0:
            return 0, _OUT_OF_RANGE
        if not order["placed_at"] <= refunded_at <= self.unit.now() + SKEW:
            return 0, _IMPOSSIBLE
        return amount, None


_NO_ORDER = FieldError("/order_external_id", "unknown_order", "There is no order with this id", "没有此订单")
_DIFFERS = FieldError(
    "/external_id", "duplicate", "A refund with this id has another amount", "该退款编号已存在且金额不同"
)
_EXCEEDS = FieldError("/amount", "exceeds_paid", "More cannot be refunded than was paid", "退款总额不能超过已付金额")
_OUT_OF_RANGE = FieldError("/amount", "out_of_range", "The amount is out of range", "金额超出范围")
_IMPOSSIBLE = FieldError(
    "/refunded_at",
    "impossible_date",
    "This cannot be before the order was placed, nor in the future",
    "不能早于下单时间或晚于现在",
)
