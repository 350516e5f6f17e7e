"""Which way a reward's redemption can go, and who may have one: pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

State = Literal["requested", "confirmed", "fulfilled", "cancelled"]
Step = Literal["confirm", "fulfil", "cancel"]

STEPS: Final[Mapping[tuple[State, Step], State]] = {
    ("requested", "confirm"): "confirmed",
    ("requested", "cancel"): "cancelled",
    ("confirmed", "fulfil"): "fulfilled",
    ("confirmed", "cancel"): "cancelled",
}
"""What is requested holds points and stock; what is confirmed has spent the points; what is cancelled gives both back.
What is fulfilled is in the customer's hands and stays so."""


def next_state(state: State, step: Step) -> State | None:
    """Return the state after a step, or None when the step is not possible."""
    return STEPS.get((state, step))


class Reason(NamedTuple):
    """Words for people."""

    en: str
    zh: str


REASONS: Final[Mapping[str, Reason]] = {
    "reward_paused": Reason("The reward is paused at the moment", "该奖品已暂停兑换"),
    "reward_archived": Reason("The reward is not offered any more", "该奖品已下架"),
    "not_started": Reason("The reward cannot be had yet", "该奖品尚未开放兑换"),
    "ended": Reason("The reward cannot be had any more", "该奖品兑换已结束"),
    "out_of_stock": Reason("Not enough of it is left", "该奖品库存不足"),
    "customer_used_up": Reason("This customer has had it as often as allowed", "该客户已达兑换上限"),
    "customer_not_eligible": Reason("The reward is not for this customer", "该客户不符合兑换条件"),
    "rule_broken": Reason(
        "The reward's rule names something that is gone: correct the reward", "奖品规则引用的内容已不存在：请修改奖品"
    ),
    "insufficient_balance": Reason("The customer has too few points", "客户可用积分不足"),
}
"""Code → words. Codes are part of the API: they are added to, never changed."""

_CLOSED: Final = {"paused": "reward_paused", "archived": "reward_archived"}


def refusal(reward: Mapping[str, Any], had: int, quantity: int, now: datetime) -> str | None:
    """Return why a reward cannot be had now (a code of `REASONS`), None when it can; rule and points aside.

    Args:
        reward: its row.
        had: pieces the customer has, cancelled ones aside.
        quantity: pieces wanted.
        now: the moment.

    """
    if reward["state"] in _CLOSED:
        return _CLOSED[reward["state"]]
    if reward["starts_at"] is not None and now < reward["starts_at"]:
        return "not_started"
    if reward["ends_at"] is not None and reward["ends_at"] <= now:
        return "ended"
    if reward["stock"] is not None and reward["taken"] + quantity > reward["stock"]:
        return "out_of_stock"
    limit = reward["per_customer"]
    return "customer_used_up" if limit is not None and had + quantity > limit else None
