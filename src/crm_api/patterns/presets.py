"""What a new tenant's windows and thresholds are."""

from collections.abc import Mapping
from typing import Any

from crm_api.db.uow import UnitOfWork
from crm_api.patterns.rules import PatternSettings
from crm_api.patterns.service import PatternService


async def load(unit: UnitOfWork, preset: Mapping[str, Any]) -> None:
    """Store the preset's ``[patterns]`` table; without one the defaults hold."""
    if "patterns" in preset:
        await PatternService(unit).set_up(PatternSettings.of(preset["patterns"]))
