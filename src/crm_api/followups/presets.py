"""Which follow-up plans a new tenant has: drafts that make no task until the shop has read and activated them."""

from collections.abc import Mapping
from typing import Any, Final

from crm_api.accounts.service import AccountService
from crm_api.db.uow import UnitOfWork
from crm_api.followups.models import FollowUpPlanCreate
from crm_api.followups.plans import FollowUpPlanService

LOW_RATINGS: Final = {
    "name": {"en": "Low ratings after complaints", "zh": "投诉低分回访"},
    "trigger": "low_rating",
    "channels": ["call", "wechat"],
    "script": {
        "en": "What was missing in how the case was handled; what would make it good",
        "zh": "对处理过程哪里不满意；怎样才能弥补",
    },
}
"""What every shop has beside the cadences of its trade."""


async def load(unit: UnitOfWork, preset: Mapping[str, Any]) -> None:
    """Store the preset's ``[[followups.plans]]`` and the one for low ratings, in the language of the tenant."""
    locale = (await AccountService(unit).tenant()).locale
    for each in (*preset.get("followups", {}).get("plans", ()), LOW_RATINGS):
        words = {name: each[name].get(locale, each[name]["en"]) for name in ("name", "script")}
        plan = FollowUpPlanCreate.model_validate({**each, **words, "state": "draft"})
        await FollowUpPlanService(unit).create(plan)
