"""What a new tenant's churn settings are."""

from collections.abc import Mapping
from typing import Any

from crm_api.churn.rules import DEFAULTS
from crm_api.churn.service import ChurnSettingsService
from crm_api.db.uow import UnitOfWork


async def load(unit: UnitOfWork, preset: Mapping[str, Any]) -> None:
    """Store the defaults with what the preset's ``[churn]`` table changes."""
    await ChurnSettingsService(unit).preset(DEFAULTS.changed(preset.get("churn", {})))
