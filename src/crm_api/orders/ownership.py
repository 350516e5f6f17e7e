"""What becomes of orders in a merge, an export and an erasure."""

from crm_api.db.ownership import Merged, MergeHook, Owned, on_merge, own
from crm_api.db.uow import UnitOfWork
from crm_api.orders.repository import OrderRepository
from crm_api.orders.tables import customer_purchase_facts, order_lines, orders, refunds

own(
    Owned(orders, erase="blank", blank={"buyer_note": None}),
    Owned(order_lines, through=("order_id", orders)),
    Owned(refunds, through=("order_id", orders), erase="blank", blank={"reason": None}),
    Owned(customer_purchase_facts, on_merge="stay", why="made anew from the orders"),
)


async def _add_up(unit: UnitOfWork, merged: Merged) -> None:
    await OrderRepository(unit).renew_facts(merged.sides)


on_merge(MergeHook("orders", merged=_add_up, undone=_add_up))
