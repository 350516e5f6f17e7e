"""Access to what the ledger knows of orders."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from sqlalchemy import and_, any_, func, select
from sqlalchemy.dialects.postgresql import insert

from crm_api.customers.tables import customers
from crm_api.db.repository import Repository
from crm_api.loyalty.accruals import Accrual
from crm_api.loyalty.repository.statements import ACCRUAL_ROW, OWNER, arrays, derived_rows, uuids
from crm_api.loyalty.tables import loyalty_accruals
from crm_api.orders.tables import orders


class AccrualRepository(Repository):
    """What is known of the orders of one tenant."""

    table = loyalty_accruals

    async def open_accruals(self, customer_of: Mapping[UUID, UUID]) -> dict[UUID, Accrual]:
        """Lock what is known of orders, beginning it for new ones; orders of customers that are not there are left out.

        Args:
            customer_of: order → customer.

        """
        wanted = sorted(customer_of)
        t, c = loyalty_accruals, customers
        names = ("order_id", "customer_id")
        rows = derived_rows(t, names, "new")
        # News may be older than a merge: then it names who the buyer was.
        buyer = func.coalesce(c.c.merged_into_id, c.c.id)
        known = rows.join(c, and_(c.c.tenant_id == OWNER, c.c.id == rows.c.customer_id))
        made = select(OWNER, rows.c.order_id, buyer).select_from(known).order_by(rows.c.order_id)
        await self.unit.execute(
            insert(t).from_select(["tenant_id", *names], made).on_conflict_do_nothing(),
            {
                OWNER.key: self.unit.tenant_id,
                **arrays("new", names, [(order_id, customer_of[order_id]) for order_id in wanted]),
            },
        )
        found = await self.unit.fetch_all(
            select(*(t.c[name] for name in ACCRUAL_ROW))
            .where(self.mine(), t.c.order_id == any_(uuids(wanted)))
            .order_by(t.c.order_id)
            .with_for_update(key_share=True)
        )
        return {row["order_id"]: Accrual(**dict(row)) for row in found}

    async def buyers(self, order_ids: Iterable[UUID]) -> dict[UUID, UUID]:
        """Return whose these orders are now; those of nobody who is there any more are left out."""
        o, c = orders, customers
        rows = await self.unit.fetch_all(
            select(o.c.id, o.c.customer_id)
            .join_from(o, c, and_(c.c.tenant_id == o.c.tenant_id, c.c.id == o.c.customer_id))
            .where(self.mine(o), o.c.id == any_(uuids(sorted(order_ids))), c.c.deleted_at.is_(None))
        )
        return {row["id"]: row["customer_id"] for row in rows}
