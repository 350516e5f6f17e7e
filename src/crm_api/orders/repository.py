"""Access to orders, their lines and refunds, and to purchase facts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import Field
from sqlalchemy import ARRAY, ColumnElement, Uuid, any_, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from crm_api.core.errors import NotFound
from crm_api.customers.repository import CUSTOMER
from crm_api.db.bulk import checks_planned_once, insert_rows, plan_for_arrays, update_rows
from crm_api.db.projections import (
    Projection,
    asc,
    at_least,
    below,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    items,
    many,
    money,
    one,
    ref,
)
from crm_api.db.repository import Repository
from crm_api.orders import statements
from crm_api.orders.models import PARTS, Order, OrderLine, OrderStatus, OrderValues, PurchaseFacts, Refund
from crm_api.orders.tables import customer_purchase_facts, order_lines, orders, refunds

ORDER_LINE = Projection(
    "OrderLine",
    table=order_lines,
    model=OrderLine,
    scope="orders:read",
    description="One position of an order.",
    fields={
        **columns("id", "position", "sku", "title", "quantity", "refunded_quantity", "category"),
        "unit_price": money("unit_price_amount"),
        "amount": money("amount"),
        "product_id": ref("product_id", "Product"),
    },
    relations={"product": one("Product", on=lambda p, c: c.c.id == p.c.product_id, description="What was bought.")},
    orders={"position": [asc("position")]},
    node=False,
)

REFUND = Projection(
    "Refund",
    table=refunds,
    model=Refund,
    scope="orders:read",
    description="Money paid back.",
    fields={
        **columns("id", "external_id", "reason", "refunded_at", "created_at"),
        "order_id": ref("order_id", "Order"),
        "amount": money("amount"),
    },
    orders={"newest": [desc("refunded_at")]},
    filters={"order_id": eq_ref("order_id", "Order")},
)

ORDER = Projection(
    "Order",
    table=orders,
    model=Order,
    scope="orders:read",
    description="One purchase, as its platform has it.",
    fields={
        **columns(
            "id",
            "platform",
            "external_id",
            "status",
            "placed_at",
            "paid_at",
            "completed_at",
            "platform_version",
            "platform_updated_at",
            "channel",
            "buyer_note",
            "version",
            "created_at",
            "updated_at",
        ),
        **{part: money(f"{part}_amount") for part in ("total", "discount", "shipping", "paid", "refunded", *PARTS)},
        "customer_id": ref("customer_id", "Customer"),
        "store_id": ref("store_id", "Store"),
        "staff_id": ref("staff_id", "Staff"),
        "lines": items(
            "OrderLine",
            on=lambda p, c: c.c.order_id == p.c.id,
            order=[asc("position")],
            maximum=500,
            description="All positions.",
        ),
        "refunds": items(
            "Refund", on=lambda p, c: c.c.order_id == p.c.id, order=[asc("refunded_at")], description="Money paid back."
        ),
    },
    relations={
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Who bought."),
        "store": one("Store", on=lambda p, c: c.c.id == p.c.store_id, description="Where it was sold."),
        "staff": one("Staff", on=lambda p, c: c.c.id == p.c.staff_id, description="Who sold it."),
    },
    orders={"placed_at_desc": [desc("placed_at")], "placed_at_asc": [asc("placed_at")], "newest": [desc("id")]},
    filters={
        "customer_id": eq_ref("customer_id", "Customer"),
        "status": eq("status", OrderStatus),
        "platform": eq("platform"),
        "external_id": eq("external_id", description="Exactly this id on its platform."),
        "store_id": eq_ref("store_id", "Store"),
        "placed_from": at_least("placed_at", description="Placed at this instant or later."),
        "placed_to": below("placed_at", description="Placed before this instant."),
    },
)

PURCHASE_FACTS = Projection(
    "PurchaseFacts",
    table=customer_purchase_facts,
    model=PurchaseFacts,
    scope="orders:read",
    description="What a customer's purchases add up to.",
    fields={
        **columns(
            "order_count",
            "paid_order_count",
            "first_order_at",
            "last_order_at",
            "other_currency_order_count",
            "median_gap_days",
            "favourite_categories",
            "next_expected_at",
            "updated_at",
        ),
        "gross_spend": money("gross_spend_amount"),
        "net_spend": money("net_spend_amount"),
        "average_order_value": money("average_order_amount"),
    },
    node=False,
    key="customer_id",
)

extend(
    CUSTOMER,
    fields={"purchases": one("PurchaseFacts", on=lambda p, c: c.c.customer_id == p.c.id)},
    model_fields={
        "purchases": (
            PurchaseFacts | None,
            Field(description="What the purchases add up to; null before the first. Takes `orders:read`."),
        )
    },
    relations={
        "orders": many("Order", on=lambda p, c: c.c.customer_id == p.c.id, description="Latest placed first."),
    },
)

_STORED = tuple(orders.c[name] for name in statements.STORED)
_LINE = tuple(column.name for column in order_lines.c if column.name not in {"tenant_id", "order_id"})
_SET = tuple(name for name in statements.STORED if name not in {"id", "version"})
"""The columns a message can change."""


class OrderRepository(Repository):
    """Orders, one at a time."""

    table = orders

    async def lock_by_key(self, platform: str, external_id: str) -> OrderValues | None:
        """Return the order with its platform's id, held against other writers, or None."""
        row = await self.unit.fetch_one(
            select(*_STORED)
            .where(self.mine(), orders.c.platform == platform, orders.c.external_id == external_id)
            .with_for_update(key_share=True)
        )
        return None if row is None else dict(row)

    async def lock(self, order_id: UUID) -> OrderValues:
        """Return an order's columns, held against other writers.

        Raises:
            NotFound: there is none.

        """
        row = await self.unit.fetch_one(select(*_STORED).where(self.by_id(order_id)).with_for_update(key_share=True))
        if row is None:
            raise NotFound
        return dict(row)

    async def id_by_key(self, platform: str, external_id: str) -> UUID | None:
        """Return the id of the order with its platform's id, or None."""
        found: UUID | None = await self.unit.fetch_value(
            select(orders.c.id).where(self.mine(), orders.c.platform == platform, orders.c.external_id == external_id)
        )
        return found

    async def add(self, values: Mapping[str, Any]) -> bool:
        """Insert an order; False when a rival was faster."""
        statement = insert(orders).on_conflict_do_nothing(index_elements=["tenant_id", "platform", "external_id"])
        return bool(await self.unit.execute(statement, {"tenant_id": self.unit.tenant_id, **values}))

    async def put(self, values: Mapping[str, Any]) -> None:
        """Write the columns a message can change."""
        await self.unit.execute(
            update(orders)
            .where(self.by_id(values["id"]))
            .values(
                **{name: values[name] for name in _SET},
                version=orders.c.version + 1,
                updated_at=func.now(),
            )
        )

    async def lines(self, order_id: UUID) -> list[dict[str, Any]]:
        """Return the lines in their order."""
        table = order_lines
        rows = await self.unit.fetch_all(
            select(table).where(self.mine(table), table.c.order_id == order_id).order_by(table.c.position)
        )
        return [dict(row) for row in rows]

    async def set_lines(self, order_id: UUID, lines: Iterable[Mapping[str, Any]]) -> None:
        """Replace all lines."""
        table = order_lines
        await self.unit.execute(delete(table).where(self.mine(table), table.c.order_id == order_id))
        await self.add_lines(order_id, lines)

    async def add_lines(self, order_id: UUID, lines: Iterable[Mapping[str, Any]]) -> None:
        """Insert lines of a new order."""
        await self.insert_many([{"order_id": order_id, **line} for line in lines], order_lines)

    async def refund(self, order_id: UUID, external_id: str) -> asyncpg.Record | None:
        """Return a refund by its outside id, or None."""
        return await self.unit.fetch_one(
            select(refunds).where(
                self.mine(refunds), refunds.c.order_id == order_id, refunds.c.external_id == external_id
            )
        )

    async def add_refund(self, values: Mapping[str, Any]) -> None:
        """Insert a refund."""
        await self.insert(values, refunds)

    async def refresh_facts(self, customer_ids: Iterable[UUID]) -> None:
        """Add up these customers' purchases anew, one writer after the other."""
        wanted = sorted(set(customer_ids))
        if wanted:
            connection, tenant_id = self.unit.connection, self.unit.tenant_id
            async with checks_planned_once(self.unit):
                await connection.execute(statements.LOCK_FACTS, tenant_id, wanted)
            await connection.execute(statements.REFRESH_FACTS, tenant_id, wanted)

    async def renew_facts(self, customer_ids: Iterable[UUID]) -> None:
        """Add up purchases anew where orders came or went; who has no order left has no facts."""
        wanted = sorted(set(customer_ids))
        facts = customer_purchase_facts
        found = await self.unit.fetch_all(
            select(orders.c.customer_id).where(self.mine(), orders.c.customer_id == any_(_ids(wanted))).distinct()
        )
        buyers = {row["customer_id"] for row in found}
        await self.refresh_facts(buyers)
        rest = [each for each in wanted if each not in buyers]
        await self.unit.execute(delete(facts).where(self.mine(facts), facts.c.customer_id == any_(_ids(rest))))


def _ids(ids: Sequence[UUID]) -> ColumnElement[Any]:
    return literal(list(ids), ARRAY(Uuid))


class BulkOrderRepository(OrderRepository):
    """Orders, thousands at a time."""

    async def begin(self) -> None:
        """Prepare the transaction for set-based work; a generic plan expects ten rows and loops."""
        await plan_for_arrays(self.unit)

    async def lock_many(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], OrderValues]:
        """Return the known ones among these orders, held against other writers, by platform and outside id."""
        by_platform: dict[str, list[str]] = {}
        for platform, external_id in sorted(keys):
            by_platform.setdefault(platform, []).append(external_id)
        found: dict[tuple[str, str], OrderValues] = {}
        for platform, external_ids in by_platform.items():
            rows = await self.unit.connection.fetch(statements.LOCK_MANY, self.unit.tenant_id, platform, external_ids)
            found |= {(platform, row["external_id"]): dict(row) for row in rows}
        return found

    async def add_many(self, rows: Sequence[OrderValues]) -> set[UUID]:
        """Insert orders, which must be sorted by key; returns the ids that were new."""
        if not rows:
            return set()
        async with checks_planned_once(self.unit):
            found = await self.unit.connection.fetch(statements.INSERT_MANY, self.unit.tenant_id, *_arrays(rows))
        return {row["id"] for row in found}

    async def lock_many_by_id(self, ids: Iterable[UUID]) -> list[OrderValues]:
        """Return orders, held against other writers; what is not there is left out."""
        rows = await self.unit.connection.fetch(statements.KEYS_OF, self.unit.tenant_id, list(ids))
        return list((await self.lock_many([(row["platform"], row["external_id"]) for row in rows])).values())

    async def remove_many(self, ids: Sequence[UUID]) -> None:
        """Delete locked orders with their lines and refunds."""
        if ids:
            async with checks_planned_once(self.unit):
                for statement in statements.REMOVE_MANY:
                    await self.unit.connection.execute(statement, self.unit.tenant_id, ids)

    async def settle_many(self, rows: Sequence[OrderValues]) -> None:
        """Write what refunds change of locked orders."""
        names = ("status", "refunded_amount", "recorded_refund_amount")
        await update_rows(self.unit, orders, names, [(row["id"], *(row[name] for name in names)) for row in rows])

    async def lines_of(self, order_ids: Sequence[UUID]) -> dict[UUID, list[dict[str, Any]]]:
        """Return the lines of these orders, in their order; those without any are not in it."""
        found: dict[UUID, list[dict[str, Any]]] = {}
        for row in await self.unit.connection.fetch(statements.LINES_OF, self.unit.tenant_id, order_ids):
            found.setdefault(row["order_id"], []).append(dict(row))
        return found

    async def set_lines_of(self, lines: Mapping[UUID, Sequence[Mapping[str, Any]]]) -> None:
        """Replace all lines of locked orders, and the categories that follow."""
        if not lines:
            return
        ids, connection = list(lines), self.unit.connection
        await connection.execute(statements.REMOVE_LINES, self.unit.tenant_id, ids)
        rows = [(order_id, *(line[name] for name in _LINE)) for order_id, each in lines.items() for line in each]
        await insert_rows(self.unit, order_lines, ("order_id", *_LINE), rows)
        await connection.execute(statements.SET_CATEGORIES, self.unit.tenant_id, ids)

    async def refunds_of(self, order_ids: Sequence[UUID]) -> dict[tuple[UUID, str], tuple[UUID, int]]:
        """Return (order, outside id) → (refund, amount) of these orders."""
        rows = await self.unit.connection.fetch(statements.REFUNDS_OF, self.unit.tenant_id, order_ids)
        return {(row["order_id"], row["external_id"]): (row["id"], row["amount"]) for row in rows}

    async def refunds_by_id(self, ids: Sequence[UUID]) -> dict[UUID, tuple[UUID, int]]:
        """Return refund → (order, amount)."""
        rows = await self.unit.connection.fetch(statements.REFUNDS_BY_ID, self.unit.tenant_id, ids)
        return {row["id"]: (row["order_id"], row["amount"]) for row in rows}

    async def add_refunds(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert refunds: (id, order, outside id, amount, currency, reason, refunded at)."""
        names = ("id", "order_id", "external_id", "amount", "currency", "reason", "refunded_at")
        await insert_rows(self.unit, refunds, names, rows)

    async def remove_refunds(self, ids: Sequence[UUID]) -> None:
        """Delete refunds of locked orders."""
        await self.unit.connection.execute(statements.REMOVE_REFUNDS, self.unit.tenant_id, ids)

    async def put_many(self, rows: Sequence[OrderValues]) -> None:
        """Write locked orders."""
        if rows:
            connection = self.unit.connection
            await connection.execute(statements.HASH_JOINS)
            await connection.execute(statements.UPDATE_MANY, self.unit.tenant_id, *_arrays(rows))
            await connection.execute(statements.ANY_JOINS)

    async def refresh_facts(self, customer_ids: Iterable[UUID]) -> None:
        """Add up these customers' purchases anew, set-based."""
        await self.unit.connection.execute(statements.HASH_JOINS)
        await super().refresh_facts(customer_ids)
        await self.unit.connection.execute(statements.ANY_JOINS)


def _arrays(rows: Sequence[OrderValues]) -> list[list[Any]]:
    return [[row[name] for row in rows] for name in statements.BULK]
