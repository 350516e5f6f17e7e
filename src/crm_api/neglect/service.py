"""What can be done with standards of contact."""

from typing import Final
from uuid import UUID

from crm_api.core.errors import Duplicate, FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as
from crm_api.neglect.models import ContactStandardCreate, ContactStandardUpdate
from crm_api.neglect.repository import StandardRepository
from crm_api.tiers.service import TierService

WRITE = "staff:write"

_LEVELS: Final = ("high", "mid", "low")
_CLASSES: Final = {
    "all": ("*",),
    "frequency": _LEVELS,
    "amount": ("large", "mid", "small"),
    "loyalty": ("loyal", "regular", "lost"),
    "value": _LEVELS,
    "activity": ("active", "dormant", "lost"),
    "grade": ("A", "B", "C", "D"),
    "lifecycle": ("prospect", "first_purchase", "repeat", "loyal", "dormant", "lost"),
    "value_potential": tuple(f"{value}_{potential}" for value in _LEVELS for potential in _LEVELS),
}
_TAKEN = {
    "uq_contact_standards_tenant_id_dimension_class_name": Duplicate(
        errors=[
            FieldError(
                "/class_name", "duplicate", "This class has a standard: change that one", "该类别已有标准：请修改"
            )
        ]
    )
}


class ContactStandardService:
    """How often customers of a class should hear from their owner."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.standards = StandardRepository(unit)

    async def create(self, data: ContactStandardCreate) -> UUID:
        """Set a standard; it holds at once.

        Raises:
            Invalid: the classification has no such class, or no tier this code.
            Duplicate: the class has a standard.

        """
        self.unit.actor.require(WRITE)
        await self._check(data)
        standard_id, row = new_id(), data.model_dump()
        with unique_as(_TAKEN):
            await self.standards.insert({"id": standard_id, **row})
        self.unit.audit("contact_standard.created", "ContactStandard", standard_id, after=row)
        self.unit.emit("contact_standard.created", standard_id, {})
        return standard_id

    async def _check(self, data: ContactStandardCreate) -> None:
        if data.dimension == "tier":
            await TierService(self.unit).require_code(data.class_name, "/class_name")
            return
        known = _CLASSES[data.dimension]
        if data.class_name not in known:
            shown = ", ".join(known)
            raise Invalid.field("/class_name", "unknown_choice", f"Its classes are: {shown}", f"可选：{shown}")

    async def update(
        self, standard_id: UUID, data: ContactStandardUpdate, *, expected_version: int | None = None
    ) -> None:
        """Change how often."""
        self.unit.actor.require(WRITE)
        before = await self.standards.get(standard_id, lock=True, expected_version=expected_version)
        if before["every_days"] == data.every_days:
            return
        await self.standards.change(standard_id, data.model_dump())
        was = {"every_days": before["every_days"]}
        self.unit.audit("contact_standard.updated", "ContactStandard", standard_id, before=was, after=data.model_dump())
        self.unit.emit("contact_standard.updated", standard_id, {})

    async def delete(self, standard_id: UUID, *, expected_version: int | None = None) -> None:
        """Ask for nothing of the class any more."""
        self.unit.actor.require(WRITE)
        before = await self.standards.get(standard_id, lock=True, expected_version=expected_version)
        await self.standards.remove(standard_id)
        was = {name: before[name] for name in ("dimension", "class_name", "every_days")}
        self.unit.audit("contact_standard.deleted", "ContactStandard", standard_id, before=was)
        self.unit.emit("contact_standard.deleted", standard_id, {})
