"""What a new tenant's definitions are."""

from collections.abc import Mapping
from typing import Any

from crm_api.classifications.service import ClassificationService
from crm_api.db.uow import UnitOfWork


async def load(unit: UnitOfWork, preset: Mapping[str, Any]) -> None:
    """Store the preset's ``[classifications.…]`` tables over the defaults."""
    await ClassificationService(unit).begin(preset.get("classifications", {}))
