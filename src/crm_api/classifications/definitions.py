"""What each classification's definition may say: models, checks in English and Chinese, names, defaults.

A definition is JSON, one shape for each dimension, stored with its version. Days are whole days of 24 hours; a window
of D days before a moment t is ``[t - D, t)``, null is all time. "From n" includes n; "silent for more than n days" does
not include n. Amounts are minor units of the tenant's currency.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field, ValidationError, model_validator

from crm_api.classifications import groups as rfm_groups
from crm_api.core.errors import FieldError, Invalid
from crm_api.core.models import Input
from crm_api.core.money import MAX_MINOR
from crm_api.core.text import Caption, Prose

Dimension = Literal[
    "frequency", "amount", "loyalty", "value", "activity", "value_potential", "grade", "rfm", "lifecycle"
]
DIMENSIONS: Final[tuple[Dimension, ...]] = get_args(Dimension)
COLUMNS: Final[Mapping[str, str]] = {
    "frequency": "frequency_class",
    "amount": "amount_class",
    "loyalty": "loyalty_class",
    "value": "value_class",
    "activity": "activity_class",
    "value_potential": "value_potential",
    "grade": "grade",
    "rfm": "rfm_group",
    "lifecycle": "lifecycle",
}
"""Dimension → its column in scores, log and snapshots."""

LEVELS: Final = ("high", "mid", "low")
CELLS: Final = tuple(f"{row}_{column}" for row in LEVELS for column in LEVELS)
CLASSES: Final[Mapping[str, tuple[str, ...]]] = {
    "frequency": LEVELS,
    "amount": ("large", "mid", "small"),
    "loyalty": ("loyal", "regular", "lost"),
    "value": LEVELS,
    "activity": ("active", "dormant", "lost"),
    "value_potential": CELLS,
    "grade": ("A", "B", "C", "D"),
    "lifecycle": ("prospect", "first_purchase", "repeat", "loyal", "dormant", "lost"),
}
"""The classes of a dimension, best first; those of ``rfm`` are the keys of its groups."""

IndustryPosition = Literal["leading", "strong", "average", "weak"]
Outlook = Literal["growing", "stable", "shrinking"]
PurchaseIntent = Literal["high", "mid", "low"]
Period = Literal["day", "week", "month", "quarter", "year"]

Days = Annotated[int, Field(ge=1, le=36_500, strict=True)]
Window = Annotated[int, Field(ge=1, le=36_500, strict=True)] | None
Count = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
Minor = Annotated[int, Field(ge=0, le=MAX_MINOR, strict=True)]
Share = Annotated[float, Field(strict=True, gt=0, lt=1)]
Band = Annotated[int, Field(ge=1, le=rfm_groups.BANDS, strict=True)]
Edge = Annotated[int, Field(ge=0, le=MAX_MINOR, strict=True)]
Points = Annotated[int, Field(ge=0, le=100, strict=True)]
Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class Text(Input):
    """A text in both languages."""

    en: Caption
    zh: Caption


class Policy(Input):
    """What to do with customers of a cell."""

    en: Prose
    zh: Prose


class Levels(Input):
    """From how many on a level begins."""

    high: Count
    mid: Count


class MoneyLevels(Input):
    """From how much on a level begins, in minor units."""

    high: Minor
    mid: Minor


class Frequency(Input):
    """Purchases in a window."""

    window_days: Window
    high: Count
    mid: Count


class Amount(Input):
    """Paid less refunded in a window."""

    window_days: Window
    large: Minor
    mid: Minor


class Loyalty(Input):
    """Who buys often enough and has not fallen silent."""

    window_days: Window
    purchases: Count
    lost_days: Days


class Value(Input):
    """Frequency × average order value: a table of nine cells."""

    window_days: Window
    frequency: Levels
    order_value: MoneyLevels
    cells: dict[str, Literal["high", "mid", "low"]]


class Activity(Input):
    """Days of silence."""

    active_days: Days
    lost_days: Days


class IndustryPoints(Input):
    """Points of an industry position."""

    leading: Points
    strong: Points
    average: Points
    weak: Points


class OutlookPoints(Input):
    """Points of an outlook."""

    growing: Points
    stable: Points
    shrinking: Points


class IntentPoints(Input):
    """Points of a purchase intent."""

    high: Points
    mid: Points
    low: Points


class ValuePotential(Input):
    """Value × potential, the latter by points of what staff have judged."""

    industry_position: IndustryPoints
    outlook: OutlookPoints
    purchase_intent: IntentPoints
    high: Points
    mid: Points
    policies: dict[str, Policy]


class Grade(Input):
    """The four-diamond scheme: cumulative share of the turnover."""

    window_days: Window
    shares: Annotated[list[Share], Field(min_length=3, max_length=3)]


Edges = Annotated[list[Edge], Field(min_length=rfm_groups.BANDS - 1, max_length=rfm_groups.BANDS - 1)]


class RfmEdges(Input):
    """Where bands 2 to 5 of the measured value begin: days of silence, purchases, minor units."""

    recency: Edges
    frequency: Edges
    monetary: Edges


class Group(Input):
    """Customers whose scores lie in these ranges, both ends included."""

    key: Key
    name: Text
    r: Annotated[list[Band], Field(min_length=2, max_length=2)]
    f: Annotated[list[Band], Field(min_length=2, max_length=2)]
    m: Annotated[list[Band], Field(min_length=2, max_length=2)]


class Rfm(Input):
    """Recency, frequency and monetary scores, and groups by name."""

    scheme: Literal["quantile", "ntile", "fixed"]
    window_days: Window
    edges: RfmEdges | None = None
    groups: Annotated[list[Group], Field(min_length=1, max_length=125)]

    @model_validator(mode="before")
    @classmethod
    def _ready(cls, data: Any) -> Any:
        """Put a ready set in the place of its name."""
        name = data.get("groups") if isinstance(data, dict) else None
        if isinstance(name, str) and name in rfm_groups.READY:
            return {**data, "groups": [dict(each) for each in rfm_groups.READY[name]]}
        return data


class Lifecycle(Input):
    """From prospect to lost."""

    active_days: Window
    lost_days: Days
    loyal_purchases: Annotated[int, Field(ge=2, le=1_000_000, strict=True)]


class ContactLimit(Input):
    """At most so many contacts within one calendar period."""

    contacts: Annotated[int, Field(ge=0, le=10_000, strict=True)]
    per: Period


MODELS: Final[Mapping[str, type[Input]]] = {
    "frequency": Frequency,
    "amount": Amount,
    "loyalty": Loyalty,
    "value": Value,
    "activity": Activity,
    "value_potential": ValuePotential,
    "grade": Grade,
    "rfm": Rfm,
    "lifecycle": Lifecycle,
}

Definition = Mapping[str, Any]


def checked(dimension: str, document: Mapping[str, Any], at: str = "/definition") -> dict[str, Any]:
    """Return the definition as it is stored.

    Raises:
        Invalid: names every part that cannot be.

    """
    try:
        found = MODELS[dimension].model_validate(document).model_dump(mode="json")
    except ValidationError as error:
        raise Invalid(errors=_translated(error, at)) from None
    errors = list(_CHECKS[dimension](found, at))
    if errors:
        raise Invalid(errors=errors)
    return found


def checked_limits(definition: Definition, dimension: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the contact limits by class as they are stored.

    Raises:
        Invalid: a class that the dimension has not, or a limit that cannot be.

    """
    known = classes_of(dimension, definition)
    stored, errors = {}, []
    for name, limit in document.items():
        at = f"/contact_limits/{name[:60]}"
        if name not in known:
            errors.append(
                FieldError(at, "unknown_class", f"There is no such class: choose from {', '.join(known)}", "没有此类别")
            )
            continue
        try:
            stored[name] = ContactLimit.model_validate(limit).model_dump(mode="json")
        except ValidationError as error:
            errors += _translated(error, at)
    if errors:
        raise Invalid(errors=errors)
    return stored


def classes_of(dimension: str, definition: Definition) -> tuple[str, ...]:
    """Return the classes of a dimension, best first."""
    return tuple(group["key"] for group in definition["groups"]) if dimension == "rfm" else CLASSES[dimension]


# -- checks that need more than one field ------------------------------------------------------------------------------


def _order(low: Any, high: Any, at: str, low_name: str) -> Iterator[FieldError]:
    if low >= high:
        yield FieldError(
            at,
            "wrong_order",
            f"This must be more than {low_name} ({low}), or nobody could be in the class between",
            f"必须大于 {low_name}（{low}），否则中间类别为空",
        )


def _frequency(found: Definition, at: str) -> Iterator[FieldError]:
    yield from _order(found["mid"], found["high"], f"{at}/high", "mid")


def _amount(found: Definition, at: str) -> Iterator[FieldError]:
    yield from _order(found["mid"], found["large"], f"{at}/large", "mid")


def _nothing(_found: Definition, _at: str) -> Iterator[FieldError]:
    yield from ()


def _value(found: Definition, at: str) -> Iterator[FieldError]:
    for part in ("frequency", "order_value"):
        yield from _order(found[part]["mid"], found[part]["high"], f"{at}/{part}/high", "mid")
    yield from _nine_cells(found["cells"], f"{at}/cells")


def _nine_cells(given: Mapping[str, Any], at: str) -> Iterator[FieldError]:
    missing, strange = [cell for cell in CELLS if cell not in given], [cell for cell in given if cell not in CELLS]
    if missing:
        yield FieldError(
            at, "cells_missing", f"Say something for every cell; missing: {', '.join(missing)}", "九个格子都要填写"
        )
    for cell in strange:
        yield FieldError(f"{at}/{cell[:60]}", "unknown_field", "There is no such cell", "没有此格子")


def _silence(found: Definition, at: str) -> Iterator[FieldError]:
    if found["active_days"] is not None:
        yield from _order(found["active_days"], found["lost_days"], f"{at}/lost_days", "active_days")


def _potential(found: Definition, at: str) -> Iterator[FieldError]:
    yield from _order(found["mid"], found["high"], f"{at}/high", "mid")
    most = sum(max(found[part].values()) for part in ("industry_position", "outlook", "purchase_intent"))
    if found["high"] > most:
        yield FieldError(
            f"{at}/high", "out_of_reach", f"Nobody can have more than {most} points", f"最多只能得 {most} 分"
        )
    yield from _nine_cells(found["policies"], f"{at}/policies")


def _grade(found: Definition, at: str) -> Iterator[FieldError]:
    for index in (1, 2):
        yield from _order(
            found["shares"][index - 1], found["shares"][index], f"{at}/shares/{index}", "the share before it"
        )


def _rfm(found: Definition, at: str) -> Iterator[FieldError]:
    yield from _rfm_edges(found, at)
    if not any(True for _ in _group_ranges(found["groups"], at)):
        yield from _group_cover(found["groups"], at)
    yield from _group_ranges(found["groups"], at)


def _rfm_edges(found: Definition, at: str) -> Iterator[FieldError]:
    edges = found["edges"]
    if (found["scheme"] == "fixed") != (edges is not None):
        yield FieldError(
            f"{at}/edges",
            "edges",
            "`fixed` takes edges for recency, frequency and monetary; the other schemes find theirs and take null",
            "只有 fixed 方案需要（且必须）提供 edges，其他方案请设为 null",
        )
    for axis, row in (edges or {}).items():
        for index, (before, after) in enumerate(pairwise(row), 1):
            yield from _order(before, after, f"{at}/edges/{axis}/{index}", "the edge before it")


def _group_ranges(groups: Sequence[Definition], at: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, group in enumerate(groups):
        if group["key"] in seen:
            yield FieldError(f"{at}/groups/{index}/key", "duplicate", "Another group has this key", "key 重复")
        seen.add(group["key"])
        for axis in "rfm":
            if group[axis][0] > group[axis][1]:
                yield FieldError(
                    f"{at}/groups/{index}/{axis}",
                    "wrong_order",
                    "A range is [lowest, highest]",
                    "范围应为 [最低, 最高]",
                )


def _group_cover(groups: Sequence[Definition], at: str) -> Iterator[FieldError]:
    found = rfm_groups.cells(groups)
    if None in found:
        r, f, m = rfm_groups.cell_at(found.index(None))
        yield FieldError(
            f"{at}/groups",
            "not_covered",
            f"Scores r={r}, f={f}, m={m} are in no group: let the last group take [1, 5] of each",
            f"r={r}、f={f}、m={m} 不属于任何分组：请让最后一组覆盖 [1, 5]",
        )
    for index, group in enumerate(groups):
        if group["key"] not in found:
            yield FieldError(
                f"{at}/groups/{index}",
                "never_reached",
                "Groups before this one take everybody it could: put it further up",
                "前面的分组已覆盖此组全部范围：请上移",
            )


_CHECKS: Final = {
    "frequency": _frequency,
    "amount": _amount,
    "loyalty": _nothing,
    "value": _value,
    "activity": _silence,
    "value_potential": _potential,
    "grade": _grade,
    "rfm": _rfm,
    "lifecycle": _silence,
}

_WORDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "missing": ("required", "This is required", "缺少必填字段"),
    "extra_forbidden": ("unknown_field", "There is no such field", "未知字段"),
    "int_type": ("wrong_type", "Must be a whole number", "应为整数"),
    "float_type": ("wrong_type", "Must be a number", "应为数字"),
    "float_parsing": ("wrong_type", "Must be a number", "应为数字"),
    "string_type": ("wrong_type", "Must be text", "应为文本"),
    "list_type": (
        "wrong_type",
        f"Must be a list (or, for groups, the name of a ready set: {', '.join(rfm_groups.READY)})",
        f"应为数组（groups 也可为现成方案名：{', '.join(rfm_groups.READY)}）",
    ),
    "dict_type": ("wrong_type", "Must be an object", "应为对象"),
    "model_type": ("wrong_type", "Must be an object", "应为对象"),
    "model_attributes_type": ("wrong_type", "Must be an object", "应为对象"),
    "literal_error": ("unknown_choice", "", "不在可选范围内"),
    "greater_than": ("out_of_range", "", "超出范围"),
    "greater_than_equal": ("out_of_range", "", "超出范围"),
    "less_than": ("out_of_range", "", "超出范围"),
    "less_than_equal": ("out_of_range", "", "超出范围"),
    "too_short": ("too_few", "", "数量过少"),
    "too_long": ("too_many", "", "数量过多"),
    "string_too_short": ("too_short", "", "文本过短"),
    "string_too_long": ("too_long", "", "文本过长"),
    "string_pattern_mismatch": (
        "bad_format",
        "A key is lower-case letters, digits and _, up to 40",
        "key 只能包含小写字母、数字和下划线，最多 40 个字符",
    ),
}
"""Pydantic's type → our code, English (its own words when empty), Chinese."""


def _translated(error: ValidationError, at: str) -> list[FieldError]:
    errors = []
    for each in error.errors(include_url=False, include_input=False, include_context=False):
        code, en, zh = _WORDS.get(each["type"], (each["type"], "", "值无效"))
        place = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in each["loc"])
        errors.append(FieldError(at + place, code, en or each["msg"], zh))
    return errors
