"""What can be done about a person's data: a copy of it, its erasure, and how long both take."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from crm_api.consent.service import ConsentService
from crm_api.core.errors import Conflict, NotFound
from crm_api.core.ids import new_id
from crm_api.db.uow import UnitOfWork
from crm_api.privacy.models import ErasureCreate, PrivacySettings, PrivacySettingsUpdate
from crm_api.privacy.repository import ErasureRepository, ExportRepository, PrivacySettingsRepository

READ = "privacy:read"
WRITE = "privacy:write"
EXPORT_JOB = "privacy.export"
ERASE_JOB = "privacy.erase"

WITHDRAWN_BY: Final = "erasure_request"
"""Source of the withdrawals that come with the wish to be erased."""


class SubjectExportService:
    """Copies of all that is kept about a customer. The work itself is in ``runner.py``."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ExportRepository(unit)

    async def start(self, customer_id: UUID) -> UUID:
        """Queue a copy of a customer's data; returns the export's id.

        Deleted customers may ask too: what is kept of them is still theirs.

        Raises:
            NotFound: there is no such customer.
            Conflict: ``erased``: nothing is left to be copied.

        """
        self.unit.actor.require(WRITE)
        subject_id = await _subject(self.unit, customer_id)
        export_id = new_id()
        await self.repository.insert({"id": export_id, "customer_id": subject_id})
        told = {"customer_id": str(subject_id)}
        self.unit.audit("subject_export.requested", "SubjectExport", export_id, after=told)
        self.unit.emit("subject_export.requested", export_id, told)
        await self.unit.enqueue(EXPORT_JOB, {"export_id": str(export_id)})
        return export_id

    async def fetch(self, export_id: UUID) -> bytes:
        """Return a finished archive; that somebody took it is audited.

        Raises:
            NotFound: there is no such export.
            Conflict: ``export_not_ready``, or ``export_expired``: deleted again.

        """
        self.unit.actor.require(READ)
        row = await self.repository.get(export_id)
        expired = row["expires_at"] is not None and row["expires_at"] <= self.unit.now()
        if row["state"] == "expired" or expired:
            raise Conflict(
                "This archive was deleted: ask for a new one",
                zh="该文件已过期删除：请重新申请",
                code="export_expired",
            )
        if row["state"] != "completed":
            raise Conflict(
                f"The archive is not ready: it is {row['state']}",
                zh=f"文件尚未就绪：当前状态 {row['state']}",
                code="export_not_ready",
                extra={"state": row["state"]},
            )
        told = {"customer_id": str(row["customer_id"]), "sha256": row["sha256"]}
        self.unit.audit("subject_export.fetched", "SubjectExport", export_id, after=told)
        return await self.repository.archive(export_id)

    async def give_up(self, export_id: UUID, reason: str) -> None:
        """Fail an export whose job failed too often."""
        if await self.repository.finish(export_id, {"state": "failed", "error": reason}):
            self.unit.audit("subject_export.failed", "SubjectExport", export_id)


class ErasureService:
    """Erasures: the wish, its waiting period and its end. The work itself is in ``runner.py``."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ErasureRepository(unit)

    async def request(self, customer_id: UUID, data: ErasureCreate) -> UUID:
        """Note that a customer is to be erased; returns the erasure's id.

        From now on nothing is sent that needs consent: whatever was granted counts as withdrawn, and stays so if the
        erasure is cancelled. The data go when the waiting period is over.

        Raises:
            NotFound: there is no such customer.
            Conflict: ``erased`` already, or ``erasure_pending``, with its ``erasure_id``.

        """
        self.unit.actor.require(WRITE)
        subject_id = await _subject(self.unit, customer_id)
        await self._refuse_second(subject_id)
        days = (await PrivacySettingsRepository(self.unit).read())["erasure_waiting_days"]
        erasure_id, due_at = new_id(), self.unit.now() + timedelta(days=days)
        await self.repository.insert(
            {"id": erasure_id, "customer_id": subject_id, "due_at": due_at, **data.model_dump()}
        )
        await ConsentService(self.unit).withdraw_all(subject_id, WITHDRAWN_BY)
        told = {"customer_id": str(subject_id), "reason": data.reason, "due_at": due_at.isoformat()}
        self.unit.audit("erasure.requested", "Erasure", erasure_id, after=told)
        self.unit.emit("erasure.requested", erasure_id, told)
        await self.unit.enqueue(ERASE_JOB, {"erasure_id": str(erasure_id)}, delay_seconds=days * 86_400)
        return erasure_id

    async def cancel(self, erasure_id: UUID, *, expected_version: int | None = None) -> None:
        """Call an erasure off while it waits.

        Raises:
            Conflict: ``erasure_begun``: it has begun, or ended.

        """
        self.unit.actor.require(WRITE)
        row = await self.repository.get(erasure_id, lock=True, expected_version=expected_version)
        if row["state"] != "waiting":
            raise Conflict(
                f"It can no longer be cancelled: it is {row['state']}",
                zh=f"已无法取消：当前状态 {row['state']}",
                code="erasure_begun",
                extra={"state": row["state"]},
            )
        await self.repository.note(erasure_id, {"state": "cancelled", "finished_at": self.unit.now(), "note": None})
        told = {"customer_id": str(row["customer_id"])}
        self.unit.audit(
            "erasure.cancelled", "Erasure", erasure_id, before={"state": "waiting"}, after={"state": "cancelled"}
        )
        self.unit.emit("erasure.cancelled", erasure_id, told)

    async def give_up(self, erasure_id: UUID, reason: str) -> None:
        """Note that an erasure's job failed too often; the schedule tries again."""
        row = await self.repository.hold(erasure_id)
        if row is not None and row["state"] in {"waiting", "running"}:
            await self.repository.note(erasure_id, {"state": "failed", "error": reason})
            self.unit.audit("erasure.failed", "Erasure", erasure_id)

    async def enqueue_again(self, erasure_id: UUID, *, sweep: bool) -> None:
        """Queue an erasure that is due, was forgotten, or waits for its sweep; a second job does no harm."""
        if not sweep:
            await self.repository.note(erasure_id, {})
        await self.unit.enqueue(ERASE_JOB, {"erasure_id": str(erasure_id), "sweep": sweep})

    async def refuse_while_pending(self, customer_ids: list[UUID]) -> None:
        """Raise when one of these customers is to be erased: for merges, which erasure would make irreversible."""
        pending = await self.repository.open_of(customer_ids)
        if pending is not None:
            raise Conflict(
                "One of these customers is to be erased: cancel that first, or wait until it is done",
                zh="其中一位客户正在等待删除：请先取消，或等待删除完成",
                code="erasure_pending",
                extra={"erasure_id": str(pending)},
            )

    async def _refuse_second(self, subject_id: UUID) -> None:
        pending = await self.repository.open_of([subject_id])
        if pending is not None:
            raise Conflict(
                "This customer is to be erased already",
                zh="该客户已申请删除",
                code="erasure_pending",
                extra={"erasure_id": str(pending)},
            )


class PrivacySettingsService:
    """How long erasures wait and archives are kept."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = PrivacySettingsRepository(unit)

    async def settings(self) -> PrivacySettings:
        """Return the settings."""
        self.unit.actor.require(READ)
        return PrivacySettings(**await self.repository.read())

    async def configure(self, data: PrivacySettingsUpdate) -> PrivacySettings:
        """Change the settings given; returns all. Erasures under way keep their day."""
        self.unit.actor.require(WRITE)
        before = await self.repository.read()
        after: dict[str, Any] = {**before, **data.model_dump(exclude_unset=True)}
        await self.repository.write(after)
        if after != before:
            self.unit.audit("privacy_settings.updated", "Tenant", self.unit.tenant_id, before=before, after=after)
        return PrivacySettings(**after)


async def _subject(unit: UnitOfWork, customer_id: UUID) -> UUID:
    """Return the customer an id means, deleted or not, held; an id that was merged means the winner."""
    repository = ErasureRepository(unit)
    row = await repository.subject(customer_id)
    if row is not None and row["merged_into_id"] is not None:
        row = await repository.subject(row["merged_into_id"])
    if row is None:
        raise NotFound
    if row["erased_at"] is not None:
        raise Conflict("This customer was erased", zh="该客户的个人信息已被删除", code="erased")
    subject_id: UUID = row["id"]
    return subject_id


__all__ = ["READ", "WRITE", "ErasureService", "PrivacySettingsService", "SubjectExportService"]
