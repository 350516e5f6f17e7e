"""What a new tenant's stages are."""

from collections.abc import Mapping
from typing import Any

from crm_api.db.uow import UnitOfWork
from crm_api.households.rules import StageSettings
from crm_api.households.service import HouseholdService


async def load(unit: UnitOfWork, preset: Mapping[str, Any]) -> None:
    """Store the preset's ``[households]`` table; without one the default stages hold."""
    if "households" in preset:
        await HouseholdService(unit).set_stages(StageSettings.of(preset["households"]))
