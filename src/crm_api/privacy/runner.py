"""The work of subject exports and erasures.

An export reads in one snapshot and stores its archive in one transaction at the end; a killed worker's successor
begins again. An erasure goes step by step, each step one transaction that also notes the step as done, so that a
killed worker's successor goes on behind the last one, and two workers on one erasure take turns.
"""

import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import structlog

from crm_api.core.actor import Actor
from crm_api.db.ownership import Erased, Owned, erase_hooks, everything
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.privacy import rules
from crm_api.privacy.archive import Archive
from crm_api.privacy.repository import ErasureRepository, ExportRepository, Holdings, PrivacySettingsRepository

log = structlog.get_logger(__name__)

IN_MEMORY: Final = 8 * 1024 * 1024
"""Larger archives are written to disk."""


class ExportRun:
    """One run of one subject export."""

    def __init__(self, database: Database, tenant_id: UUID, export_id: UUID) -> None:
        """Prepare."""
        self._database = database
        self._actor = Actor.system(tenant_id, f"subject-export:{export_id}")
        self._export_id = export_id

    async def run(self) -> None:
        """Make the archive and store it; returns at once when that has been done."""
        kinds = [owned for owned in everything() if owned.export]
        customer_id = await self._begin(len(kinds) + 1)
        if customer_id is None:
            return
        made_at = self._database.clock.now()
        with (
            tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as file,
            Archive(file, customer_id, made_at) as archive,  # type: ignore[arg-type]
        ):
            if not await self._fill(archive, customer_id, kinds):
                return
            size, digest = archive.close()
            await self._database.run(self._actor, lambda unit: self._end(unit, file, size, digest, archive.rows))

    async def _begin(self, total: int) -> UUID | None:
        async def work(unit: UnitOfWork) -> UUID | None:
            repository = ExportRepository(unit)
            if not await repository.progress(self._export_id, total=total, processed=0, rows=0):
                return None
            customer_id: UUID = (await repository.get(self._export_id))["customer_id"]
            return customer_id

        return await self._database.run(self._actor, work)

    async def _fill(self, archive: Archive, customer_id: UUID, kinds: Sequence[Owned]) -> bool:
        async with self._database.read(self._actor, snapshot=True) as unit:
            holdings = Holdings(unit)
            covered = await holdings.covered(customer_id)
            await archive.add("customers", holdings.profiles(covered))
            for number, owned in enumerate(kinds, 2):
                await archive.add(str(owned.name), holdings.rows(owned, covered))
                if not await self._progress(number, archive.rows):
                    return False
        return True

    async def _progress(self, processed: int, rows: int) -> bool:
        async def work(unit: UnitOfWork) -> bool:
            return await ExportRepository(unit).progress(self._export_id, processed=processed, rows=rows)

        return await self._database.run(self._actor, work)

    async def _end(self, unit: UnitOfWork, file: Any, size: int, digest: str, rows: int) -> None:
        repository = ExportRepository(unit)
        days = (await PrivacySettingsRepository(unit).read())["export_keep_days"]
        done = {"state": "completed", "size_bytes": size, "sha256": digest, "rows": rows}
        if not await repository.finish(self._export_id, {**done, "expires_at": unit.now() + timedelta(days=days)}):
            return
        file.seek(0)
        await repository.store(self._export_id, file)
        unit.audit("subject_export.completed", "SubjectExport", self._export_id, after=done)
        unit.emit("subject_export.completed", self._export_id, done)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an erasure.

    Attributes:
        name: in the report.
        take: does it, and returns how many rows it changed.
        seeks: whether it looks for ids and traces of what the customer owns, which have to be gathered first.

    """

    name: str
    take: Callable[[UnitOfWork, Erased], Awaitable[int]]
    seeks: bool = False


def steps() -> list[Step]:
    """Return the steps of an erasure in their order.

    First the customer is hidden, so that nobody attaches anything more. Then goes what is found by ids and traces of
    what is still there, then all tables, higher domains first, and last the customer's own row.
    """
    tables = [owned for owned in reversed(everything()) if owned.erase != "keep"]
    return [
        Step("hidden", _hide),
        Step("audit_log", lambda unit, erased: ErasureRepository(unit).audit_log(_subjects(erased)), seeks=True),
        Step("outbox", _outbox, seeks=True),
        Step("idempotency_keys", _answers, seeks=True),
        *(Step(hook.name, hook.erase, seeks=True) for hook in erase_hooks()),
        *(_table(owned) for owned in tables),
        Step("customers", lambda unit, erased: ErasureRepository(unit).blank_customers(erased.customer_ids)),
    ]


def _table(owned: Owned) -> Step:
    return Step(str(owned.name), lambda unit, erased: ErasureRepository(unit).erase(owned, erased.customer_ids))


def _subjects(erased: Erased) -> list[UUID]:
    return [*erased.customer_ids, *erased.row_ids]


async def _hide(unit: UnitOfWork, erased: Erased) -> int:
    there = await ErasureRepository(unit).hide(erased.customer_ids)
    for customer_id in there:
        unit.audit("customer.deleted", "Customer", customer_id)
        unit.emit("customer.deleted", customer_id, {})
    return len(there)


async def _outbox(unit: UnitOfWork, erased: Erased) -> int:
    return await ErasureRepository(unit).outbox(_subjects(erased), unit.now() - rules.SWEEP_AFTER)


async def _answers(unit: UnitOfWork, erased: Erased) -> int:
    return await ErasureRepository(unit).answers(_subjects(erased), erased.traces)


class ErasureRun:
    """One run of one erasure."""

    def __init__(self, database: Database, tenant_id: UUID, erasure_id: UUID) -> None:
        """Prepare."""
        self._database = database
        self._actor = Actor.system(tenant_id, f"erasure:{erasure_id}")
        self._erasure_id = erasure_id

    async def run(self) -> None:
        """Take all steps that are left; returns at once when it is not due, was cancelled or is done."""
        if not await self._database.run(self._actor, self._begin):
            return
        for step in steps():
            await self._database.run(self._actor, partial(self._take, step))
        await self._database.run(self._actor, self._end)

    async def sweep(self) -> None:
        """Take all steps of a finished erasure once more: for what was under way when it ran."""
        for step in steps():
            await self._database.run(self._actor, partial(self._sweep, step))
        await self._database.run(self._actor, self._swept)

    async def _begin(self, unit: UnitOfWork) -> bool:
        repository = ErasureRepository(unit)
        row = await repository.hold(self._erasure_id)
        if row is None or row["state"] not in {"waiting", "running", "failed"} or row["due_at"] > unit.now():
            return False
        begun: dict[str, Any] = {"state": "running", "error": None, "total": len(steps())}
        if row["started_at"] is None:
            await repository.subject(row["customer_id"])
            begun |= {"covers": await Holdings(unit).covered(row["customer_id"]), "started_at": unit.now()}
            unit.audit("erasure.started", "Erasure", self._erasure_id, after={"customer_id": str(row["customer_id"])})
        await repository.note(self._erasure_id, begun)
        return True

    async def _take(self, step: Step, unit: UnitOfWork) -> None:
        repository = ErasureRepository(unit)
        row = await repository.hold(self._erasure_id)
        if row is None or row["state"] != "running" or step.name in row["counts"]:
            return
        changed = await step.take(unit, await self._erased(unit, row, step))
        counts = {**row["counts"], step.name: changed}
        await repository.note(self._erasure_id, {"counts": counts, "processed": len(counts)})

    async def _end(self, unit: UnitOfWork) -> None:
        repository = ErasureRepository(unit)
        row = await repository.hold(self._erasure_id)
        if row is None or row["state"] != "running":
            return
        await repository.note(self._erasure_id, {"state": "completed", "finished_at": unit.now(), "note": None})
        told = {"erasure_id": str(self._erasure_id), "rows": sum(row["counts"].values())}
        for customer_id in row["covers"]:
            unit.audit("customer.erased", "Customer", customer_id, after=told)
            unit.emit("customer.erased", customer_id, {"erasure_id": str(self._erasure_id)})

    async def _sweep(self, step: Step, unit: UnitOfWork) -> None:
        row = await ErasureRepository(unit).hold(self._erasure_id)
        if row is not None and row["state"] == "completed" and row["swept_at"] is None:
            await step.take(unit, await self._erased(unit, row, step))

    async def _swept(self, unit: UnitOfWork) -> None:
        repository = ErasureRepository(unit)
        row = await repository.hold(self._erasure_id)
        if row is not None and row["state"] == "completed" and row["swept_at"] is None:
            await repository.note(self._erasure_id, {"swept_at": unit.now()})
            unit.audit("erasure.swept", "Erasure", self._erasure_id)

    async def _erased(self, unit: UnitOfWork, row: Any, step: Step) -> Erased:
        covers = tuple(row["covers"])
        if not step.seeks:
            return Erased(self._erasure_id, covers, (), ())
        holdings = Holdings(unit)
        row_ids, traces = await holdings.row_ids(covers), await holdings.traces(covers)
        return Erased(self._erasure_id, covers, tuple(row_ids), tuple(traces))
