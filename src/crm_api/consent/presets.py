"""What a new tenant's consent settings are."""

from collections.abc import Mapping
from typing import Any

from crm_api.consent.models import ConsentSettingsUpdate
from crm_api.consent.service import ConsentService
from crm_api.db.uow import UnitOfWork


async def load(unit: UnitOfWork, preset: Mapping[str, Any]) -> None:
    """Store the preset's ``[consent]`` table; without one the defaults hold."""
    if "consent" in preset:
        await ConsentService(unit).configure(ConsentSettingsUpdate.model_validate(preset["consent"]))
