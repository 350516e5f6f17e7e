"""The effect report: groups and comparisons, and what may be concluded from them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from crm_api.followups.models import EffectComparison, EffectGroup
from crm_api.followups.rules import difference

_GROUPS: Final = ("contacted", "tried", "not_contacted", "held_out")
_COUNTS: Final = ("customers", "waiting", "bought", "bought_before")


class _Words(NamedTuple):
    en: str
    zh: str


_CHOSEN: Final = _Words(
    en="Nobody drew lots: who is reached, and whom staff skip, differ in more than the contact. Compare the shares "
    "before, and take the difference for a hint, not for an effect. To measure one, set holdout_percent on the plan.",
    zh="非随机分组：能联系上的客户与被跳过的客户本来就可能不同。请对照此前的购买比例，差异只能作为参考，不能视为回访效果。"
    "如需测量效果，请在计划中设置 holdout_percent。",
)
_DRAWN: Final = _Words(
    en="A lot decided who was left out, so the difference is the effect of offering the contact (whoever was reached), "
    "within the interval. An interval that holds 0 shows no effect.",
    zh="是否回访由抽签决定，因此差异即为安排回访的效果（不论是否联系上），精度见置信区间。区间含 0 即不能认为有效果。",
)
_FEW: Final = _Words(
    en=" One of the groups is empty: there is nothing to compare yet.", zh="其中一组没有客户，暂时无法比较。"
)


def grouped(found: Mapping[str, Mapping[str, int]]) -> list[EffectGroup]:
    """Return all groups, those without customers too."""
    return [_group(name, found.get(name) or dict.fromkeys(_COUNTS, 0)) for name in _GROUPS]


def _group(name: Any, row: Mapping[str, int]) -> EffectGroup:
    counts = {each: row[each] for each in _COUNTS}
    customers = counts["customers"]
    return EffectGroup(
        group=name,
        **counts,
        share=_share(counts["bought"], customers),
        share_before=_share(counts["bought_before"], customers),
    )


def compared(groups: Sequence[EffectGroup]) -> list[EffectComparison]:
    """Return the two comparisons: the contacted to the rest, and all who were offered a contact to those drawn out."""
    by_name = {each.group: each for each in groups}
    offered = [by_name[name] for name in ("contacted", "tried", "not_contacted")]
    return [
        _compare("contacted_to_not_contacted", [by_name["contacted"]], by_name["not_contacted"], _CHOSEN),
        _compare("offered_to_held_out", offered, by_name["held_out"], _DRAWN),
    ]


def _compare(
    name: Literal["contacted_to_not_contacted", "offered_to_held_out"],
    treated: Sequence[EffectGroup],
    control: EffectGroup,
    caution: _Words,
) -> EffectComparison:
    total = sum(each.customers for each in treated)
    found = difference(sum(each.bought for each in treated), total, control.bought, control.customers)
    before = difference(sum(each.bought_before for each in treated), total, control.bought_before, control.customers)
    few = _Words("", "") if found else _FEW
    return EffectComparison(
        comparison=name,
        randomised=name == "offered_to_held_out",
        difference=None if found is None else round(found.value, 4),
        low=None if found is None else round(found.low, 4),
        high=None if found is None else round(found.high, 4),
        difference_before=None if before is None else round(before.value, 4),
        caution=caution.en + few.en,
        caution_zh=caution.zh + few.zh,
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
