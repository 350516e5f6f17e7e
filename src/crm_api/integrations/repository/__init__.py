"""Access to sources and deliveries."""

from typing import Any
from uuid import UUID

from sqlalchemy import String, cast, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from crm_api.core.ids import new_id
from crm_api.db.compile import compile_statement
from crm_api.db.projections import Projection, columns, desc, eq, eq_ref, one, ref, sql
from crm_api.db.repository import Repository
from crm_api.integrations.models import Delivery, DeliveryState, Platform, Source
from crm_api.integrations.tables import inbound_deliveries, inbound_sources

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
