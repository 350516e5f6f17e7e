"""Access to cases, their log and what belongs to them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import any_, delete, select
from sqlalchemy.dialects.postgresql import insert

from crm_api.catalogue.tables import products
from crm_api.complaints.models import Case
from crm_api.complaints.repository.assigning import (
    COMPLAINT_QUEUE_ENTRY as COMPLAINT_QUEUE_ENTRY,
)
from crm_api.complaints.repository.clock_projections import (
    CLOCK_POLICY as CLOCK_POLICY,
)
from crm_api.complaints.repository.clock_projections import (
    COMPLAINT_CLOCK as COMPLAINT_CLOCK,
)
from crm_api.complaints.repository.clock_projections import (
    COMPLAINT_CLOCK_ALERT as COMPLAINT_CLOCK_ALERT,
)
from crm_api.complaints.repository.projections import (
    COMPLAINT as COMPLAINT,
)
from crm_api.complaints.repository.projections import (
    COMPLAINT_CAUSE as COMPLAINT_CAUSE,
)
from crm_api.complaints.repository.projections import (
    COMPLAINT_EVENT as COMPLAINT_EVENT,
)
from crm_api.complaints.repository.projections import (
    COMPLAINT_MESSAGE as COMPLAINT_MESSAGE,
)
from crm_api.complaints.repository.projections import (
    COMPLAINT_SETTINGS as COMPLAINT_SETTINGS,
)
from crm_api.complaints.repository.projections import (
    family as family,
)
from crm_api.complaints.repository.projections import (
    is_open as is_open,
)
from crm_api.complaints.rules import Event
from crm_api.complaints.tables import (
    complaint_events,
    complaint_interactions,
    complaint_orders,
    complaint_products,
    complaints,
)
from crm_api.core.errors import FieldError, Invalid, NotFound, PreconditionFailed
from crm_api.core.ids import new_id
from crm_api.db.repository import Repository
from crm_api.orders.tables import orders

PARTS: Final = ("order_ids", "products")
"""Fields of a case that lie in tables of their own."""


class ComplaintRepository(Repository):
    """Complaints of the tenant."""

    table = complaints

    async def add(self, complaint_id: UUID, case: Case) -> UUID | None:
        """Insert a case; returns the id of the one that has its ``source_ref`` already, and then inserts nothing."""
        statement = (
            insert(complaints)
            .on_conflict_do_nothing(index_elements=["tenant_id", "source_ref"])
            .returning(complaints.c.id)
        )
        row = {"tenant_id": self.unit.tenant_id, "id": complaint_id, **case.model_dump(exclude=set(PARTS))}
        if await self.unit.fetch_value(statement, row) is not None:
            await self._set_orders(complaint_id, case)
            await self._set_products(complaint_id, case)
            return None
        return None if case.source_ref is None else await self.by_source(case.source_ref)

    async def by_source(self, source_ref: str) -> UUID | None:
        """Return the case with this ``source_ref``, if there is one."""
        known: UUID | None = await self.unit.fetch_value(
            select(complaints.c.id).where(self.mine(), complaints.c.source_ref == source_ref)
        )
        return known

    async def lock(self, complaint_id: UUID, *, expected_version: int | None = None) -> Case:
        """Return the case and hold it against other writers.

        Raises:
            NotFound: there is none.
            PreconditionFailed: its version is not the expected one.

        """
        case = (await self.lock_many([complaint_id])).get(complaint_id)
        if case is None:
            raise NotFound
        if expected_version is not None and case.version != expected_version:
            raise PreconditionFailed
        return case

    async def lock_many(self, ids: Iterable[UUID]) -> dict[UUID, Case]:
        """Return those of the cases that there are, all held in the order of their ids: rivals cannot deadlock."""
        rows = await self.unit.fetch_all(
            select(complaints)
            .where(self.mine(), complaints.c.id == any_(list(ids)))  # type: ignore[arg-type]
            .order_by(complaints.c.id)
            .with_for_update(key_share=True)
        )
        # In a statement of its own: one that had to wait for a lock would show parts as they were before.
        parts = await self._parts([row["id"] for row in rows])
        return {row["id"]: case_of(row, **parts[row["id"]]) for row in rows}

    async def case(self, complaint_id: UUID) -> Case:
        """Return a case as it stands.

        Raises:
            NotFound: there is none.

        """
        row = await self.get(complaint_id)
        return case_of(row, **(await self._parts([row["id"]]))[row["id"]])

    async def _parts(self, ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
        rows = await self.unit.connection.fetch(_PARTS, self.unit.tenant_id, ids)
        return {row["id"]: {name: row[name] for name in PARTS} for row in rows}

    async def kin(self, complaint_id: UUID) -> tuple[UUID, ...]:
        """Return the case and those it was merged into, the last of them at the end.

        They may be others by the time they are locked: look again then.
        """
        rows = await self.unit.connection.fetch(_KIN, self.unit.tenant_id, complaint_id)
        return tuple(row["id"] for row in rows)

    async def lock_kin(self, complaint_id: UUID) -> tuple[tuple[UUID, ...], dict[UUID, Case]]:
        """Hold a case and all it was merged into, in the order of their ids; returns `kin` and the cases.

        Whoever writes to a case that may be a duplicate holds them so: its clocks move those of the last of them.

        Raises:
            NotFound: there is no such case.

        """
        kin = await self.kin(complaint_id)
        if not kin:
            raise NotFound
        held = await self.lock_many(kin)
        # Somebody may have merged it, or taken one of them out, before they were held.
        while _chain(complaint_id, held) != kin:
            kin = await self.kin(complaint_id)
            held = await self.lock_many(kin)
        return kin, held

    async def members(self, complaint_id: UUID) -> list[UUID]:
        """Return the case and all that were merged into it, at any depth."""
        found: list[UUID] = await self.unit.connection.fetchval(_FAMILY, self.unit.tenant_id, complaint_id)
        return found

    async def open_follow_on(self, complaint_id: UUID) -> UUID | None:
        """Return a case that takes up this one again and still waits for its resolution, if there is one."""
        found: UUID | None = await self.unit.fetch_value(
            select(complaints.c.id)
            .where(self.mine(), complaints.c.reopens_id == complaint_id, is_open(complaints))
            .order_by(complaints.c.id)
            .limit(1)
        )
        return found

    async def to_close(self, before: datetime, limit: int) -> list[UUID]:
        """Return cases resolved before this moment that have all they need to be closed, the oldest first."""
        rows = await self.unit.connection.fetch(_TO_CLOSE, self.unit.tenant_id, before, limit)
        return [row["id"] for row in rows]

    async def append(self, complaint_id: UUID, event: Event) -> None:
        """Write an event; its number is unique for the complaint."""
        actor = self.unit.actor
        await self.insert(
            {
                "id": new_id(),
                "complaint_id": complaint_id,
                "number": event.number,
                "at": event.at,
                "actor_kind": actor.kind,
                "actor_id": actor.id,
                "action": event.action,
                "from_state": event.source,
                "to_state": event.target,
                "note": event.note,
                "data": event.data,
            },
            complaint_events,
        )

    async def become(self, complaint_id: UUID, before: Case, after: Case) -> None:
        """Write what an event changed."""
        without = {"version", *PARTS}
        old, new = before.model_dump(exclude=without), after.model_dump(exclude=without)
        await self.change(complaint_id, {name: value for name, value in new.items() if value != old[name]})
        if before.order_ids != after.order_ids:
            await self._clear(complaint_id, complaint_orders)
            await self._set_orders(complaint_id, after)
        if before.products != after.products:
            await self._clear(complaint_id, complaint_products)
            await self._set_products(complaint_id, after)

    async def _clear(self, complaint_id: UUID, table: Any) -> None:
        await self.unit.execute(delete(table).where(self.mine(table), table.c.complaint_id == complaint_id))

    async def _set_orders(self, complaint_id: UUID, case: Case) -> None:
        await self.insert_many(
            [
                {"complaint_id": complaint_id, "order_id": order_id, "position": position}
                for position, order_id in enumerate(case.order_ids, 1)
            ],
            complaint_orders,
        )

    async def _set_products(self, complaint_id: UUID, case: Case) -> None:
        await self.insert_many(
            [
                {"id": new_id(), "complaint_id": complaint_id, "position": position, **each.model_dump()}
                for position, each in enumerate(case.products, 1)
            ],
            complaint_products,
        )

    async def events(self, complaint_id: UUID) -> list[Event]:
        """Return all events of a complaint, oldest first."""
        e = complaint_events
        rows = await self.unit.fetch_all(
            select(e).where(self.mine(e), e.c.complaint_id == complaint_id).order_by(e.c.number)
        )
        return [
            Event(row["number"], row["at"], row["action"], row["from_state"], row["to_state"], row["data"], row["note"])
            for row in rows
        ]

    async def check_orders(self, named: Mapping[str, UUID], customer_id: UUID) -> None:
        """Raise Invalid for orders that there are not, or that are another customer's.

        Args:
            named: JSON pointer → order.
            customer_id: whose they must be.

        """
        if not named:
            return
        wanted = list(set(named.values()))
        statement = select(orders.c.id, orders.c.customer_id).where(
            orders.c.tenant_id == self.unit.tenant_id,
            orders.c.id == any_(wanted),  # type: ignore[arg-type]
        )
        owners = {row["id"]: row["customer_id"] for row in await self.unit.fetch_all(statement)}
        errors = []
        for pointer, order_id in named.items():
            if order_id not in owners:
                errors.append(FieldError(pointer, "unknown_reference", "There is no such order", "没有此订单"))
            elif owners[order_id] != customer_id:
                errors.append(
                    FieldError(pointer, "other_customer", "This order is another customer's", "该订单属于其他客户")
                )
        if errors:
            raise Invalid(errors=errors)

    async def known_products(self, ids: Iterable[UUID], skus: Iterable[str]) -> list[tuple[UUID, str]]:
        """Return id and SKU of the products with one of these ids or SKUs."""
        mine = products.c.tenant_id == self.unit.tenant_id
        by_id, by_sku = list(set(ids)), list(set(skus))
        statement = select(products.c.id, products.c.sku).where(
            mine,
            (products.c.id == any_(by_id)) | (products.c.sku == any_(by_sku)),  # type: ignore[arg-type]
        )
        return [(row["id"], row["sku"]) for row in await self.unit.fetch_all(statement)]

    async def link(self, complaint_id: UUID, interaction_id: UUID) -> bool:
        """Link an interaction; returns whether that was new."""
        row = {
            "tenant_id": self.unit.tenant_id,
            "complaint_id": complaint_id,
            "interaction_id": interaction_id,
        }
        return bool(await self.unit.execute(insert(complaint_interactions).on_conflict_do_nothing(), row))

    async def unlink(self, complaint_id: UUID, interaction_id: UUID) -> bool:
        """Unlink an interaction; returns whether it was linked."""
        link = complaint_interactions
        return bool(
            await self.unit.execute(
                delete(link).where(
                    self.mine(link), link.c.complaint_id == complaint_id, link.c.interaction_id == interaction_id
                )
            )
        )


def _chain(complaint_id: UUID, held: Mapping[UUID, Case]) -> tuple[UUID, ...]:
    """Return the case and those it was merged into, as far as they are held."""
    chain = [complaint_id]
    while (above := held[chain[-1]].merged_into_id) is not None:
        chain.append(above)
        if above not in held:
            break
    return tuple(chain)


def case_of(row: Any, *, order_ids: Sequence[UUID] = (), products: Sequence[Any] = ()) -> Case:
    """Return what a row of ``complaints`` and the rows of its parts say of the case."""
    own = {name: row[name] for name in Case.model_fields if name not in PARTS}
    return Case.model_validate({**own, "order_ids": list(order_ids), "products": list(products)})


_PARTS = """
SELECT k.id,
  ARRAY(
    SELECT o.order_id FROM complaint_orders o WHERE o.tenant_id = $1 AND o.complaint_id = k.id ORDER BY o.position
  ) AS order_ids,
  (
    SELECT coalesce(
      jsonb_agg(
        jsonb_build_object('product_id', p.product_id, 'sku', p.sku, 'batch', p.batch, 'quantity', p.quantity)
        ORDER BY p.position
      ), '[]')
    FROM complaint_products p WHERE p.tenant_id = $1 AND p.complaint_id = k.id
  ) AS products
FROM unnest($2::uuid[]) AS k (id)
"""

_KIN = """
WITH RECURSIVE kin (id, merged_into_id, step) AS (
  SELECT id, merged_into_id, 0 FROM complaints WHERE tenant_id = $1 AND id = $2
  UNION ALL
  SELECT k.id, k.merged_into_id, kin.step + 1 FROM complaints k JOIN kin ON k.id = kin.merged_into_id
  WHERE k.tenant_id = $1
)
SELECT id FROM kin ORDER BY step
"""

_FAMILY = "SELECT crm_complaint_family($1, $2)"

_TO_CLOSE = """
SELECT id FROM complaints
WHERE tenant_id = $1 AND state = 'resolved' AND resolved_at <= $2
  AND decision_told_at IS NOT NULL AND (severity IN ('S3', 'S4') OR root_cause IS NOT NULL)
ORDER BY resolved_at, id LIMIT $3
"""


# Last, because it extends what is declared above.
from crm_api.complaints.repository import assigning, clocks  # noqa: E402, F401
