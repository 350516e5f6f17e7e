"""Which calendars a new tenant has."""

from collections.abc import Mapping
from typing import Any, Final

from crm_api.calendars.service import CalendarService
from crm_api.db.uow import UnitOfWork

_CHINA: Final = ("Asia/Shanghai", "Asia/Urumqi")
_OFFICE: Final = [["09:00", "12:00"], ["13:30", "18:00"]]

OFFICE: Final = {
    "name": {"en": "Office hours", "zh": "办公时间"},
    "weekly": {str(day): _OFFICE for day in range(1, 6)},
    "holiday_zones": _CHINA,
}
"""Monday to Friday; in China with its holidays and make-up workdays."""
ALWAYS: Final = {
    "name": {"en": "Around the clock", "zh": "全天候"},
    "weekly": {str(day): [["00:00", "24:00"]] for day in range(1, 8)},
}
"""For limits in natural hours, such as those of platforms."""


async def load(unit: UnitOfWork, preset: Mapping[str, Any]) -> None:
    """Make the office hours (the default), those of the preset's ``[calendars]`` table, and one around the clock."""
    own = preset.get("calendars")
    shop = [{"name": own["name"], "weekly": {str(day): own["hours"] for day in own["days"]}}] if own else []
    await CalendarService(unit).begin([OFFICE, *shop, ALWAYS])
