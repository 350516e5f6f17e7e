"""What can be done about customers who may be one."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from crm_api.core.errors import Conflict, FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.db.ownership import Merged
from crm_api.db.uow import UnitOfWork
from crm_api.duplicates.models import CandidateAccept, CandidateReject, RunStart
from crm_api.duplicates.repository import READ, CandidateRepository, FeatureRepository, RunRepository
from crm_api.merges.service import MergeService

WRITE = "duplicates:write"
SEARCH_JOB: Final = "duplicates.search"

__all__ = ["READ", "SEARCH_JOB", "WRITE", "CandidateService", "DuplicateRunService"]


class DuplicateRunService:
    """Searches for duplicates."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = RunRepository(unit)

    async def start(self, data: RunStart) -> UUID:
        """Queue a search; returns its id.

        Raises:
            Conflict: ``search_running``: one is queued or at work, ``run_id`` names it.

        """
        self.unit.actor.require(WRITE)
        active = await self.repository.active()
        if active is not None:
            raise Conflict(
                "A search for duplicates is at work: wait for it, or poll it",
                zh="正在查找重复客户：请等待其完成或查询其进度",
                code="search_running",
                extra={"run_id": str(active)},
            )
        run_id = new_id()
        await self.repository.insert({"id": run_id, "kind": data.kind})
        await self.unit.enqueue(SEARCH_JOB, {"run_id": str(run_id)})
        self.unit.audit("duplicates.search_started", "DuplicateRun", run_id, after=data.model_dump(mode="json"))
        return run_id

    async def fail(self, run_id: UUID, reason: str) -> None:
        """Give a search up; what it found so far stays."""
        run = await self.repository.find(run_id, lock=True)
        if run is not None and run["state"] in {"queued", "running"}:
            await self.repository.change(
                run_id, {"state": "failed", "error": reason[:1000], "finished_at": self.unit.now()}
            )


class CandidateService:
    """Pairs that may be one customer."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = CandidateRepository(unit)

    async def accept(self, candidate_id: UUID, data: CandidateAccept, *, expected_version: int | None = None) -> UUID:
        """Merge the two; returns the merge's id.

        Raises:
            NotFound: there is no such pair.
            Conflict: it was decided before, or what a merge refuses.
            Invalid: the winner is neither of them, or a choice cannot be.

        """
        self.unit.actor.require(WRITE)
        row = await self._open(candidate_id, expected_version)
        sides = {row["first_id"], row["second_id"]}
        winner_id = data.winner_id or row["first_id"]
        if winner_id not in sides:
            raise Invalid.field("/winner_id", "unknown_choice", "Name one of the two customers", "请填写这两个客户之一")
        # First decided, then merged: a merge drops what is still open about its losers.
        await self._decide(candidate_id, "accepted", data.note)
        (loser_id,) = sides - {winner_id}
        merge_id = await MergeService(self.unit).merge(winner_id, [loser_id], data.field_choices)
        await self.repository.change(candidate_id, {"merge_id": merge_id})
        self._tell("accepted", candidate_id, {"winner_id": str(winner_id), "merge_id": str(merge_id)}, data.note)
        return merge_id

    async def reject(self, candidate_id: UUID, data: CandidateReject, *, expected_version: int | None = None) -> None:
        """Remember that they are two; rejecting again changes nothing.

        Raises:
            NotFound: there is no such pair.
            Conflict: it was accepted.

        """
        self.unit.actor.require(WRITE)
        row = await self.repository.get(candidate_id, lock=True, expected_version=expected_version)
        if row["state"] == "rejected":
            return
        _must_be_open(row["state"])
        await self._decide(candidate_id, "rejected", data.note)
        self._tell("rejected", candidate_id, {}, data.note)

    async def forget(self, customer_ids: Sequence[UUID]) -> None:
        """Forget customers who are gone: what is compared of them, and pairs that are open."""
        await FeatureRepository(self.unit).forget(customer_ids)

    async def merge_undone(self, merged: Merged) -> None:
        """A merge was taken back: the pair it came from is rejected, so that nobody is asked again."""
        for candidate_id in await self.repository.undone(merged.id):
            self._tell("rejected", candidate_id, {"merge_id": str(merged.id)}, None)

    async def _open(self, candidate_id: UUID, expected_version: int | None) -> Any:
        row = await self.repository.get(candidate_id, lock=True, expected_version=expected_version)
        _must_be_open(row["state"])
        return row

    async def _decide(self, candidate_id: UUID, state: str, note: str | None) -> None:
        await self.repository.change(
            candidate_id,
            {"state": state, "note": note, "decided_at": self.unit.now(), "decided_by": self.unit.actor.id},
        )

    def _tell(self, what: str, candidate_id: UUID, after: dict[str, Any], note: str | None) -> None:
        self.unit.audit(
            f"duplicate_candidate.{what}", "DuplicateCandidate", candidate_id, after={**after, "note": note}
        )
        self.unit.emit(f"duplicate_candidate.{what}", candidate_id, after)


def _must_be_open(state: str) -> None:
    if state != "open":
        raise Conflict(
            f"This pair is {state} already",
            zh="该重复项已处理",
            code="already_decided",
            errors=[FieldError("/path/id", "already_decided", f"This pair is {state} already", "该重复项已处理")],
        )
