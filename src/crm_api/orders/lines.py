"""An order's lines as rows: linked to the catalogue, compared, and as plain values for a journal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from crm_api.catalogue.models import KnownProduct
from crm_api.core.ids import new_id
from crm_api.orders.messages import line_amount
from crm_api.orders.models import OrderLineInput

Line = Mapping[str, Any]

_TOLD: Final = (
    "sku",
    "title",
    "quantity",
    "refunded_quantity",
    "unit_price_amount",
    "amount",
    "currency",
    "category",
)
_COMPARED: Final = (*_TOLD, "product_id")


def line_rows(lines: Sequence[OrderLineInput], known: Mapping[str, KnownProduct]) -> list[dict[str, Any]]:
    """Return the rows of an order's positions.

    Args:
        lines: as the message has them.
        known: SKU → product; a line of one takes its category when it names none.

    """
    rows = []
    for position, line in enumerate(lines, 1):
        product = known.get(line.sku or "")
        rows.append(
            {
                "id": new_id(),
                "position": position,
                "sku": line.sku,
                "title": line.title,
                "quantity": line.quantity,
                "refunded_quantity": line.refunded_quantity,
                "unit_price_amount": line.unit_price.amount,
                "amount": line_amount(line),
                "currency": line.unit_price.currency,
                "product_id": product.id if product else None,
                "category": line.category or (product.category if product else None),
            }
        )
    return rows


def categories_of(rows: Iterable[Line]) -> list[str]:
    """Return the lines' categories, each once, in order."""
    return sorted({row["category"] for row in rows if row["category"]})


def are_same(known: Iterable[Line], given: Iterable[Line]) -> bool:
    """Tell whether lines say the same in the same order."""
    return [[row[name] for name in _COMPARED] for row in known] == [[row[name] for name in _COMPARED] for row in given]


def told(rows: Iterable[Line]) -> list[dict[str, Any]]:
    """Return lines as plain values; the link to the catalogue follows from the SKU."""
    return [{name: row[name] for name in _TOLD} for row in rows]


def restored(lines: Sequence[Line], known: Mapping[str, KnownProduct]) -> list[dict[str, Any]]:
    """Return the rows of lines that were told."""
    rows = []
    for position, line in enumerate(lines, 1):
        product = known.get(line["sku"] or "")
        rows.append({**line, "id": new_id(), "position": position, "product_id": product.id if product else None})
    return rows
