"""What tiers a new tenant starts with."""

from collections.abc import Mapping
from typing import Any

from crm_api.db.uow import UnitOfWork
from crm_api.tiers.models import TierSchemeCreate
from crm_api.tiers.service import TierService


async def load(unit: UnitOfWork, preset: Mapping[str, Any]) -> None:
    """Make the default programme's tiers from the preset's ``[tiers]`` table; a preset without one has none."""
    table = preset.get("tiers")
    if table is not None:
        await TierService(unit).preset(TierSchemeCreate.model_validate(table))
