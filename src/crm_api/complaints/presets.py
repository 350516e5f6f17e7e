"""Which policies of clocks a new tenant has."""

from collections.abc import Mapping
from typing import Any

from crm_api.complaints.clock_policies import BEGIN, ClockPolicyService
from crm_api.db.uow import UnitOfWork


async def load(unit: UnitOfWork, _preset: Mapping[str, Any]) -> None:
    """Make the ready-made policies."""
    for name, active in BEGIN.items():
        await ClockPolicyService(unit).adopt(name, active=active)
