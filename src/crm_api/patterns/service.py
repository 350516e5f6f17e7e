"""What can be done with purchase patterns."""

from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from crm_api.core.actor import Actor
from crm_api.core.errors import Invalid, NotFound
from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.patterns.models import Basis, CustomerPatterns, PatternRunCreate, PatternSettingsUpdate, RunKind
from crm_api.patterns.repository import TOO_FEW, PatternRepository
from crm_api.patterns.rules import PatternSettings

READ = "orders:read"
WRITE = "orders:write"
JOB = "patterns.run"
CHUNK = 2_000
"""Customers whose patterns are made in one transaction."""
TOLD = 1_000
"""Customers named by one message."""
WAIT_SECONDS = 1.0
"""How often a run looks whether the one before it is done."""
PASSES: Final[tuple[tuple[Basis, str], ...]] = (
    ("order", "product"),
    ("order", "category"),
    ("customer", "product"),
    ("customer", "category"),
)
"""Over the baskets: what a basket is, and what is in it."""
_OPEN = frozenset({"queued", "running"})


class PatternService:
    """Patterns of customers, and what is bought together."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = PatternRepository(unit)

    # -- asked by people -------------------------------------------------------------------------------------------

    async def start(self, data: PatternRunCreate) -> UUID:
        """Queue a run; returns its id."""
        self.unit.actor.require(WRITE)
        return await self._start(data.kind, everyone=True)

    async def configure(self, data: PatternSettingsUpdate) -> None:
        """Change the settings given; patterns that depend on them are made anew in the background.

        Raises:
            Invalid: the thresholds of price sensitivity would not rise.

        """
        self.unit.actor.require(WRITE)
        before, _ = await self.repository.settings()
        await self._put(before, before.changed(data))

    async def nothing_known(self, customer_id: UUID, fields: Collection[str] | None = None) -> bytes:
        """Return the answer for a customer who never bought nor looked, as JSON.

        Raises:
            NotFound: there is no such customer.

        """
        self.unit.actor.require(READ)
        if not await self.repository.customer_exists(customer_id):
            raise NotFound
        whole = CustomerPatterns.nothing(customer_id, TOO_FEW).model_dump(mode="json")
        if not self.unit.actor.may("events:read"):
            del whole["interests"]
        return orjson.dumps({name: value for name, value in whole.items() if fields is None or name in fields})

    async def set_up(self, settings: PatternSettings) -> None:
        """Store a new tenant's settings."""
        before, _ = await self.repository.settings()
        await self._put(before, settings)

    async def _put(self, before: PatternSettings, after: PatternSettings) -> None:
        if after == before:
            return
        anew = after.of_customers() != before.of_customers()
        await self.repository.put_settings(after, anew=anew)
        tenant_id = self.unit.tenant_id
        self.unit.audit("pattern_settings.updated", "Tenant", tenant_id, before=before.told(), after=after.told())
        self.unit.emit("pattern_settings.updated", tenant_id, {})
        if anew and await self.repository.anything():
            await self._start("customers", everyone=False)

    async def _start(self, kind: RunKind, *, everyone: bool) -> UUID:
        run_id = new_id()
        await self.repository.insert({"id": run_id, "kind": kind, "everyone": everyone})
        await self.unit.enqueue(JOB, {"run_id": str(run_id)})
        told = {"kind": kind, "everyone": everyone}
        self.unit.audit("pattern_run.started", "PatternRun", run_id, after=told)
        self.unit.emit("pattern_run.started", run_id, told)
        return run_id

    # -- upkeep ----------------------------------------------------------------------------------------------------

    async def refresh(self, customer_ids: Collection[UUID], *, looks_only: bool = False) -> set[UUID]:
        """Make some customers' patterns anew and announce whose have changed; returns these."""
        if not customer_ids:
            return set()
        settings, revision = await self.repository.settings()
        await self.repository.begin()
        wanted, changed = sorted(set(customer_ids)), set[UUID]()
        for at in range(0, len(wanted), CHUNK):
            part = wanted[at : at + CHUNK]
            changed |= await self.repository.refresh(part, settings, revision, looks_only=looks_only)
        self._tell(changed)
        return changed

    async def unite(self, winner: UUID, losers: Collection[UUID]) -> None:
        """Make the patterns of who others became."""
        await self.repository.forget(losers)
        await self.refresh([winner])

    def _tell(self, changed: Collection[UUID]) -> None:
        names = [str(each) for each in sorted(changed)]
        for at in range(0, len(names), TOLD):
            self.unit.emit("patterns.changed", self.unit.tenant_id, {"customer_ids": names[at : at + TOLD]})

    async def start_nightly(self) -> None:
        """Queue what time alone changes: interests that end, and the window of baskets."""
        if not await self.repository.anything():
            return
        for kind in ("customers", "bought_together"):
            if not await self.repository.any_open(kind):
                await self._start(kind, everyone=False)

    # -- a run's steps ---------------------------------------------------------------------------------------------

    async def step(self, run_id: UUID) -> bool:
        """Do the next part of a run; returns whether more is to be done."""
        run = await self.repository.find(run_id, lock=True)
        if run is None or run["state"] not in _OPEN:
            return False
        if run["state"] == "queued":
            return await self._begin(run)
        step = self._step_customers if run["kind"] == "customers" else self._step_pairs
        values = await step(run)
        if values is not None:
            await self.repository.change(run_id, values)
            return True
        await self._finish(run)
        return False

    async def _begin(self, run: asyncpg.Record) -> bool:
        if await self.repository.must_wait(run):
            await self.unit.enqueue(JOB, {"run_id": str(run["id"])}, delay_seconds=WAIT_SECONDS)
            return False
        settings, revision = await self.repository.settings()
        total = len(PASSES)
        if run["kind"] == "customers":
            total = await self.repository.count_due(settings, revision, everyone=run["everyone"])
        now = self.unit.now()
        told = {**settings.told(), "revision": revision}
        values = {"state": "running", "as_of": now, "started_at": now, "settings": told, "total": total, "figures": {}}
        await self.repository.change(run["id"], values)
        return True

    async def _step_customers(self, run: asyncpg.Record) -> dict[str, Any] | None:
        # The settings of now, not of the run: what is made must be as what messages make.
        settings, revision = await self.repository.settings()
        due = await self.repository.next_due(run["cursor"], settings, revision, everyone=run["everyone"], limit=CHUNK)
        if not due:
            return None
        changed = await self.refresh(due)
        figures = {"changed": run["figures"].get("changed", 0) + len(changed)}
        return {"cursor": due[-1], "processed": run["processed"] + len(due), "figures": figures}

    async def _step_pairs(self, run: asyncpg.Record) -> dict[str, Any] | None:
        done = run["processed"]
        if done == len(PASSES):
            return None
        basis, kind = PASSES[done]
        settings = PatternSettings.of(run["settings"])
        found = await self.repository.find_pairs(run["id"], basis, kind, run["as_of"], settings)
        return {"processed": done + 1, "figures": {**run["figures"], f"{basis}_{kind}": found}}

    async def _finish(self, run: asyncpg.Record) -> None:
        run_id: UUID = run["id"]
        if run["kind"] == "bought_together":
            await self.repository.forget_other_pairs(run_id)
        await self.repository.change(run_id, {"state": "completed", "finished_at": self.unit.now()})
        await self.repository.forget_runs(run)
        self.unit.audit("pattern_run.completed", "PatternRun", run_id, after={"figures": run["figures"]})
        self.unit.emit("pattern_run.completed", run_id, {"kind": run["kind"], "figures": run["figures"]})

    async def give_up(self, run_id: UUID, reason: str) -> None:
        """Say on the run that nobody will go on with it."""
        run = await self.repository.find(run_id, lock=True)
        if run is not None and run["state"] in _OPEN:
            values = {"state": "failed", "error": reason[:1000], "finished_at": self.unit.now()}
            await self.repository.change(run_id, values)


async def run_to_end(database: Database, tenant_id: UUID, run_id: UUID) -> None:
    """Do a run from wherever it stands, each step in a transaction of its own."""
    actor = Actor.system(tenant_id, f"patterns:{run_id}")

    async def work(unit: UnitOfWork) -> bool:
        return await PatternService(unit).step(run_id)

    while await database.run(actor, work):
        pass


def check_pairs_asked(product_id: Any, category: Any) -> None:
    """Raise Invalid when pairs of a product and of a category are asked for at once."""
    if product_id is not None and category is not None:
        raise Invalid.field(
            "/query/category",
            "conflict",
            "Send either product_id or category: pairs are of two products or of two categories",
            "product_id 与 category 只能使用其一：搭配要么是两个商品，要么是两个品类",
        )
