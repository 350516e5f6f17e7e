"""What a new tenant's earning rules are: none, so the programme's own formula counts, without limits."""

from collections.abc import Mapping
from typing import Any

from crm_api.db.uow import UnitOfWork
from crm_api.earning.repository import LimitsRepository


async def load(unit: UnitOfWork, _preset: Mapping[str, Any]) -> None:
    """Make the row of limits."""
    await LimitsRepository(unit).begin()
