"""What a new tenant's waiting periods are."""

from collections.abc import Mapping
from typing import Any

from crm_api.db.uow import UnitOfWork
from crm_api.privacy.models import PrivacySettingsUpdate
from crm_api.privacy.service import PrivacySettingsService


async def load(unit: UnitOfWork, preset: Mapping[str, Any]) -> None:
    """Store the preset's ``[privacy]`` table; without one the defaults hold."""
    if "privacy" in preset:
        await PrivacySettingsService(unit).configure(PrivacySettingsUpdate.model_validate(preset["privacy"]))
