"""What can be done with loyalty programmes."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from crm_api.core.errors import Conflict, FieldError, Invalid
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as
from crm_api.loyalty.ledger import WRITE
from crm_api.loyalty.models import LoyaltyProgrammeCreate, LoyaltyProgrammeUpdate
from crm_api.loyalty.repository import ProgrammeRepository


class ProgrammeService:
    """Loyalty programmes: one of them is the default one."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ProgrammeRepository(unit)

    async def create(self, data: LoyaltyProgrammeCreate) -> UUID:
        """Start a programme; returns its id. A shop's first one is its default one.

        Raises:
            Invalid: its settings do not go together.

        """
        self.unit.actor.require(WRITE)
        values = _stored(data.model_dump())
        values["time_zone"] = values["time_zone"] or await self.repository.tenant_time_zone()
        _check(values)
        default = await self.repository.lock_default()
        if default is None:
            values["is_default"] = True
        elif values["is_default"]:
            await self.repository.give_up_default(default)
        with unique_as({"uq_loyalty_programmes_default": _RACE}):
            programme_id = await self.repository.add(values)
        self._tell("loyalty_programme.created", programme_id, after=values)
        return programme_id

    async def update(
        self, programme_id: UUID, data: LoyaltyProgrammeUpdate, *, expected_version: int | None = None
    ) -> None:
        """Change the settings given; they hold for points given from now on.

        Raises:
            NotFound: no such programme.
            PreconditionFailed: its version is not the expected one.
            Invalid: its settings do not go together, or it would stop being the default one by itself.
            Conflict: ``programme_in_use``, its scale cannot change any more.

        """
        self.unit.actor.require(WRITE)
        default = await self.repository.lock_default()
        before = await self.repository.get(programme_id, lock=True, expected_version=expected_version)
        changes = _stored(data.model_dump(include=data.model_fields_set))
        _check({**dict(before), **changes})
        if before["is_default"] and changes.get("is_default") is False:
            raise _STAYS_DEFAULT
        if changes.get("scale", before["scale"]) != before["scale"] and await self.repository.has_wallets(programme_id):
            raise _IN_USE
        if changes.get("is_default") and default is not None and default != programme_id:
            await self.repository.give_up_default(default)
        with unique_as({"uq_loyalty_programmes_default": _RACE}):
            await self.repository.change(programme_id, changes)
        self._tell(
            "loyalty_programme.updated", programme_id, before={name: before[name] for name in changes}, after=changes
        )

    def _tell(
        self,
        operation: str,
        programme_id: UUID,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        self.unit.audit(operation, "LoyaltyProgramme", programme_id, before=_told(before), after=_told(after))
        self.unit.emit(operation, programme_id, {})


def _stored(values: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of what came in."""
    if "points_per_unit" in values:
        values["points_per_unit"] = round(Decimal(str(values["points_per_unit"])), 6)
    return values


def _told(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the settings as plain JSON."""
    if values is None:
        return None
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in values.items()}


def _check(settings: Mapping[str, Any]) -> None:
    """Refuse settings that do not go together."""
    errors = []
    for_ever = settings["expiry_months"] is None and settings["expiry_days"] is None
    if settings["expiry_end"] != "day" and for_ever:
        errors.append(
            FieldError(
                "/expiry_end",
                "needs_expiry",
                "Points that live for ever end with no month: set expiry_months or expiry_days",
                "永久有效的积分没有到期日：请设置 expiry_months 或 expiry_days",
            )
        )
    if settings["restore_policy"] == "grace" and not settings["grace_days"]:
        errors.append(
            FieldError(
                "/grace_days",
                "required",
                "Grace takes at least 1 day: set grace_days",
                "宽限期至少 1 天：请设置 grace_days",
            )
        )
    if errors:
        raise Invalid(errors=errors)


_STAYS_DEFAULT: Final = Invalid.field(
    "/is_default",
    "default_needed",
    "A shop with programmes has a default one: make another the default one instead",
    "必须有一个默认积分计划：请将其他计划设为默认",
)
_IN_USE: Final = Conflict(
    "Customers have points in this programme, so its scale stays: start another programme",
    zh="该计划已有客户积分，小数位数不可更改：请新建计划",
    code="programme_in_use",
    errors=[FieldError("/scale", "programme_in_use", "It cannot change any more", "不可再更改")],
)
_RACE: Final = Conflict(
    "Another programme became the default one just now: send it again",
    zh="刚刚有其他计划成为默认计划：请重试",
    code="default_changed",
)
