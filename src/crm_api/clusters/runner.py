"""The job: reads customers' values, finds clusters, makes segments of them. A killed worker's successor goes on.

Three phases. *reading* and *clustering* leave nothing behind but progress, and are deterministic: who comes after does
them again, counting days from the same moment. Their result is stored by one transaction: the clusters, their segments
and the list of who is to become whose member. *segmenting* takes customers off that list and makes them members in the
same transaction, chunk by chunk, so nobody is added twice or left out.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog

from crm_api.accounts.service import AccountService
from crm_api.attributes.models import PREFIX
from crm_api.clusters.features import FEATURES, Feature, Words, attribute_feature
from crm_api.clusters.repository import ClusteringRepository
from crm_api.clusters.repository.features import read_values
from crm_api.clusters.segments import ClusterSegments
from crm_api.clusters.service import OPEN
from crm_api.core.actor import Actor
from crm_api.core.errors import FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.core.money import minor_per_major
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork

log = structlog.get_logger(__name__)

READ_CHUNK: Final = 10_000
"""Customers whose values are read by one statement."""
ASSIGN_CHUNK: Final = 20_000
MEMBER_CHUNK: Final = 5_000
"""Customers made members by one transaction: each is a row, a log entry and a message."""
MAX_NAME: Final = 200


def feature_of(stored: Mapping[str, Any]) -> Feature:
    """Return a feature as a clustering stored it: its attribute may be called otherwise by now."""
    if stored["name"].startswith(PREFIX):
        return attribute_feature(stored["name"], stored["kind"], Words(**stored["label"]))
    return FEATURES[stored["name"]]


class ClusteringRun:
    """The run of one clustering."""

    def __init__(self, database: Database, tenant_id: UUID, clustering_id: UUID) -> None:
        """Remember which."""
        self.database = database
        self.id = clustering_id
        self.actor = Actor.system(tenant_id, f"clustering:{clustering_id}")

    async def run(self) -> None:
        """Do what is left to do."""
        row = await self.database.run(self.actor, self._prepare)
        if row is None:
            return
        if row["phase"] != "segmenting":
            await self._find(row)
        while await self.database.run(self.actor, self._add_members):
            continue

    async def give_up(self, reason: str) -> None:
        """Say on the clustering that nobody will go on with it; what there is of its segments is archived."""

        async def work(unit: UnitOfWork) -> None:
            repository = ClusteringRepository(unit)
            row = await repository.find(self.id, lock=True)
            if row is None or row["state"] not in OPEN:
                return
            await repository.forget_assignments(self.id)
            for each in await repository.clusters_of(self.id):
                await ClusterSegments(unit).archive(each["segment_id"])
            await self._end(unit, {"state": "failed", "error": reason[:1000]})
            unit.emit("clustering.failed", self.id, {"code": "failed"})

        await self.database.run(self.actor, work)

    # -- reading and clustering ------------------------------------------------------------------------------------

    async def _prepare(self, unit: UnitOfWork) -> asyncpg.Record | None:
        """Fix the moment and the currency; returns the clustering, or None when there is nothing to do."""
        repository = ClusteringRepository(unit)
        row = await repository.find(self.id, lock=True)
        if row is None or row["state"] not in OPEN:
            return None
        if row["state"] == "running":
            return row
        currency = row["currency"]
        if currency is None and any(each["kind"] == "money" for each in row["features"]):
            currency = await repository.main_currency() or (await AccountService(unit).tenant()).currency
        now = unit.now()
        begun = {"state": "running", "phase": "reading", "as_of": now, "currency": currency, "started_at": now}
        return await repository.change(self.id, begun)

    async def _find(self, row: asyncpg.Record) -> None:
        """Read, cluster and store; a refusal ends the clustering."""
        from crm_api.clusters import computing  # noqa: PLC0415 - numpy and scikit-learn: only workers need them

        features = [feature_of(each) for each in row["features"]]
        try:
            ids = await self._population(row)
        except Invalid as error:  # the rule was right when it was asked for: an attribute was deleted since
            await self._refuse(error)
            return
        await self._note(phase="reading", total=len(ids), processed=0)
        matrix = computing.Matrix(features, minor_per_major(row["currency"]) if row["currency"] else 1)
        for start in range(0, len(ids), READ_CHUNK):
            chunk = ids[start : start + READ_CHUNK]
            async with self.database.read(self.actor) as unit:
                matrix.add(await read_values(unit, features, chunk, row["as_of"], row["currency"]))
            await self._note(processed=start + len(chunk))
        await self._note(phase="clustering", processed=0)
        # A thread: what takes long there lets go of the interpreter, so the worker's heartbeat goes on.
        outcome = await asyncio.to_thread(computing.compute, matrix, dict(row))

        async def store(unit: UnitOfWork) -> None:
            await self._store(unit, outcome)

        await self.database.run(self.actor, store)

    async def _population(self, row: asyncpg.Record) -> list[UUID]:
        async with self.database.read(self.actor) as unit:
            repository = ClusteringRepository(unit)
            rule = None if row["rule"] is None else await repository.chosen(row["rule"])
            return await repository.population(rule, row["segment_id"])

    async def _refuse(self, error: Invalid) -> None:
        first = error.errors[0] if error.errors else FieldError("", "", error.message, error.message_zh)
        en, zh = f"The rule does not hold any more: {first.message}", f"规则已失效：{first.message_zh}"

        from crm_api.clusters import computing  # noqa: PLC0415 - as above

        async def work(unit: UnitOfWork) -> None:
            await self._store(unit, computing.Outcome({}, refused={"code": "rule_invalid", "en": en, "zh": zh}))

        await self.database.run(self.actor, work)

    async def _note(self, **values: Any) -> None:
        async def work(unit: UnitOfWork) -> None:
            await ClusteringRepository(unit).note(self.id, values)

        await self.database.run(self.actor, work)

    async def _store(self, unit: UnitOfWork, outcome: Any) -> None:
        """Store what was found, unless another worker has."""
        repository = ClusteringRepository(unit)
        row = await repository.find(self.id, lock=True)
        if row is None or row["state"] != "running" or row["phase"] == "segmenting":
            return
        if outcome.refused is not None:
            await self._end(unit, {"state": "refused", **outcome.values, "refused": outcome.refused})
            unit.emit("clustering.failed", self.id, {"code": outcome.refused["code"]})
            return
        await repository.add_clusters(await self._with_segments(unit, row, outcome.clusters))
        for start in range(0, len(outcome.assigned), ASSIGN_CHUNK):
            await repository.assign(self.id, outcome.assigned[start : start + ASSIGN_CHUNK])
        begun = {"phase": "segmenting", "total": len(outcome.assigned), "processed": 0}
        await repository.change(self.id, {**outcome.values, **begun})

    async def _with_segments(
        self, unit: UnitOfWork, row: asyncpg.Record, found: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Return the clusters' rows, a new segment with each."""
        locale = "zh" if (await AccountService(unit).tenant()).locale.startswith("zh") else "en"
        head = row["name"] if row["revision"] == 1 else f"{row['name']} v{row['revision']}"
        wanted = [f"{head} · {each['position']} {each[f'name_{locale}']}"[:MAX_NAME] for each in found]
        names = await self._free_names(unit, wanted)
        rows = []
        for each, name in zip(found, names, strict=True):
            segment_id = await ClusterSegments(unit).create(name, each[f"profile_{locale}"])
            rows.append({"id": new_id(), "clustering_id": self.id, "segment_id": segment_id, **each})
        return rows

    async def _free_names(self, unit: UnitOfWork, wanted: Sequence[str]) -> list[str]:
        """Return names that no segment has: a job that failed over a name would help nobody."""
        repository, names = ClusteringRepository(unit), list(wanted)
        attempt = 1
        while taken := await repository.segment_names(names):
            attempt += 1
            tail = f" ({attempt})"
            names = [
                before[: MAX_NAME - len(tail)] + tail if name in taken else name
                for before, name in zip(wanted, names, strict=True)
            ]
        return names

    # -- segmenting ------------------------------------------------------------------------------------------------

    async def _add_members(self, unit: UnitOfWork) -> bool:
        """Make the next customers members; returns whether there may be more. The last chunk ends the clustering."""
        repository = ClusteringRepository(unit)
        row = await repository.find(self.id, lock=True)
        if row is None or row["state"] != "running" or row["phase"] != "segmenting":
            return False
        taken = await repository.take(self.id, MEMBER_CHUNK)
        if taken:
            segment_of = {each["position"]: each["segment_id"] for each in await repository.clusters_of(self.id)}
            for position, segment_id in segment_of.items():
                ids = [each["customer_id"] for each in taken if each["position"] == position]
                if ids:
                    await ClusterSegments(unit).add(segment_id, ids, self.id)
            await repository.note(self.id, {"processed": row["processed"] + len(taken)})
            return True
        await self._complete(unit, row)
        return False

    async def _complete(self, unit: UnitOfWork, row: asyncpg.Record) -> None:
        if row["archive_previous"]:
            for segment_id in await ClusteringRepository(unit).earlier_segments(row["name"], row["revision"]):
                await ClusterSegments(unit).archive(segment_id)
        await self._end(unit, {"state": "completed", "phase": "done"})
        told = {"clusters": row["clusters_found"], "customers": row["customers"], "silhouette": row["silhouette"]}
        unit.audit("clustering.completed", "Clustering", self.id, after=told)
        unit.emit("clustering.completed", self.id, {"clusters": row["clusters_found"], "customers": row["customers"]})

    async def _end(self, unit: UnitOfWork, values: Mapping[str, Any]) -> None:
        await ClusteringRepository(unit).change(self.id, {**values, "finished_at": unit.now()})
