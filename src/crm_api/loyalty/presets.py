"""What a new tenant's loyalty programme is."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from crm_api.db.uow import UnitOfWork
from crm_api.loyalty.service import LoyaltyService


async def load(unit: UnitOfWork, preset: Mapping[str, Any]) -> None:
    """Make the default programme from the preset's ``[loyalty]`` table; a preset without one has no programme."""
    table = preset.get("loyalty")
    if table is not None:
        values = {**table, "points_per_unit": Decimal(str(table.get("points_per_unit", 1)))}
        await LoyaltyService(unit).start_programme(values)
