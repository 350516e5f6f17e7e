"""Access to interactions, and what lower domains add to the timeline."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, func, not_, select

from crm_api.accounts.repository import STAFF, STORE
from crm_api.core.errors import Invalid
from crm_api.core.paging import PageRequest
from crm_api.customers.repository import CUSTOMER
from crm_api.customers.tables import customers
from crm_api.db import timeline
from crm_api.db.bulk import insert_rows
from crm_api.db.fields import FilterBuild
from crm_api.db.projections import (
    Filter,
    FilterValue,
    Projection,
    at_least,
    below,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    many,
    one,
    ref,
)
from crm_api.db.repository import Repository
from crm_api.db.timeline import money_json
from crm_api.db.uow import UnitOfWork
from crm_api.interactions.models import Channel, Direction, Interaction
from crm_api.interactions.tables import interactions
from crm_api.orders.repository import ORDER
from crm_api.orders.tables import orders, refunds

_NEWEST = {"newest": [desc("occurred_at")], "last_logged": [desc("id")]}


def _given(name: str) -> FilterBuild:
    """Return what keeps rows with, or without, some text in a column."""

    def build(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
        # An erasure leaves nothing, an update may leave an empty text.
        said: ColumnElement[bool] = func.coalesce(t.c[name], "") != ""
        return said if v.variant else not_(said)

    return build


INTERACTION = Projection(
    "Interaction",
    table=interactions,
    model=Interaction,
    scope="interactions:read",
    description="Something that was said or done between the shop and a customer.",
    fields={
        **columns(
            "id",
            "channel",
            "direction",
            "subject",
            "body",
            "outcome",
            "problem",
            "solution",
            "next_step",
            "duration_seconds",
            "attachments",
            "occurred_at",
            "version",
            "created_at",
            "updated_at",
        ),
        "customer_id": ref("customer_id", "Customer"),
        "staff_id": ref("staff_id", "Staff"),
        "store_id": ref("store_id", "Store"),
        "order_id": ref("order_id", "Order"),
    },
    relations={
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="With whom."),
        "staff": one("Staff", on=lambda p, c: c.c.id == p.c.staff_id, description="Who spoke for the shop."),
        "store": one("Store", on=lambda p, c: c.c.id == p.c.store_id, description="Where."),
        "order": one("Order", on=lambda p, c: c.c.id == p.c.order_id, description="The order it was about."),
    },
    orders=_NEWEST,
    filters={
        "customer_id": eq_ref("customer_id", "Customer"),
        "channel": eq("channel", Channel),
        "direction": eq("direction", Direction),
        "staff_id": eq_ref("staff_id", "Staff"),
        "store_id": eq_ref("store_id", "Store"),
        "order_id": eq_ref("order_id", "Order"),
        "has_problem": Filter(
            bool, _given("problem"), variant=bool, description="Only where the customer raised a problem, or none."
        ),
        "has_next_step": Filter(
            bool, _given("next_step"), variant=bool, description="Only where the shop promised something, or nothing."
        ),
        "occurred_after": at_least("occurred_at", description="From this instant on."),
        "occurred_before": below("occurred_at", description="Before this instant."),
    },
)

extend(
    CUSTOMER,
    relations={
        "interactions": many(
            "Interaction",
            on=lambda p, c: c.c.customer_id == p.c.id,
            description="What was said and done, newest first.",
        )
    },
)
extend(
    ORDER,
    relations={
        "interactions": many(
            "Interaction", on=lambda p, c: c.c.order_id == p.c.id, description="What was said about the order."
        )
    },
)

extend(
    STAFF,
    relations={
        "interactions": many(
            "Interaction", on=lambda p, c: c.c.staff_id == p.c.id, description="What they said and did, newest first."
        )
    },
)
extend(
    STORE,
    relations={
        "interactions": many(
            "Interaction", on=lambda p, c: c.c.store_id == p.c.id, description="What was said there, newest first."
        )
    },
)

timeline.register(
    timeline.Source(
        kind="customer_created",
        scope="customers:read",
        rows=customers,
        tenant=customers.c.tenant_id,
        customer=customers.c.id,
        at=customers.c.created_at,
        id=customers.c.id,
        title=customers.c.name,
        data={"source": customers.c.source},
    )
)
timeline.register(
    timeline.Source(
        kind="interaction",
        scope="interactions:read",
        rows=interactions,
        tenant=interactions.c.tenant_id,
        customer=interactions.c.customer_id,
        at=interactions.c.occurred_at,
        id=interactions.c.id,
        title=interactions.c.subject,
        data={
            name: interactions.c[name]
            for name in ("channel", "direction", "staff_id", "store_id", "order_id", "outcome", "next_step")
        },
    )
)
timeline.register(
    timeline.Source(
        kind="order",
        scope="orders:read",
        rows=orders,
        tenant=orders.c.tenant_id,
        customer=orders.c.customer_id,
        at=orders.c.placed_at,
        id=orders.c.id,
        title=orders.c.external_id,
        data={
            **{name: orders.c[name] for name in ("platform", "external_id", "status", "store_id", "staff_id")},
            "total": money_json(orders.c.total_amount, orders.c.currency),
        },
    )
)
timeline.register(
    timeline.Source(
        kind="refund",
        scope="orders:read",
        rows=refunds.join(orders, (orders.c.tenant_id == refunds.c.tenant_id) & (orders.c.id == refunds.c.order_id)),
        tenant=orders.c.tenant_id,
        customer=orders.c.customer_id,
        at=refunds.c.refunded_at,
        id=refunds.c.id,
        title=refunds.c.reason,
        data={
            "order_id": refunds.c.order_id,
            "external_id": refunds.c.external_id,
            "amount": money_json(refunds.c.amount, refunds.c.currency),
        },
    )
)


async def check_order(unit: UnitOfWork, order_id: UUID | None, customer_id: UUID) -> None:
    """Raise Invalid when the order is another customer's, or when there is no such order."""
    if order_id is None:
        return
    statement = select(orders.c.customer_id).where(orders.c.tenant_id == unit.tenant_id, orders.c.id == order_id)
    owner = await unit.fetch_value(statement)
    if owner is None:
        raise Invalid.field("/order_id", "unknown_reference", "There is no such order", "没有此订单")
    if owner != customer_id:
        raise Invalid.field("/order_id", "other_customer", "This order is another customer's", "该订单属于其他客户")


class InteractionRepository(Repository):
    """Interactions of the tenant."""

    table = interactions

    async def check_order(self, order_id: UUID | None, customer_id: UUID) -> None:
        """Raise Invalid when the order is another customer's, or when there is no such order."""
        await check_order(self.unit, order_id, customer_id)

    async def timeline(
        self,
        customer_id: UUID,
        page: PageRequest,
        *,
        only: Sequence[str] | None = None,
        ids: Sequence[UUID] | None = None,
    ) -> timeline.Feed | None:
        """Return one page of the customer's timeline, or None when there is no such customer."""
        return await timeline.read_timeline(self.unit, CUSTOMER, customer_id, page, only=only, ids=ids)

    async def known(self, ids: Sequence[UUID]) -> set[UUID]:
        """Return which of these interactions there are."""
        rows = await self.unit.connection.fetch(_KNOWN, self.unit.tenant_id, ids)
        return {row["id"] for row in rows}

    async def add_many(self, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
        """Insert interactions."""
        await insert_rows(self.unit, interactions, columns, rows)

    async def remove_many(self, ids: Sequence[UUID]) -> dict[UUID, UUID]:
        """Delete interactions that nothing refers to; returns whose they were."""
        rows = await self.unit.connection.fetch(_REMOVE, self.unit.tenant_id, ids)
        return {row["id"]: row["customer_id"] for row in rows}


_KNOWN = "SELECT id FROM interactions WHERE tenant_id = $1 AND id = ANY ($2::uuid[])"
_REMOVE = "DELETE FROM interactions WHERE tenant_id = $1 AND id = ANY ($2::uuid[]) RETURNING id, customer_id"
