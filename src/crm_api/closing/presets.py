"""What a new tenant's closing settings are."""

from collections.abc import Mapping
from typing import Any

from crm_api.closing.service import ClosingSettingsService
from crm_api.db.uow import UnitOfWork


async def load(unit: UnitOfWork, _preset: Mapping[str, Any]) -> None:
    """Store the defaults."""
    await ClosingSettingsService(unit).begin()
