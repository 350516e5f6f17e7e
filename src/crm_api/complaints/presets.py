"""What a new tenant's cases start with."""

from collections.abc import Mapping
from typing import Any, Final

from crm_api.complaints.causes import ComplaintCauseService, ComplaintSettingsService
from crm_api.complaints.clock_policies import ClockPolicyService
from crm_api.complaints.taxonomy import ready_made
from crm_api.db.uow import UnitOfWork

SETTINGS: Final = {"reopen_days": 30, "close_after_days": 14, "resume_on_message": True, "known_causes_only": False}


async def load(unit: UnitOfWork, preset: Mapping[str, Any]) -> None:
    """Store the settings, the taxonomy and the ready-made policies of clocks.

    The preset's ``[complaints]`` table changes the settings and adds to the taxonomy.
    """
    own = preset.get("complaints", {})
    await ComplaintSettingsService(unit).preset({**SETTINGS, **own.get("settings", {})})
    await ComplaintCauseService(unit).preset(ready_made(preset))
    await ClockPolicyService(unit).begin()
