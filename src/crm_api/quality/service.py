"""What can be asked and done about the quality of customers' data."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, get_args
from uuid import UUID

from crm_api.core.errors import Conflict, NotFound
from crm_api.core.ids import new_id
from crm_api.core.paging import PageRequest
from crm_api.customers.service import READ as CUSTOMERS_READ
from crm_api.customers.service import WRITE as CUSTOMERS_WRITE
from crm_api.customers.service import ContactPointService, normal_form
from crm_api.db.uow import UnitOfWork
from crm_api.quality import rules
from crm_api.quality.models import (
    STALE_DAYS,
    CleanupCreate,
    CustomerQuality,
    Finding,
    FindingCount,
    MissingPart,
    PartCount,
    QualityQuery,
    QualityReport,
)
from crm_api.quality.repository import CleanupRepository, QualityRepository

READ = "quality:read"
WRITE = "quality:write"
JOB = "quality.cleanup"
CHUNK: Final = 500
"""Customers of a transaction."""

FINDINGS: Final[tuple[Finding, ...]] = get_args(Finding)


class QualityService:
    """What is wrong with customers, computed when asked."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = QualityRepository(unit)

    async def report(self, stale_days: int = STALE_DAYS) -> QualityReport:
        """Count what is wrong with all customers."""
        self.unit.actor.require(READ)
        findings = self._known()
        row = await self.repository.report(findings, self._since(stale_days))
        having = {part: row[f"part_{part}"] for part in rules.WEIGHTS}
        return QualityReport(
            customers=row["customers"],
            stale_days=stale_days,
            completeness=rules.mean_score(row["customers"], having),
            incomplete=row["incomplete"],
            parts=[
                PartCount(part=part, points=rules.WEIGHTS[part], customers=number) for part, number in having.items()
            ],
            findings=[FindingCount(finding=each, customers=row[each]) for each in findings],
            shared_values=row["shared_values"],
        )

    async def of_customer(self, customer_id: UUID, stale_days: int = STALE_DAYS) -> CustomerQuality:
        """Tell what is wrong with one customer.

        Raises:
            NotFound: there is no such customer.

        """
        self.unit.actor.require(READ)
        self.unit.actor.require(CUSTOMERS_READ)
        findings = self._known()
        row = await self.repository.of(customer_id, findings, self._since(stale_days))
        if row is None:
            raise NotFound
        missing = [
            MissingPart(part=part, points=points) for part, points in rules.WEIGHTS.items() if not row[f"part_{part}"]
        ]
        return CustomerQuality(
            customer_id=customer_id,
            completeness=sum(rules.WEIGHTS.values()) - sum(each.points for each in missing),
            missing=missing,
            findings=[each for each in findings if row[each]],
        )

    async def customers(self, query: QualityQuery, page: PageRequest, fields: Sequence[str] | None = None) -> bytes:
        """Return one page of the customers with a finding, as the body of the answer.

        Raises:
            Forbidden: the finding looks into a domain the caller may not see.

        """
        self.unit.actor.require(READ)
        self.unit.actor.require(CUSTOMERS_READ)
        if query.finding is not None:
            for scope in rules.SCOPES.get(query.finding, ()):
                self.unit.actor.require(scope)
        since = self._since(query.stale_days)
        return await self.repository.customers(page, query.finding, since, query.completeness_below, fields)

    def _known(self) -> list[Finding]:
        actor = self.unit.actor
        return [each for each in FINDINGS if all(actor.may(scope) for scope in rules.SCOPES.get(each, ()))]

    def _since(self, days: int) -> datetime:
        return self.unit.now() - timedelta(days=days)


class CleanupService:
    """Cleaning up contact points: a job, with a preview."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = CleanupRepository(unit)

    async def start(self, data: CleanupCreate) -> UUID:
        """Queue a clean-up, or its preview; returns its id, to be polled."""
        self.unit.actor.require(WRITE)
        self.unit.actor.require(CUSTOMERS_READ if data.dry_run else CUSTOMERS_WRITE)
        cleanup_id = new_id()
        shown = {"actions": sorted(set(data.actions)), "dry_run": data.dry_run}
        await self.repository.insert({"id": cleanup_id, **shown, "total": await self.repository.count()})
        self.unit.audit("quality_cleanup.started", "QualityCleanup", cleanup_id, after=shown)
        await self.unit.enqueue(JOB, {"cleanup_id": str(cleanup_id)})
        return cleanup_id

    async def cancel(self, cleanup_id: UUID, *, expected_version: int | None = None) -> None:
        """Stop a clean-up: what was done stays done, nothing more is.

        Raises:
            Conflict: it has ended already.

        """
        self.unit.actor.require(WRITE)
        row = await self.repository.get(cleanup_id, lock=True, expected_version=expected_version)
        if await self.repository.finish(cleanup_id, {"state": "cancelled"}) is None:
            raise Conflict("The clean-up has ended already", zh="清理任务已结束", code="cleanup_ended")
        self.unit.audit(
            "quality_cleanup.cancelled",
            "QualityCleanup",
            cleanup_id,
            before={"state": row["state"]},
            after={"state": "cancelled"},
        )

    async def step(self, cleanup_id: UUID) -> bool:
        """Do the next customers; tells whether there may be more.

        The clean-up's row is held, and its cursor moves with the work: a killed worker loses at most this step, and
        two workers take turns.
        """
        row = await self.repository.get(cleanup_id, lock=True)
        if row["finished_at"] is not None:
            return False
        ids = await self.repository.next_customers(row["cursor"], CHUNK)
        if not ids:
            ended = await self.repository.finish(cleanup_id, {"state": "completed"})
            self._tell(ended or row)
            return False
        cleaned = [
            found
            for points in (await self.repository.points_of(ids)).values()
            if (found := rules.clean(points, row["actions"], _NORMAL))
        ]
        if not row["dry_run"]:
            for found in cleaned:
                await ContactPointService(self.unit).mend(found[0].customer_id, [each.change for each in found])
        tally = Tally.of(row).add(each for found in cleaned for each in found)
        await self.repository.advance(
            cleanup_id,
            {
                "state": "running",
                "cursor": ids[-1],
                "processed": row["processed"] + len(ids),
                "changed": row["changed"] + len(cleaned),
                "counts": tally.counts,
                "samples": tally.samples,
                "started_at": row["started_at"] or self.unit.now(),
            },
        )
        return True

    async def give_up(self, cleanup_id: UUID, reason: str) -> None:
        """Fail a clean-up whose job failed too often; what was done stays done."""
        ended = await self.repository.finish(cleanup_id, {"state": "failed", "error": reason})
        if ended is not None:
            self._tell(ended)

    def _tell(self, row: Any) -> None:
        told = {name: row[name] for name in ("state", "dry_run", "processed", "changed")}
        self.unit.emit("quality_cleanup.finished", row["id"], told)


class Tally:
    """What a clean-up has done so far."""

    def __init__(self, counts: Sequence[Mapping[str, Any]], samples: Sequence[Mapping[str, Any]]) -> None:
        """Go on from what is stored."""
        self._counts = {each["action"]: each["contact_points"] for each in counts}
        self.samples = list(samples)

    @classmethod
    def of(cls, row: Any) -> "Tally":
        """Read a clean-up's row."""
        return cls(row["counts"], row["samples"])

    def add(self, cleaned: Any) -> "Tally":
        """Count changes, and keep the first of each action to be shown."""
        for each in cleaned:
            number = self._counts[each.action] = self._counts.get(each.action, 0) + 1
            if number <= rules.SAMPLES:
                self.samples.append(
                    {
                        "customer_id": str(each.customer_id),
                        "action": each.action,
                        "before": dict(each.before),
                        "after": each.after,
                    }
                )
        return self

    @property
    def counts(self) -> list[dict[str, Any]]:
        """Return the counts as they are stored."""
        return [{"action": action, "contact_points": number} for action, number in sorted(self._counts.items())]


_NORMAL: Final = rules.Normal(normal_form)
