"""What can be done with interactions, and the timeline they are part of."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from crm_api.core.batch import BatchMode, Done, Item, Result
from crm_api.core.errors import FieldError, Invalid, NotFound
from crm_api.core.ids import new_id
from crm_api.core.paging import PageRequest
from crm_api.core.undo import DONE, Entry, Undone
from crm_api.customers.service import CustomerService
from crm_api.db.batch import run_batch
from crm_api.db.timeline import Feed
from crm_api.db.uow import UnitOfWork
from crm_api.interactions.bulk import COLUMNS, id_of
from crm_api.interactions.models import InteractionCreate, InteractionRow, InteractionUpdate
from crm_api.interactions.repository import InteractionRepository
from crm_api.interactions.rules import time_fault

READ = "interactions:read"
WRITE = "interactions:write"


class InteractionService:
    """Calls, visits and messages between the shop and its customers."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = InteractionRepository(unit)

    async def log(self, data: InteractionCreate) -> UUID:
        """Note an interaction; returns its id.

        Raises:
            NotFound: there is no such customer.
            Invalid: it is still to come; staff, store or order do not exist, or the order is another customer's.

        """
        self.unit.actor.require(WRITE)
        self._require_past(data.occurred_at)
        await CustomerService(self.unit).require_living(data.customer_id)
        await self.repository.check_order(data.order_id, data.customer_id)
        interaction_id = new_id()
        row = {"id": interaction_id, **data.model_dump(), "occurred_at": data.occurred_at or self.unit.now()}
        await self.repository.insert(row)
        self.unit.audit("interaction.log", "Interaction", interaction_id, after=data.model_dump(mode="json"))
        self.unit.emit("interaction.logged", interaction_id, _told(row))
        return interaction_id

    async def batch(self, items: Sequence[Item[InteractionCreate]], mode: BatchMode) -> list[Result]:
        """Note interactions, each as `log` does; see `crm_api.db.batch.run_batch`."""
        self.unit.actor.require(WRITE)

        async def work(data: InteractionCreate) -> Done:
            return Done(await self.log(data))

        return await run_batch(self.unit, items, mode, work)

    async def update(
        self, interaction_id: UUID, data: InteractionUpdate, *, expected_version: int | None = None
    ) -> None:
        """Change the fields that were given; raises as `log`."""
        self.unit.actor.require(WRITE)
        self._require_past(data.occurred_at if "occurred_at" in data.model_fields_set else None)
        before = await self.repository.get(interaction_id, lock=True, expected_version=expected_version)
        changes: dict[str, Any] = data.model_dump(exclude_unset=True)
        await self.repository.check_order(changes.get("order_id"), before["customer_id"])
        after = await self.repository.change(interaction_id, changes)
        self.unit.audit(
            "interaction.update",
            "Interaction",
            interaction_id,
            before={name: _plain(before[name]) for name in changes},
            after=data.model_dump(mode="json", exclude_unset=True),
        )
        self.unit.emit("interaction.updated", interaction_id, _told(after))

    def _require_past(self, occurred_at: datetime | None) -> None:
        fault = None if occurred_at is None else time_fault(occurred_at, self.unit.now())
        if fault is not None:
            raise Invalid(errors=[fault])

    async def log_many(self, rows: Sequence[InteractionRow]) -> list[tuple[UUID, bool] | FieldError]:
        """Note many interactions, a few statements for all of them; the same row again changes nothing.

        Args:
            rows: of customers that exist.

        Returns:
            Each row's interaction, and whether it is new; or what is wrong with the row.

        """
        self.unit.actor.require(WRITE)
        ids, now = [id_of(row) for row in rows], self.unit.now()
        known = await self.repository.known(ids)
        new: dict[UUID, InteractionRow] = {}
        verdicts: list[tuple[UUID, bool] | FieldError] = []
        for interaction_id, row in zip(ids, rows, strict=True):
            fault = time_fault(row.occurred_at, now)
            if fault is not None:
                verdicts.append(fault)
                continue
            verdicts.append((interaction_id, interaction_id not in known and interaction_id not in new))
            if interaction_id not in known:
                new.setdefault(interaction_id, row)
        values = {interaction_id: asdict(row) for interaction_id, row in new.items()}
        await self.repository.add_many(COLUMNS, [(key, *row.values()) for key, row in values.items()])
        for interaction_id, said in values.items():
            after = {name: _written(value) for name, value in said.items() if value is not None}
            self.unit.audit("interaction.log", "Interaction", interaction_id, after=after)
            self.unit.emit("interaction.logged", interaction_id, _told({**said, "order_id": None}))
        return verdicts

    async def undo_many(self, entries: Sequence[Entry]) -> list[Undone]:
        """Take back what rows of `log_many` did; returns a verdict for each."""
        self.unit.actor.require(WRITE)
        known = await self.repository.known([entry.resource_id for entry in entries])
        gone = {entry.resource_id for entry in entries if entry.obstacle is None} & known
        for interaction_id, customer_id in sorted((await self.repository.remove_many(sorted(gone))).items()):
            self.unit.audit("interaction.removed", "Interaction", interaction_id)
            self.unit.emit("interaction.removed", interaction_id, {"customer_id": str(customer_id)})
        return [
            Undone((entry.obstacle,)) if entry.obstacle is not None and entry.resource_id in known else DONE
            for entry in entries
        ]

    async def require(self, interaction_id: UUID) -> None:
        """Raise NotFound unless the interaction exists: for domains that attach something to it."""
        await self.repository.get(interaction_id)

    async def timeline(
        self,
        customer_id: UUID,
        page: PageRequest,
        *,
        only: Sequence[str] | None = None,
        ids: Sequence[UUID] | None = None,
    ) -> Feed:
        """Return one page of all that happened to a customer, as far as the caller may see it.

        Only of some kinds, or only about these rows, when they are given.

        Raises:
            NotFound: there is no such customer.
            Invalid: unknown kind, or a cursor of another list.

        """
        feed = await self.repository.timeline(customer_id, page, only=only, ids=ids)
        if feed is None:
            raise NotFound
        return feed


def _plain(value: Any) -> Any:
    # The driver's UUIDs are a subclass that the JSON writer does not know.
    return str(value) if isinstance(value, UUID) else value


def _written(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else _plain(value)


def _told(row: Any) -> dict[str, Any]:
    order_id = row["order_id"]
    return {
        "customer_id": str(row["customer_id"]),
        "channel": row["channel"],
        "direction": row["direction"],
        "order_id": None if order_id is None else str(order_id),
        "occurred_at": row["occurred_at"].isoformat(),
    }
