"""Access to sources and deliveries."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, String, Uuid, any_, bindparam, cast, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from crm_api.core.ids import new_id
from crm_api.customers.tables import customer_identities, customers
from crm_api.db.compile import compile_statement
from crm_api.db.projections import Projection, columns, desc, eq, eq_ref, one, ref, sql
from crm_api.db.repository import Repository
from crm_api.integrations.models import Delivery, DeliveryState, Platform, Source
from crm_api.integrations.tables import inbound_deliveries, inbound_sources
from crm_api.loyalty.tables import loyalty_programmes, loyalty_wallets

SOURCE = Projection(
    "Source",
    table=inbound_sources,
    model=Source,
    scope="integrations:read",
    description="Where webhooks come from.",
    fields={
        **columns("id", "name", "platform", "active", "version", "created_at", "updated_at"),
        "inbound_path": sql(lambda t: literal("/v1/inbound/") + cast(t.c.id, String)),
    },
    filters={"platform": eq("platform", Platform), "active": eq("active", bool)},
)

DELIVERY = Projection(
    "Delivery",
    table=inbound_deliveries,
    model=Delivery,
    scope="integrations:read",
    description="One webhook as it arrived, and what became of it.",
    fields={
        **columns("id", "topic", "state", "attempts", "repeats", "result", "error", "received_at", "processed_at"),
        "source_id": ref("source_id", "Source"),
    },
    relations={"source": one("Source", on=lambda p, c: c.c.id == p.c.source_id, description="Who sent it.")},
    orders={"newest": [desc("id")]},
    filters={"state": eq("state", DeliveryState), "source_id": eq_ref("source_id", "Source"), "topic": eq("topic")},
)


class SourceRepository(Repository):
    """Sources."""

    table = inbound_sources


class MemberRepository(Repository):
    """Who a platform's members are here."""

    table = customer_identities

    async def customer_of(self, platform: str, external_id: str) -> UUID | None:
        """Return the living customer with an outside identity, None when there is none."""
        i, c = customer_identities, customers
        found: UUID | None = await self.unit.fetch_value(
            select(c.c.id)
            .join_from(i, c, (c.c.tenant_id == i.c.tenant_id) & (c.c.id == i.c.customer_id))
            .where(self.mine(i), i.c.platform == platform, i.c.external_id == external_id, c.c.deleted_at.is_(None))
        )
        return found

    async def identities(self, platform: str, customer_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
        """Return customer → their outside ids on a platform."""
        i = customer_identities
        wanted = any_(bindparam(None, list(customer_ids), type_=ARRAY(Uuid())))
        rows = await self.unit.fetch_all(
            select(i.c.customer_id, i.c.external_id)
            .where(self.mine(i), i.c.platform == platform, i.c.customer_id == wanted)
            .order_by(i.c.external_id)
        )
        found: dict[UUID, list[str]] = {}
        for row in rows:
            found.setdefault(row["customer_id"], []).append(row["external_id"])
        return found

    async def balance(self, customer_id: UUID) -> int:
        """Return the points a customer can spend in the default programme; 0 without any."""
        w, p = loyalty_wallets, loyalty_programmes
        found = await self.unit.fetch_value(
            select(w.c.available)
            .join_from(w, p, (p.c.tenant_id == w.c.tenant_id) & (p.c.id == w.c.programme_id))
            .where(self.mine(w), w.c.customer_id == customer_id, w.c.kind == "spendable", p.c.is_default)
        )
        return found or 0


class DeliveryRepository(Repository):
    """Deliveries."""

    table = inbound_deliveries

    async def store(self, row: dict[str, Any]) -> tuple[UUID, bool]:
        """Store a delivery once; returns its id and whether it was new."""
        table = self.table
        delivery_id = new_id()
        statement = (
            insert(table)
            .values(tenant_id=self.unit.tenant_id, id=delivery_id, **row)
            .on_conflict_do_update(
                index_elements=["tenant_id", "source_id", "dedupe_key"], set_={"repeats": table.c.repeats + 1}
            )
            .returning(table.c.id)
        )
        stored: UUID = await self.unit.fetch_value(statement)
        return stored, stored == delivery_id

    async def with_source(self, delivery_id: UUID) -> Any:
        """Return the delivery and its source's platform, locked against other workers; None when it is gone."""
        table, source = self.table, inbound_sources
        return await self.unit.fetch_one(
            select(table, source.c.platform)
            .join(source, (source.c.tenant_id == table.c.tenant_id) & (source.c.id == table.c.source_id))
            .where(self.by_id(delivery_id))
            .with_for_update(of=table, key_share=True)
        )

    async def finish(self, delivery_id: UUID, state: str, *, result: Any = None, error: str | None = None) -> None:
        """Note what became of it."""
        table = self.table
        await self.unit.execute(
            update(table)
            .where(self.by_id(delivery_id))
            .values(
                state=state,
                result=result,
                error=error,
                attempts=table.c.attempts + 1,
                processed_at=func.now(),
            )
        )

    async def reset(self, delivery_id: UUID) -> None:
        """Put it back to be processed again."""
        await self.unit.execute(update(self.table).where(self.by_id(delivery_id)).values(state="received", error=None))


async def find_source(connection: Any, source_id: UUID) -> Any:
    """Return tenant, platform and secret of an active source, on a system connection: no tenant is known yet."""
    table = inbound_sources
    sql_text, values = compile_statement(
        select(table.c.tenant_id, table.c.id, table.c.platform, table.c.secret).where(
            table.c.id == source_id, table.c.active
        )
    )
    return await connection.fetchrow(sql_text, *values)
