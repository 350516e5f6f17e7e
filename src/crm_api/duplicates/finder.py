"""A search for duplicates: customers are read a chunk at a time, then those with a key in common are compared.

Every step is a transaction that also moves the run's cursor, so a killed worker's run goes on where it stood. The work
is linear: a block of customers with a key in common is bounded by ``MAX_BLOCK``.
"""

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, Final
from uuid import UUID

import orjson

from crm_api.core.actor import Actor
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.duplicates import rules
from crm_api.duplicates.repository import NOBODY, CandidateRepository, FeatureRepository, Found, RunRepository
from crm_api.duplicates.rules import Features

CUSTOMERS: Final = 2_000
"""Customers read in one step."""

BLOCKS: Final = 1_000
"""Keys whose customers are compared in one step."""

SHARED: Final[Mapping[str, str]] = {
    "m": "mobile",
    "l": "landline",
    "e": "email",
    "b": "mailbox",
    "o": "account",
    "x": "outside_id",
    "d": "name_and_birthday",
    "c": "name_and_city",
    "t": "initials_and_phone",
    "h": "name_and_phone",
    "a": "address",
}
"""First letter of a key → what those who have it share, as the run's report says it."""

Pair = tuple[UUID, UUID]


class Finder:
    """The steps of one run."""

    def __init__(self, unit: UnitOfWork, run_id: UUID) -> None:
        """Work inside a unit."""
        self._run_id = run_id
        self._unit = unit
        self._runs = RunRepository(unit)
        self._features = FeatureRepository(unit)
        self._candidates = CandidateRepository(unit)

    async def begin(self) -> bool:
        """Start a run, or go on with one that was left; returns whether there is anything to do."""
        run = await self._runs.find(self._run_id, lock=True)
        if run is None or run["state"] not in {"queued", "running"}:
            return False
        if run["state"] == "queued":
            await self._features.drop_deleted()
            total = await self._features.count()
            await self._note(state="running", total=total, started_at=self._unit.now())
        return True

    async def step(self) -> bool:
        """Do the next piece; returns whether there is more."""
        run = dict(await self._runs.get(self._run_id, lock=True))
        if run["state"] != "running":
            return False
        if run["phase"] == "features":
            await self._read_customers(run)
            return True
        return await self._compare(run)

    async def _read_customers(self, run: Mapping[str, Any]) -> None:
        after = UUID(run["cursor"]) if run["cursor"] else NOBODY
        rows = await self._features.next(after, CUSTOMERS)
        if not rows:
            await self._note(phase="pairs", cursor=None)
            return
        wanted = [row for row in rows if row["is_stale"]]
        news = 0
        if wanted:
            raw = await self._features.raw(wanted)
            features = {each: Features.of(known) for each, known in raw.items()}
            keys = {each: rules.keys(known) for each, known in features.items()}
            versions = {row["id"]: row["version"] for row in wanted}
            news = await self._features.write(self._run_id, versions, features, keys)
        await self._note(
            cursor=str(rows[-1]["id"]), processed=run["processed"] + len(rows), changed=run["changed"] + news
        )

    async def _compare(self, run: Mapping[str, Any]) -> bool:
        everybody = run["kind"] == "full"
        blocks = await self._features.blocks(self._run_id, run["cursor"] or "", BLOCKS, everybody=everybody)
        if not blocks:
            await self._finish(run)
            return False
        small = [key for key, size in blocks if 1 < size <= rules.MAX_BLOCK]
        members = await self._features.members(small)
        known = await self._features.load({each for ids in members.values() for each in ids})
        pairs = self._pairs(members, known, everybody=everybody)
        found = _found(pairs, known)
        proposed = await self._candidates.propose(self._run_id, found)
        await self._note(
            cursor=blocks[-1][0],
            compared=run["compared"] + len(pairs),
            found=run["found"] + proposed,
            skipped=_skipped(run["skipped"], [block for block in blocks if block[1] > rules.MAX_BLOCK]),
        )
        return True

    def _pairs(
        self,
        members: Mapping[str, Iterable[UUID]],
        known: Mapping[UUID, tuple[UUID, Any]],
        *,
        everybody: bool,
    ) -> list[Pair]:
        """Return the pairs to compare, each once: in a block, and with news unless everybody is compared."""
        news = {each for each, (run_id, _) in known.items() if everybody or run_id == self._run_id}
        pairs = {
            (first, second)
            for ids in members.values()
            for first, second in combinations(ids, 2)
            if first in news or second in news
        }
        return sorted(pair for pair in pairs if pair[0] in known and pair[1] in known)

    async def _finish(self, run: Mapping[str, Any]) -> None:
        await self._candidates.drop_outdated(self._run_id, everybody=run["kind"] == "full")
        await self._note(state="completed", phase="done", cursor=None, finished_at=self._unit.now())
        self._unit.emit("duplicates.searched", self._run_id, {"run_id": str(self._run_id), "found": run["found"]})

    async def _note(self, **values: Any) -> None:
        await self._runs.change(self._run_id, values)


def _found(pairs: Iterable[Pair], known: Mapping[UUID, tuple[UUID, dict[str, Any]]]) -> list[Found]:
    loaded: dict[UUID, Features] = {}
    found = []
    for first, second in pairs:
        one, other = (
            loaded.get(each) or loaded.setdefault(each, Features.load(known[each][1])) for each in (first, second)
        )
        likeness = rules.compare(one, other)
        if likeness.score >= rules.MIN_SCORE:
            reasons = orjson.dumps(likeness.shown()).decode()
            digest = rules.fingerprint(known[first][1], known[second][1])
            found.append(Found(first, second, likeness.score, likeness.weight, reasons, digest))
    return found


def _skipped(so_far: Mapping[str, Any], blocks: Iterable[tuple[str, int]]) -> dict[str, Any]:
    counts, largest = dict(so_far.get("blocks", {})), so_far.get("customers", 0)
    for key, size in blocks:
        what = SHARED[key[0]]
        counts[what] = counts.get(what, 0) + 1
        largest = max(largest, size)
    return {"blocks": counts, "customers": largest} if counts else {}


async def run_search(database: Database, tenant_id: UUID, run_id: UUID) -> None:
    """Do a whole run, a step per transaction, from wherever it stands."""
    actor = Actor.system(tenant_id, f"duplicates:{run_id}")

    async def begin(unit: UnitOfWork) -> bool:
        return await Finder(unit, run_id).begin()

    async def step(unit: UnitOfWork) -> bool:
        return await Finder(unit, run_id).step()

    if await database.run(actor, begin):
        while await database.run(actor, step):
            continue
