"""When is a message newer, what follows from it, and what must be announced: pure rules.

Everything here works on the columns of an order as plain values, so the single and the bulk write share it.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

from crm_api.core.errors import Invalid
from crm_api.orders.models import OrderValues

RANK: Final = {
    "pending_payment": 0,
    "paid": 1,
    "shipped": 2,
    "completed": 3,
    "cancelled": 4,
    "refunded": 5,
}
"""How far an order has come: breaks the tie between messages of the same version and time."""

BOUGHT: Final = frozenset({"paid", "shipped", "completed"})
"""The statuses of a purchase."""

PAID: Final = BOUGHT | {"refunded"}
"""The statuses in which money came in."""

_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_EVIDENCE: Final = frozenset({"platform_version", "platform_updated_at"})


# -- which message is newer --------------------------------------------------------------------------------------------


def freshness(order: Mapping[str, Any]) -> tuple[int, datetime, int, int]:
    """Return the total order of an order's messages: version, then time, then status, then money paid back.

    What is missing counts as oldest, so a message without a version never overrules one with it.
    """
    version, changed = order["platform_version"], order["platform_updated_at"]
    return (
        -1 if version is None else version,
        changed or _NEVER,
        RANK[order["reported_status"]],
        order["reported_refund_amount"],
    )


def dated(order: Mapping[str, Any]) -> bool:
    """Tell whether a message says how new it is."""
    return order["platform_version"] is not None or order["platform_updated_at"] is not None


def judge(stored: Mapping[str, Any], message: Mapping[str, Any]) -> Literal["updated", "unchanged", "stale"]:
    """Tell what a message means to an order that is known already.

    Messages that carry neither version nor time are taken in the order they arrive, as long as the status does not go
    back.
    """
    ours, theirs = freshness(stored), freshness(message)
    if theirs < ours:
        return "stale"
    if theirs > ours:
        return "updated"
    if dated(message) or all(stored[name] == value for name, value in message.items()):
        return "unchanged"
    return "updated"


# -- what follows ------------------------------------------------------------------------------------------------------


def settle(order: OrderValues) -> OrderValues:
    """Set what follows from the platform's word and our refund records together; returns the same values."""
    paid = order["paid_amount"]
    refunded = min(paid, max(order["reported_refund_amount"], order["recorded_refund_amount"]))
    reported = order["reported_status"]
    order["refunded_amount"] = refunded
    order["status"] = "refunded" if reported in BOUGHT and 0 < paid <= refunded else reported
    order["paid_announced"] = order["paid_announced"] or order["status"] in PAID
    return order


def begin(message: OrderValues, order_id: UUID) -> OrderValues:
    """Return a new order's columns."""
    return settle({**EMPTY, **message, "id": order_id})


def merge(stored: Mapping[str, Any], message: OrderValues) -> OrderValues:
    """Return the columns after an accepted message; what it does not name stays."""
    return settle({**stored, **message})


EMPTY: Final[Mapping[str, Any]] = {
    "discount_amount": 0,
    "shipping_amount": 0,
    "tax_amount": 0,
    "paid_by_points_amount": 0,
    "paid_by_vouchers_amount": 0,
    "reported_refund_amount": 0,
    "recorded_refund_amount": 0,
    "paid_announced": False,
    "paid_at": None,
    "completed_at": None,
    "store_id": None,
    "staff_id": None,
    "channel": None,
    "buyer_note": None,
    "categories": [],
}


# -- what is announced -------------------------------------------------------------------------------------------------

Announcement = tuple[str, dict[str, Any]]


def announcements(
    before: Mapping[str, Any] | None, after: Mapping[str, Any], *, refund_id: UUID | None = None, touched: bool = False
) -> Iterator[Announcement]:
    """Yield the messages for a change, most telling ones only: an order first seen as paid is not also "created".

    Args:
        before: the order's columns, None for a new order.
        after: its columns now.
        refund_id: the refund record behind the change, if there is one.
        touched: something beside the columns changed (the lines).

    """
    about: dict[str, Any] = {"order_id": str(after["id"]), "customer_id": str(after["customer_id"])}
    if before is not None and before["customer_id"] != after["customer_id"]:
        about["previous_customer_id"] = str(before["customer_id"])
    if before is not None and before["paid_announced"] and after["paid_amount"] > before["paid_amount"]:
        about["payment"] = _payment(after)
    told = False
    if after["paid_announced"] and not (before and before["paid_announced"]):
        told = True
        yield "order.paid", about | _payment(after)
    elif after["status"] == "completed" and before is not None and before["status"] != "completed":
        told = True
        yield "order.completed", about | {"completed_at": plain(_completed_at(after))}
    paid_back = after["refunded_amount"] - (before["refunded_amount"] if before else 0)
    if paid_back > 0:
        told = True
        yield (
            "order.refunded",
            about
            | {
                "refund_id": plain(refund_id),
                "amount": paid_back,
                "currency": after["currency"],
                "paid_amount": after["paid_amount"],
                "refunded_amount": after["refunded_amount"],
            },
        )
    if after["status"] == "cancelled" and not (before and before["status"] == "cancelled"):
        told = True
        yield "order.cancelled", about
    if told:
        return
    if before is None:
        yield "order.created", about
    elif touched or any(before[name] != value for name, value in after.items() if name not in _EVIDENCE):
        yield "order.updated", about


def _payment(order: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "platform": order["platform"],
        "external_id": order["external_id"],
        "amount": order["paid_amount"],
        "currency": order["currency"],
        "placed_at": plain(order["placed_at"]),
        "paid_at": plain(order["paid_at"] or order["placed_at"]),
        "completed_at": plain(_completed_at(order)),
    }


def _completed_at(order: Mapping[str, Any]) -> Any:
    """Return when the buyer had it all, as near as is known; None while that is to come."""
    if order["status"] != "completed":
        return order["completed_at"]
    return order["completed_at"] or order["platform_updated_at"] or order["paid_at"] or order["placed_at"]


# -- what is refused, what is noted ------------------------------------------------------------------------------------


def currency_change(stored: Mapping[str, Any], message: Mapping[str, Any], pointer: str) -> Invalid | None:
    """Return the error for a message that would change an order's currency."""
    if stored["currency"] == message["currency"]:
        return None
    return Invalid.field(
        pointer,
        "currency_mismatch",
        f"The order is in {stored['currency']} and keeps its currency",
        f"订单货币为 {stored['currency']}，不可更改",
    )


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the columns that differ, as they were and as they are: for the audit log."""
    names = [name for name, value in after.items() if before.get(name) != value]
    return {name: plain(before.get(name)) for name in names}, {name: plain(after[name]) for name in names}


def told(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the audit log keeps of a new order."""
    return {name: plain(value) for name, value in values.items() if value and name != "paid_announced"}


def plain(value: Any) -> Any:
    """Return a column's value as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
