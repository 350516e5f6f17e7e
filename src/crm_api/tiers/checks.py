"""Whether the rules of a scheme can be: checks in English and Chinese, and what is stored of them."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from crm_api.core.errors import FieldError, Invalid
from crm_api.tiers.models import TierRulesInput, TierRulesPatch

YEAR: Final = 12


def stored(data: TierRulesInput, currency: str) -> dict[str, Any]:
    """Return new rules as they are kept.

    Args:
        data: what was sent.
        currency: for money when none was named.

    Raises:
        Invalid: they cannot be.

    """
    given = data.model_dump(mode="json")
    if given["metric"] == "net_spend":
        given["currency"] = given["currency"] or currency
    return _checked(given, [each.model_dump(mode="json") for each in data.tiers])


def changed(before: Mapping[str, Any], data: TierRulesPatch, currency: str) -> dict[str, Any]:
    """Return rules with those that were sent in the place of the old ones.

    Raises:
        Invalid: they cannot be together.

    """
    given = {**before, **data.model_dump(mode="json", include=data.model_fields_set)}
    if given["metric"] != "net_spend" and "currency" not in data.model_fields_set:
        given["currency"] = None
    if given["metric"] == "net_spend":
        given["currency"] = given["currency"] or currency
    tiers = [{name: value for name, value in each.items() if name != "level"} for each in given["tiers"]]
    return _checked(given, tiers)


def _checked(given: dict[str, Any], tiers: list[dict[str, Any]]) -> dict[str, Any]:
    errors = [*_window_errors(given), *_tier_errors(tiers)]
    if errors:
        raise Invalid(errors=errors)
    return {**given, "tiers": [{"level": level, **each} for level, each in enumerate(tiers, start=1)]}


def _window_errors(given: Mapping[str, Any]) -> Iterator[FieldError]:
    if given["metric"] != "net_spend" and given["currency"] is not None:
        yield FieldError(
            "/rules/currency",
            "not_used",
            "Only net_spend has a currency: leave it out",
            "仅 net_spend 需要货币：请省略",
        )
    if given["window"] == "calendar" and YEAR % given["window_months"]:
        yield FieldError(
            "/rules/window_months",
            "out_of_range",
            "Calendar periods must fit into a year: 1, 2, 3, 4, 6 or 12 months",
            "日历周期须能整除一年：1、2、3、4、6 或 12 个月",
        )


def _tier_errors(tiers: list[dict[str, Any]]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, each in enumerate(tiers):
        if each["code"] in seen:
            yield FieldError(
                f"/rules/tiers/{index}/code", "duplicate", "Another tier has this code", "该代码已被其他等级使用"
            )
        seen.add(each["code"])
    for index, (lower, higher) in enumerate(pairwise(tiers), start=1):
        if higher["threshold"] <= lower["threshold"]:
            yield FieldError(
                f"/rules/tiers/{index}/threshold",
                "not_rising",
                f"List tiers lowest first: this threshold must be above {lower['threshold']}",
                f"请由低到高列出等级：该门槛须高于 {lower['threshold']}",
            )
