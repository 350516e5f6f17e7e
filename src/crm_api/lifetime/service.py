"""What can be done with models of purchases to come."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from crm_api.core.actor import Actor
from crm_api.core.errors import Conflict, Invalid
from crm_api.core.ids import new_id
from crm_api.core.money import minor_per_major
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.lifetime.models import ChurnModelCreate
from crm_api.lifetime.repository import ChurnModelRepository

READ = "churn:read"
WRITE = "churn:write"
JOB = "churn.fit"
CHUNK = 10_000
WAIT_SECONDS = 1.0
"""How often a model looks whether the one before it is done."""
_OPEN = frozenset({"queued", "running"})


class ChurnModelService:
    """Models of how often customers buy and what they spend."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ChurnModelRepository(unit)

    async def start(self, data: ChurnModelCreate) -> UUID:
        """Queue the fitting of a model; returns its id.

        Raises:
            Invalid: the calibration would end today or later.

        """
        self.unit.actor.require(WRITE)
        yesterday = await self._yesterday()
        if data.calibration_end is not None and data.calibration_end > yesterday:
            raise Invalid.field(
                "/calibration_end",
                "in_the_future",
                f"The calibration can end yesterday ({yesterday}) at the latest: only whole days are learned from",
                f"校准期最晚截至昨天（{yesterday}）：只使用完整的日期",
            )
        model_id = new_id()
        apply = data.calibration_end is None if data.apply is None else data.apply
        row = {**data.model_dump(), "apply": apply}
        await self.repository.insert({"id": model_id, "state": "queued", "total": 0, "processed": 0, **row})
        await self.unit.enqueue(JOB, {"model_id": str(model_id)})
        self.unit.audit("churn_model.started", "ChurnModel", model_id, after=data.model_dump(mode="json"))
        self.unit.emit("churn_model.started", model_id, {})
        return model_id

    async def picture(self, model_id: UUID) -> bytes:
        """Return the cumulative repeat purchases, actual against expected, as SVG.

        Raises:
            NotFound: there is no such model.
            Conflict: it is not completed.

        """
        self.unit.actor.require(READ)
        row = await self.repository.get(model_id)
        if row["cumulative"] is None:
            raise Conflict(
                "There is nothing to draw: the model is not completed",
                zh="模型尚未完成，无法绘图",
                code="not_completed",
            )
        from crm_api.lifetime.picture import draw_cumulative  # noqa: PLC0415 - matplotlib takes half a second

        return await asyncio.to_thread(draw_cumulative, row["cumulative"])

    async def reckon(self, customer_ids: Collection[UUID]) -> None:
        """Make the outlooks of customers whose history has changed hands anew, by the model that stands.

        Who did not buy until the end of its calibration keeps what there is: the model knows nothing of them.
        """
        row = await self.repository.applied()
        if row is None:
            return
        zone = await self.repository.zone()
        records = await self.repository.buyers_of(customer_ids, zone, row["currency"], row["calibration_end"])
        if records:
            made = await asyncio.to_thread(_outlooks, row, records)
            ids = [record["customer_id"] for record in records]
            await self.repository.write_outlooks(row["id"], row["currency"], ids, made)

    # -- the job's steps -------------------------------------------------------------------------------------------

    async def prepare(self, model_id: UUID) -> asyncpg.Record | None:
        """Decide what is learned from; returns the model, or None when there is nothing to do now."""
        row = await self.repository.find(model_id, lock=True)
        if row is None or row["state"] not in _OPEN:
            return None
        if row["state"] == "running":
            return row
        if await self.repository.must_wait(model_id):
            await self.unit.enqueue(JOB, {"model_id": str(model_id)}, delay_seconds=WAIT_SECONDS)
            return None
        return await self.repository.change(
            model_id,
            {
                "state": "running",
                "calibration_end": row["calibration_end"] or await self._yesterday(),
                "currency": row["currency"] or await self.repository.main_currency(),
                "started_at": self.unit.now(),
            },
        )

    async def note(self, model_id: UUID, fitted: Any, customers: int, repeaters: int) -> None:
        """Store what came out; a model that was refused or is not applied has ended with it."""
        row = await self.repository.get(model_id, lock=True)
        if row["state"] != "running":
            return
        values: dict[str, Any] = {
            "customers": customers,
            "repeat_customers": repeaters,
            "spend_correlation": fitted.correlation,
            "spend_refused": fitted.spend_refused and fitted.spend_refused.shown(),
            "refused": fitted.refused and fitted.refused.shown(),
            "holdout": fitted.holdout,
            "cumulative": fitted.cumulative,
            "total": customers if row["apply"] and fitted.purchases else 0,
        }
        if fitted.purchases:
            params = asdict(fitted.purchases)
            values |= {"log_likelihood": params.pop("log_likelihood"), "params": params}
        if fitted.spend:
            spend = asdict(fitted.spend)
            spend.pop("log_likelihood")
            values["spend_params"] = spend
        if fitted.refused:
            values |= {"state": "refused", "finished_at": self.unit.now()}
        await self.repository.change(model_id, values)
        if fitted.refused:
            self.unit.emit("churn_model.refused", model_id, {"code": fitted.refused.code})

    async def write(self, model_id: UUID, ids: Sequence[UUID], rows: Sequence[tuple[Any, ...]], start: int) -> bool:
        """Store the outlooks from ``start`` on; returns False when another worker has done so."""
        row = await self.repository.get(model_id, lock=True)
        if row["state"] != "running" or row["processed"] != start:
            return False
        await self.repository.write_outlooks(model_id, row["currency"], ids, rows)
        await self.repository.change(model_id, {"processed": start + len(ids)})
        return True

    async def finish(self, model_id: UUID) -> None:
        """End a model whose outlooks are written."""
        row = await self.repository.get(model_id, lock=True)
        if row["state"] != "running" or row["processed"] < row["total"]:
            return
        if row["apply"]:
            await self.repository.forget_others(model_id)
        await self.repository.change(model_id, {"state": "completed", "finished_at": self.unit.now()})
        self.unit.audit("churn_model.completed", "ChurnModel", model_id, after={"params": row["params"]})
        self.unit.emit("churn_model.completed", model_id, {"applied": row["apply"]})

    async def give_up(self, model_id: UUID, reason: str) -> None:
        """Say on the model that nobody will go on with it."""
        row = await self.repository.find(model_id, lock=True)
        if row is not None and row["state"] in _OPEN:
            values = {"state": "failed", "error": reason[:1000], "finished_at": self.unit.now()}
            await self.repository.change(model_id, values)

    async def _yesterday(self) -> date:
        return self.unit.now().astimezone(await self.repository.zone()).date() - timedelta(days=1)


async def run_fit(database: Database, tenant_id: UUID, model_id: UUID) -> None:
    """Fit a model and write the outlooks; fitting is deterministic, so a killed worker's successor repeats it."""
    actor = Actor.system(tenant_id, f"churn:{model_id}")

    async def prepare(unit: UnitOfWork) -> asyncpg.Record | None:
        return await ChurnModelService(unit).prepare(model_id)

    row = await database.run(actor, prepare)
    if row is None:
        return
    from crm_api.lifetime import fitting  # noqa: PLC0415 - scipy takes a while, and only workers fit

    async with database.read(actor) as unit:
        repository = ChurnModelRepository(unit)
        zone = await repository.zone()
        records = await repository.buyers(zone, row["currency"], row["calibration_end"])
        days = await repository.repeat_days(zone, row["currency"], row["calibration_end"])
    minor = minor_per_major(row["currency"]) if row["currency"] else 1
    buyers = await asyncio.to_thread(_buyers, records, row["calibration_end"], minor)
    fitted = await asyncio.to_thread(fitting.fit, buyers, [(day.toordinal(), count) for day, count in days])

    async def note(unit: UnitOfWork) -> None:
        repeaters = sum(record["days"] > 1 for record in records)
        await ChurnModelService(unit).note(model_id, fitted, len(records), repeaters)

    if row["total"] == 0:
        await database.run(actor, note)
    if fitted.purchases is None:
        return
    if row["apply"]:
        made = await asyncio.to_thread(fitting.outlooks, fitted, buyers, row["horizon_days"], minor)
        await _write_all(database, actor, model_id, buyers.ids, made, row["processed"])

    async def finish(unit: UnitOfWork) -> None:
        await ChurnModelService(unit).finish(model_id)

    await database.run(actor, finish)


async def _write_all(
    database: Database, actor: Actor, model_id: UUID, ids: Sequence[UUID], rows: Sequence[tuple[Any, ...]], start: int
) -> None:
    for at in range(start, len(ids), CHUNK):

        async def write(unit: UnitOfWork, at: int = at) -> bool:
            return await ChurnModelService(unit).write(model_id, ids[at : at + CHUNK], rows[at : at + CHUNK], at)

        if not await database.run(actor, write):
            return


def _outlooks(row: asyncpg.Record, records: Sequence[asyncpg.Record]) -> list[tuple[Any, ...]]:
    """Return outlooks by a stored model."""
    from crm_api.lifetime import btyd, fitting  # noqa: PLC0415 - as above

    spend = row["spend_params"] and btyd.Spend(**row["spend_params"], log_likelihood=0.0)
    purchases = btyd.Purchases(**row["params"], log_likelihood=row["log_likelihood"])
    minor = minor_per_major(row["currency"]) if row["currency"] else 1
    buyers = _buyers(records, row["calibration_end"], minor)
    return fitting.outlooks(fitting.Fitted(purchases, spend or None), buyers, row["horizon_days"], minor)


def _buyers(records: Sequence[asyncpg.Record], end: date, minor: int) -> Any:
    import numpy as np  # noqa: PLC0415 - as above

    from crm_api.lifetime.fitting import Buyers  # noqa: PLC0415

    def numbers(name: str) -> Any:
        return np.array([record[name] for record in records], dtype=np.float64)

    def days(name: str) -> Any:
        return np.array([record[name].toordinal() for record in records], dtype=np.int64)

    return Buyers(
        ids=[record["customer_id"] for record in records],
        first=days("first"),
        last=days("last"),
        days=numbers("days"),
        repeat_value=numbers("repeat_value") / minor,
        valued_days=numbers("valued_days"),
        later=numbers("later"),
        end=end.toordinal(),
        data_end=max((record["data_end"].toordinal() for record in records), default=end.toordinal()),
    )
