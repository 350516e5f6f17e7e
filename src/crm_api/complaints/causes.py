"""The taxonomy: what cases can be about, and why they happened; and the settings of a shop's cases."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from crm_api import presets
from crm_api.accounts.service import AccountService
from crm_api.complaints.cause_models import (
    ComplaintCauseCreate,
    ComplaintCausesAdopt,
    ComplaintCausesAdopted,
    ComplaintCauseUpdate,
    ComplaintSettingsUpdate,
)
from crm_api.complaints.repository.causes import CauseRepository, SettingsRepository
from crm_api.complaints.taxonomy import ready_made
from crm_api.core.errors import Duplicate, FieldError, Invalid, PreconditionFailed
from crm_api.core.ids import new_id
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as

WRITE = "complaints:write"

_TAKEN = {
    "uq_complaint_causes_tenant_id_path": Duplicate(
        errors=[
            FieldError(
                "/path", "duplicate", "There is one with this path: change that one", "已有相同路径的分类：请修改该项"
            )
        ]
    )
}


class ComplaintCauseService:
    """Places of the taxonomy. Once there is one, cases name only what is in it."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = CauseRepository(unit)

    async def create(self, data: ComplaintCauseCreate) -> UUID:
        """Add a place; returns its id.

        Raises:
            Invalid: what lies above it is not there or is archived, or there is no such skill.
            Duplicate: there is one with this path.

        """
        self.unit.actor.require(WRITE)
        above = data.path.rpartition("/")[0]
        if above and not await self.repository.usable([above], listed=True):
            text, zh = f"Add '{above}' first: paths lead from there", f"请先添加上级分类 “{above}”"
            raise Invalid.field("/path", "unknown_cause", text, zh)
        await self._check_skills(data.required_skill_ids)
        cause_id, row = new_id(), data.model_dump()
        with unique_as(_TAKEN):
            await self.repository.insert({"id": cause_id, **row})
        self._tell("created", cause_id, None, data.model_dump(mode="json"))
        return cause_id

    async def update(self, cause_id: UUID, data: ComplaintCauseUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given.

        Raises:
            NotFound: there is none.
            PreconditionFailed: its version is not the expected one.
            Invalid: there is no such skill.

        """
        self.unit.actor.require(WRITE)
        before = await self.repository.get(cause_id, lock=True, expected_version=expected_version)
        given = data.model_dump(include=data.model_fields_set)
        changes = {name: value for name, value in given.items() if before[name] != value}
        if not changes:
            return
        await self._check_skills(changes.get("required_skill_ids", ()))
        await self.repository.change(cause_id, changes)
        was = {name: _plain(before[name]) for name in changes}
        self._tell("updated", cause_id, was, {name: _plain(value) for name, value in changes.items()})

    async def adopt(self, data: ComplaintCausesAdopt) -> ComplaintCausesAdopted:
        """Add what the shop lacks of a trade's ready-made taxonomy; what is there stays as it is."""
        self.unit.actor.require(WRITE)
        preset = data.preset or (await AccountService(self.unit).tenant()).preset
        added = await self.preset(ready_made(presets.load(preset)))
        if added:
            told = {"preset": preset, "added": added}
            self.unit.audit("complaint_causes.adopted", "Tenant", self.unit.tenant_id, after=told)
            self.unit.emit("complaint_causes.adopted", self.unit.tenant_id, told)
        return ComplaintCausesAdopted.model_validate({"preset": preset, "added": added})

    async def preset(self, causes: Mapping[str, Mapping[str, str]]) -> int:
        """Store those of these places, path → name in both languages, that there are not; returns how many."""
        return await self.repository.add_new(causes)

    async def _check_skills(self, ids: Iterable[UUID]) -> None:
        wanted = list(ids)
        known = await self.repository.known_skills(wanted) if wanted else set()
        errors = [
            FieldError(f"/required_skill_ids/{place}", "unknown_reference", "There is no such skill", "没有此技能")
            for place, skill_id in enumerate(wanted)
            if skill_id not in known
        ]
        if errors:
            raise Invalid(errors=errors)

    def _tell(self, what: str, cause_id: UUID, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> None:
        self.unit.audit(f"complaint_cause.{what}", "ComplaintCause", cause_id, before=before, after=after)
        self.unit.emit(f"complaint_cause.{what}", cause_id, {})


class ComplaintSettingsService:
    """What holds for all cases of the shop."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = SettingsRepository(unit)

    async def change(self, data: ComplaintSettingsUpdate, *, expected_version: int | None = None) -> None:
        """Change the settings given; they hold at once, also for cases there are.

        Raises:
            PreconditionFailed: their version is not the expected one.

        """
        self.unit.actor.require(WRITE)
        before = await self.repository.row(lock=True)
        given = data.model_dump(include=data.model_fields_set)
        changes = {name: value for name, value in given.items() if before[name] != value}
        if expected_version is not None and expected_version != before["version"]:
            raise PreconditionFailed
        if changes:
            await self.repository.store(changes)
            was = {name: before[name] for name in changes}
            tenant_id = self.unit.tenant_id
            self.unit.audit("complaint_settings.updated", "Tenant", tenant_id, before=was, after=changes)
            self.unit.emit("complaint_settings.updated", tenant_id, {})

    async def preset(self, settings: Mapping[str, Any]) -> None:
        """Store what a new tenant starts with."""
        await self.repository.store(settings)


def _plain(value: Any) -> Any:
    """Return a column's value as JSON for the audit log."""
    return [str(each) for each in value] if isinstance(value, list) else value
