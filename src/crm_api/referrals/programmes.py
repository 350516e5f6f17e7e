"""What can be done with referral programmes."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from crm_api.core.errors import Duplicate, FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as
from crm_api.loyalty.service import WRITE as WRITE_POINTS
from crm_api.referrals.models import ReferralProgrammeCreate, ReferralProgrammeUpdate, ReferralReward
from crm_api.referrals.repository import ProgrammeRepository
from crm_api.referrals.service import WRITE
from crm_api.vouchers.service import WRITE as WRITE_VOUCHERS


class ReferralProgrammeService:
    """Programmes: what is promised, and what is looked at before it is given."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ProgrammeRepository(unit)

    async def create(self, data: ReferralProgrammeCreate) -> UUID:
        """Start a programme; returns its id.

        Raises:
            Duplicate: another one has the name.
            Invalid: it ends before it starts.

        """
        self._require(data)
        programme_id, values = new_id(), _columns(data, data.model_dump())
        await self._check_campaigns(data)
        with unique_as(_PROGRAMME_ERRORS):
            await self.repository.insert({"id": programme_id, **values})
        told = data.model_dump(mode="json")
        self.unit.audit("referral_programme.created", "ReferralProgramme", programme_id, after=told)
        self.unit.emit("referral_programme.created", programme_id, {"name": data.name})
        return programme_id

    async def update(
        self, programme_id: UUID, data: ReferralProgrammeUpdate, *, expected_version: int | None = None
    ) -> None:
        """Change the fields that were given; friends who signed up before keep what they were promised.

        Raises:
            NotFound: there is no such programme.
            PreconditionFailed: somebody was faster.
            Duplicate: another one has the name.
            Invalid: it would end before it starts.

        """
        self._require(data)
        before = await self.repository.get(programme_id, lock=True, expected_version=expected_version)
        given = _columns(data, data.model_dump(include=data.model_fields_set))
        if "checks" in given:
            given["checks"] = {**before["checks"], **data.checks.model_dump(exclude_unset=True)}
        changes = {name: value for name, value in given.items() if value != before[name]}
        if not changes:
            return
        await self._check_campaigns(data)
        with unique_as(_PROGRAMME_ERRORS):
            await self.repository.change(programme_id, changes)
        self.unit.audit(
            "referral_programme.updated",
            "ReferralProgramme",
            programme_id,
            before={name: _plain(before[name]) for name in changes},
            after={name: _plain(value) for name, value in changes.items()},
        )
        self.unit.emit("referral_programme.updated", programme_id, {"changed": sorted(changes)})

    def _require(self, data: ReferralProgrammeCreate | ReferralProgrammeUpdate) -> None:
        """Require what the rewards that are written take: a programme that gives something is a way to give it."""
        self.unit.actor.require(WRITE)
        for reward in filter(None, (data.referrer_reward, data.friend_reward)):
            if reward.points:
                self.unit.actor.require(WRITE_POINTS)
            if reward.voucher_campaign_id is not None:
                self.unit.actor.require(WRITE_VOUCHERS)

    async def _check_campaigns(self, data: ReferralProgrammeCreate | ReferralProgrammeUpdate) -> None:
        for name in ("referrer_reward", "friend_reward"):
            reward: ReferralReward | None = getattr(data, name)
            campaign_id = reward.voucher_campaign_id if reward else None
            if campaign_id is not None and not await self.repository.gives_vouchers(campaign_id):
                raise Invalid.field(
                    f"/{name}/voucher_campaign_id",
                    "unknown_reference",
                    "There is no campaign of unique codes with this id",
                    "没有此一人一码的优惠券活动",
                )


def _columns(data: ReferralProgrammeCreate | ReferralProgrammeUpdate, values: dict[str, Any]) -> dict[str, Any]:
    """Return the columns that the given fields set."""
    if "minimum_order" in values:
        values.pop("minimum_order")
        minimum = data.minimum_order
        values["minimum_amount"] = None if minimum is None else minimum.amount
        values["minimum_currency"] = None if minimum is None else minimum.currency
    for name in ("referrer_reward", "friend_reward"):
        if name in values:
            values[name] = _shown(getattr(data, name))
    return values


def _shown(reward: ReferralReward | None) -> dict[str, Any] | None:
    return None if reward is None else reward.model_dump(mode="json")


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


_NAME: Final = Duplicate(
    errors=[FieldError("/name", "duplicate", "There is a programme with this name", "已存在同名的推荐计划")]
)
_TIMES: Final = Invalid.field("/ends_at", "wrong_order", "It ends before it starts", "结束时间早于开始时间")
_PROGRAMME_ERRORS: Final = {"uq_referral_programmes_name": _NAME, "ck_referral_programmes_times": _TIMES}
