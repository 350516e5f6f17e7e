"""What can be done with rewards and their redemptions."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from crm_api.core.errors import Conflict, Duplicate, FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.customers.service import CustomerService
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as
from crm_api.loyalty.service import READ, WRITE, LoyaltyService
from crm_api.rewards import rules
from crm_api.rewards.models import RewardCheck, RewardCreate, RewardRequest, RewardStep, RewardUpdate
from crm_api.rewards.repository import (
    Due,
    RewardRedemptionRepository,
    RewardRepository,
    checked_rule,
    is_eligible,
)
from crm_api.vouchers.service import WRITE as WRITE_VOUCHERS
from crm_api.vouchers.service import VoucherService

Row = Mapping[str, Any]
_GONE: Final = frozenset({"timed_out", "voided"})
"""States of a hold whose points are back with the customer."""

BATCH: Final = 100
"""Redemptions that the schedule looks up at once; each is cancelled in a transaction of its own."""

_SPARE: Final = timedelta(hours=1)
"""How much longer the ledger holds the points than a request lives: nothing is confirmed without points."""

_NAME_TAKEN: Final = {
    "uq_rewards_name": Duplicate(
        errors=[FieldError("/name", "duplicate", "Another reward has this name", "已有同名奖品")]
    )
}


class RewardService:
    """The catalogue."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = RewardRepository(unit)

    async def create(self, data: RewardCreate) -> UUID:
        """Offer a reward; returns its id.

        Raises:
            Invalid: its parts do not go together.
            Duplicate: the name is taken.

        """
        self._require(data.kind)
        await self._check(data)
        row = {**data.model_dump(exclude={"rule"}), "rule": None}
        if data.rule is not None:
            row["rule"] = await checked_rule(self.unit, data.rule)
        _check_window(row)
        reward_id = new_id()
        with unique_as(_NAME_TAKEN):
            await self.repository.insert({"id": reward_id, **row})
        after = data.model_dump(mode="json", exclude_none=True)
        self.unit.audit("reward.created", "Reward", reward_id, after=after)
        self.unit.emit("reward.created", reward_id, {})
        return reward_id

    async def change(self, reward_id: UUID, data: RewardUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given; requests keep the price they were made at.

        Raises:
            NotFound: there is no such reward.
            PreconditionFailed: its version is not the expected one.
            Invalid: its parts would not go together, or there is less stock than is taken.
            Duplicate: the name is taken.

        """
        self.unit.actor.require(WRITE)
        before = await self.repository.get(reward_id, lock=True, expected_version=expected_version)
        self._require(before["kind"])
        given = data.model_fields_set
        changes = data.model_dump(include=given - {"rule"})
        if "rule" in given:
            changes["rule"] = None if data.rule is None else await checked_rule(self.unit, data.rule)
        _check_window({**before, **changes})
        if changes.get("stock") is not None and changes["stock"] < before["taken"]:
            raise Invalid.field(
                "/stock",
                "below_taken",
                f"{before['taken']} pieces are taken already: the stock counts those too",
                f"已兑换 {before['taken']} 件：库存总数不能少于该数量",
            )
        with unique_as(_NAME_TAKEN):
            await self.repository.change(reward_id, changes)
        self.unit.audit("reward.updated", "Reward", reward_id, after=data.model_dump(mode="json", include=given))
        self.unit.emit("reward.updated", reward_id, {})

    async def check(self, reward_id: UUID, data: RewardCheck) -> dict[str, Any]:
        """Tell whether a customer can have a reward now, as `RewardVerdict`; nothing is changed.

        Raises:
            NotFound: there is no such reward or customer.

        """
        self.unit.actor.require(READ)
        reward = dict(await self.repository.get(reward_id))
        await CustomerService(self.unit).require_living(data.customer_id)
        cost = reward["points"] * data.quantity
        available = await self.repository.spendable(data.customer_id, reward["programme_id"])
        reason = await refused(self.repository, reward, data.customer_id, data.quantity)
        if reason is None and available < cost:
            reason = "insufficient_balance"
        return {
            "can_have": reason is None,
            "reason": None if reason is None else {"code": reason, **rules.REASONS[reason]._asdict()},
            "points": cost,
            "available_points": available,
        }

    def _require(self, kind: str) -> None:
        """Require what a reward of this kind takes to be written: one that gives vouchers is a way to give them."""
        self.unit.actor.require(WRITE)
        if kind == "voucher":
            self.unit.actor.require(WRITE_VOUCHERS)

    async def _check(self, data: RewardCreate) -> None:
        if (data.kind == "voucher") != (data.campaign_id is not None):
            code = "required" if data.kind == "voucher" else "unexpected"
            raise Invalid.field(
                "/campaign_id",
                code,
                "Rewards of the kind voucher name their campaign, others none",
                "仅 voucher 类奖品须指定活动",
            )
        if data.campaign_id is not None:
            campaign = await self.repository.giving_campaign(data.campaign_id)
            if campaign is None or campaign["shared_code"] is not None or campaign["state"] == "archived":
                raise Invalid.field(
                    "/campaign_id",
                    "no_giving_campaign",
                    "Name a campaign that has codes of its own and is not archived",
                    "请指定使用独立券码且未归档的活动",
                )
        if data.programme_id is not None and not await self.repository.has_programme(data.programme_id):
            raise Invalid.field("/programme_id", "unknown_reference", "There is no such programme", "没有此积分计划")


class RewardRedemptionService:
    """Redemptions of rewards: requested → confirmed → fulfilled, or cancelled on the way."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = RewardRedemptionRepository(unit)
        self.rewards = RewardRepository(unit)
        self.ledger = LoyaltyService(unit)

    async def request(self, reward_id: UUID, data: RewardRequest) -> UUID:
        """Hold points and stock for a customer; an immediate reward goes on at once. Returns the redemption's id.

        Raises:
            NotFound: there is no such reward or customer.
            Conflict: it cannot be had; the code says why (`rules.REASONS`).
            InsufficientBalance: the customer has too few points.

        """
        self.unit.actor.require(WRITE)
        await CustomerService(self.unit).require_living(data.customer_id)
        reward = dict(await self.rewards.get(reward_id, lock=True))
        reason = await refused(self.rewards, reward, data.customer_id, data.quantity)
        if reason is not None:
            raise Conflict(rules.REASONS[reason].en, zh=rules.REASONS[reason].zh, code=reason)
        points = reward["points"] * data.quantity
        redemption_id, until = new_id(), self.unit.now() + timedelta(days=reward["hold_days"])
        await self.rewards.take(reward_id, data.quantity)
        hold_id = await self.ledger.hold(
            data.customer_id,
            points,
            key=f"reward:{redemption_id}",
            until=until + _SPARE,
            reason=reward["name"],
            programme_id=reward["programme_id"],
            owner_id=redemption_id,
        )
        row = {
            "id": redemption_id,
            "reward_id": reward_id,
            "customer_id": data.customer_id,
            "state": "requested",
            "quantity": data.quantity,
            "points": points,
            "hold_id": hold_id,
            "note": data.note,
            "held_until": until,
        }
        await self.repository.insert(row)
        self._tell("reward_redemption.requested", row)
        if reward["immediate"]:
            await self.confirm(redemption_id)
            if reward["kind"] == "voucher":
                await self.fulfil(redemption_id)
        return redemption_id

    async def confirm(self, redemption_id: UUID, data: RewardStep | None = None) -> None:
        """Spend the points.

        Raises:
            NotFound: there is no such redemption.
            Conflict: it is confirmed, fulfilled or cancelled already.

        """
        self.unit.actor.require(WRITE)
        row = await self._locked(redemption_id, "confirm")
        key = f"reward:{redemption_id}:confirmed"
        await self.ledger.post_hold(row["hold_id"], key=key, owner_id=redemption_id)
        await self._move(row, "confirm", data, {"confirmed_at": self.unit.now(), "held_until": None})

    async def fulfil(self, redemption_id: UUID, data: RewardStep | None = None) -> None:
        """Note that the customer has it; vouchers are given with this step. Raises as `confirm`."""
        self.unit.actor.require(WRITE)
        row = await self._locked(redemption_id, "fulfil")
        vouchers = await self._vouchers(row)
        await self._move(row, "fulfil", data, {"fulfilled_at": self.unit.now(), "voucher_ids": vouchers})

    async def cancel(self, redemption_id: UUID, data: RewardStep | None = None) -> None:
        """Give points and stock back. Raises as `confirm`: what is fulfilled is not cancelled."""
        self.unit.actor.require(WRITE)
        row = await self._locked(redemption_id, "cancel")
        await self.rewards.get(row["reward_id"], lock=True)
        await self.rewards.take(row["reward_id"], -row["quantity"])
        key = f"reward:{redemption_id}:cancelled"
        if row["state"] == "confirmed":
            await self.ledger.reverse_hold(row["hold_id"], key=key, owner_id=redemption_id)
        else:
            await self._let_go(row, key)
        await self._move(row, "cancel", data, {"cancelled_at": self.unit.now(), "held_until": None})

    # -- by time -------------------------------------------------------------------------------------------------------

    async def overdue(self, after: Due | None = None) -> list[Due]:
        """Return some requests that nobody confirmed in time, oldest first, those ``after`` one of them."""
        return await self.repository.overdue(self.unit.now(), after, BATCH)

    async def cancel_overdue(self, redemption_id: UUID) -> None:
        """Cancel a request that nobody confirmed in time, unless somebody did since."""
        row = await self.repository.find(redemption_id, lock=True)
        if row is not None and row["state"] == "requested" and row["held_until"] <= self.unit.now():
            await self.cancel(redemption_id)

    # -- parts ---------------------------------------------------------------------------------------------------------

    async def _locked(self, redemption_id: UUID, step: rules.Step) -> dict[str, Any]:
        row = dict(await self.repository.get(redemption_id, lock=True))
        if rules.next_state(row["state"], step) is None:
            raise Conflict(
                f"The redemption is {row['state']}: it cannot be {_DONE[step]} any more",
                zh=f"该兑换当前状态为 {row['state']}，无法执行此操作",
                code=f"already_{row['state']}" if row["state"] != "requested" else "not_confirmed",
                extra={"state": row["state"]},
            )
        return row

    async def _let_go(self, row: Row, key: str) -> None:
        try:
            async with self.unit.savepoint():
                await self.ledger.void_hold(row["hold_id"], key=key, owner_id=row["id"])
        except Conflict as conflict:
            # It has timed out by itself: the ledger gives the points back, with the next change or by schedule.
            if conflict.extra.get("state") not in _GONE:
                raise

    async def _vouchers(self, row: Row) -> list[UUID]:
        reward = await self.rewards.get(row["reward_id"])
        if reward["kind"] != "voucher":
            return []
        service = VoucherService(self.unit)
        return [
            await service.issue(
                reward["campaign_id"], row["customer_id"], key=f"reward:{row['id']}:{number}", reason=reward["name"]
            )
            for number in range(row["quantity"])
        ]

    async def _move(self, row: Row, step: rules.Step, data: RewardStep | None, values: Row) -> None:
        state = rules.next_state(row["state"], step)
        reason = None if data is None else data.reason
        await self.repository.change(row["id"], {**values, "state": state, "reason": reason})
        self._tell(_MESSAGES[step], row, reason)

    def _tell(self, what: str, row: Row, reason: str | None = None) -> None:
        told = {
            "reward_id": str(row["reward_id"]),
            "customer_id": str(row["customer_id"]),
            "quantity": row["quantity"],
            "points": row["points"],
        }
        self.unit.emit(what, row["id"], told)
        self.unit.audit(what, "RewardRedemption", row["id"], after={**told, "reason": reason})


_MESSAGES: Final[Mapping[rules.Step, str]] = {
    "confirm": "reward_redemption.confirmed",
    "fulfil": "reward_redemption.fulfilled",
    "cancel": "reward_redemption.cancelled",
}
_DONE: Final[Mapping[rules.Step, str]] = {"confirm": "confirmed", "fulfil": "fulfilled", "cancel": "cancelled"}


async def refused(repository: RewardRepository, reward: Row, customer_id: UUID, quantity: int) -> str | None:
    """Return why a customer cannot have a reward (a code of `rules.REASONS`), points aside; None when they can."""
    had = await repository.had(reward["id"], customer_id)
    reason = rules.refusal(reward, had, quantity, repository.unit.now())
    if reason is not None or reward["rule"] is None:
        return reason
    try:
        return None if await is_eligible(repository.unit, reward["rule"], customer_id) else "customer_not_eligible"
    except Invalid:
        return "rule_broken"


def _check_window(row: Row) -> None:
    starts_at, ends_at = row["starts_at"], row["ends_at"]
    if starts_at is not None and ends_at is not None and starts_at >= ends_at:
        raise Invalid.field("/ends_at", "out_of_order", "It ends before it starts", "结束时间须晚于开始时间")
