"""What can be wrong with a rule, and where: stable codes, messages in English and Chinese."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, NoReturn

from crm_api.core.errors import FieldError, Invalid

MAX_ERRORS = 50
"""More than this many problems are not listed: the first ones say enough."""

MESSAGES: Mapping[str, tuple[str, str]] = {
    "rule_not_object": ("A rule node must be a JSON object", "规则节点必须是 JSON 对象"),
    "rule_not_list": ("Must be a list", "必须是列表"),
    "rule_version_unsupported": ("Only version 1 is supported", "仅支持版本 1"),
    "rule_too_deep": ("The rule is nested deeper than {limit} levels", "规则嵌套超过 {limit} 层"),
    "rule_too_large": ("The rule has more than {limit} nodes", "规则节点超过 {limit} 个"),
    "rule_kind_unknown": (
        "A node needs exactly one of: all, any, not, field, aggregate, bucket, sequence",
        "节点必须包含 all、any、not、field、aggregate、bucket、sequence 之一",
    ),
    "rule_kind_ambiguous": (
        "A node may have only one of: all, any, not, field, aggregate, bucket, sequence",
        "节点只能包含 all、any、not、field、aggregate、bucket、sequence 之一",
    ),
    "rule_key_unknown": ("This key is not known here; allowed: {allowed}", "此处不支持该键；可用：{allowed}"),
    "rule_key_missing": ("This key is required", "缺少必填键"),
    "rule_field_unknown": ("There is no such field{hint_en}", "没有此字段{hint_zh}"),
    "rule_field_archived": ("This attribute is archived: rules cannot name it", "该属性已归档，规则中不能使用"),
    "rule_collection_unknown": ("There is no such collection; known: {allowed}", "没有此集合；可用：{allowed}"),
    "rule_aggregate_unknown": ("There is no such aggregate; known: {allowed}", "没有此聚合方式；可用：{allowed}"),
    "rule_aggregate_field_required": (
        "'{aggregate}' needs a field: write 'of' as collection.field",
        "“{aggregate}” 需要字段：请将 of 写成 集合.字段",
    ),
    "rule_aggregate_field_unexpected": (
        "'count' counts rows: write 'of' as the collection alone",
        "“count” 统计行数：of 只写集合名",
    ),
    "rule_aggregate_not_allowed": (
        "'{aggregate}' cannot be computed over a field of type {type}",
        "类型为 {type} 的字段不支持 “{aggregate}”",
    ),
    "rule_operator_unknown": ("There is no such operator", "没有此运算符"),
    "rule_operator_not_allowed": (
        "Not an operator of this field; allowed: {allowed}",
        "此字段不支持该运算符；可用：{allowed}",
    ),
    "rule_value_unexpected": ("This operator takes no value", "此运算符不需要值"),
    "rule_value_type": ("Must be {expected_en}", "必须是{expected_zh}"),
    "rule_text_invalid": (
        "The text contains a NUL or an unpaired surrogate",
        "文本包含 NUL 字符或不成对的代理字符",
    ),
    "rule_text_empty": ("The text must not be empty", "文本不能为空"),
    "rule_text_too_long": ("The text is longer than {limit} characters", "文本超过 {limit} 个字符"),
    "rule_number_out_of_range": ("The number must be from {low} to {high}", "数值必须在 {low} 到 {high} 之间"),
    "rule_number_not_finite": ("The number must be finite", "数值必须是有限数"),
    "rule_choice_unknown": ("Must be one of: {allowed}", "必须是以下之一：{allowed}"),
    "rule_currency_unknown": ("Not a currency in use (ISO 4217)", "不是现行的 ISO 4217 货币代码"),
    "rule_currency_mixed": ("Both ends must be in the same currency", "两端必须使用同一货币"),
    "rule_date_invalid": (
        "There is no such date, or it lies outside {low}–{high}",
        "日期不存在，或不在 {low}–{high} 年之间",
    ),
    "rule_list_empty": ("The list must not be empty", "列表不能为空"),
    "rule_list_too_long": ("The list has more than {limit} values", "列表超过 {limit} 个值"),
    "rule_range_size": ("Must be a list of exactly two values", "必须是恰好两个值的列表"),
    "rule_range_reversed": ("The range ends before it starts", "范围的终点早于起点"),
    "rule_window_empty": (
        "A window needs last_days, last_hours, from or to",
        "时间窗口需要 last_days、last_hours、from 或 to",
    ),
    "rule_window_ambiguous": (
        "A window has either last_days, or last_hours, or from and to",
        "时间窗口只能使用 last_days、last_hours 或 from/to 之一",
    ),
    "rule_bucket_inside": (
        "Buckets are of customers: they cannot be asked of rows, inside 'where'",
        "分组针对客户，不能在 where 中用于集合的行",
    ),
    "rule_bucket_range": ("Buckets of {of} are numbered 0 to {last}", "{of} 个分组的编号为 0 到 {last}"),
    "rule_sequence_size": ("A sequence has {low} to {high} steps", "序列需要 {low} 到 {high} 个步骤"),
    "rule_window_not_allowed": ("Rows of this collection have no time", "此集合的行没有时间"),
}


IN_WORDS: Mapping[str, tuple[str, str]] = {
    "rule_aggregate_field_required": (
        "'{aggregate}' needs a field of the rows, as in orders.{aggregate}(total, last 90d)",
        "“{aggregate}” 需要字段，例如 orders.{aggregate}(total, last 90d)",
    ),
    "rule_aggregate_field_unexpected": ("'count' counts rows: leave the field out", "“count” 统计行数：请去掉字段"),
}
"""Where advice to who writes a rule as text differs from that to who writes JSON."""

_SIMILAR: Final = 0.6
_NAME: Final = 64
"""Characters of a name that are compared; names of fields are shorter."""


class Refused(Exception):
    """This part of the rule has a problem, which was reported; its neighbours can still be looked at."""


class Full(Exception):
    """Enough problems were found, or nothing more can be said."""


@dataclass(slots=True)
class Report:
    """The problems found so far.

    Attributes:
        errors: the problems.
        in_words: the rule was written as text: advice is given in its spelling.

    """

    errors: list[FieldError] = field(default_factory=list)
    in_words: bool = False

    def problem(self) -> Invalid:
        """Return all of them as one error to raise."""
        return Invalid(
            "The rule is not valid: see errors", zh="规则无效：详见 errors", code="rule_invalid", errors=self.errors
        )


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in the document that problems are reported at."""

    report: Report
    pointer: str

    def child(self, key: str | int) -> "Spot":
        """Return the place one step further in."""
        return Spot(self.report, f"{self.pointer}/{escape(key)}")

    def fail(self, code: str, **values: Any) -> NoReturn:
        """Report a problem here.

        Raises:
            Refused: always, unless there are enough problems (`Full`).

        """
        messages = (IN_WORDS.get(code) if self.report.in_words else None) or MESSAGES[code]
        english, chinese = (text.format(**values) for text in messages)
        self.report.errors.append(FieldError(self.pointer, code, english, chinese))
        raise Full if len(self.report.errors) >= MAX_ERRORS else Refused


def hint(name: Any, known: Iterable[str], collections: Collection[str] = ()) -> dict[str, str]:
    """Return what to say beside "There is no such field": the name that was perhaps meant."""
    if not isinstance(name, str):
        return {"hint_en": "", "hint_zh": ""}
    if name in collections:
        return {
            "hint_en": f": '{name}' is a collection, ask for a figure of its rows such as their count",
            "hint_zh": f"：“{name}”是集合，请使用其统计值，例如 count",
        }
    alike = get_close_matches(name[:_NAME].lower(), list(known), n=1, cutoff=_SIMILAR)
    if not alike:
        return {"hint_en": "", "hint_zh": ""}
    return {"hint_en": f"; did you mean '{alike[0]}'?", "hint_zh": f"；是否指“{alike[0]}”？"}


def escape(key: str | int) -> str:
    """Return a step of a JSON pointer; text that cannot be sent back is made harmless and shortened."""
    text = str(key)[:100].encode(errors="replace").decode().replace("\0", "?")
    return text.replace("~", "~0").replace("/", "~1")
