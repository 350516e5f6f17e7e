"""What a new tenant's thresholds are."""

from collections.abc import Mapping
from typing import Any

from crm_api.classifications.rules import ScoringSettings
from crm_api.classifications.scoring import ScoringService
from crm_api.db.uow import UnitOfWork


async def load(unit: UnitOfWork, preset: Mapping[str, Any]) -> None:
    """Store the preset's ``[scoring]`` table."""
    if "scoring" in preset:
        await ScoringService(unit).configure(ScoringSettings.of(preset["scoring"]))
