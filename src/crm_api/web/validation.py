"""Pydantic's findings as our field errors: pointer, stable code, English and Chinese text."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crm_api.core.errors import FieldError
from crm_api.core.text import ONE_LINE

# What Pydantic says in its own words rather than in those of whoever wrote the JSON.
_ENGLISH: Mapping[str, str] = {
    "extra_forbidden": "There is no such field",
    "dict_type": "Must be an object",
    "model_type": "Must be an object",
    "model_attributes_type": "Must be an object",
    "list_type": "Must be a list",
    "tuple_type": "Must be a list",
}
# Pydantic error type -> (our code, Chinese text). Types not listed keep Pydantic's own name as the code.
_KNOWN: Mapping[str, tuple[str, str]] = {
    "missing": ("required", "缺少必填字段"),
    "extra_forbidden": ("unknown_field", "未知字段"),
    "string_type": ("wrong_type", "应为文本"),
    "int_type": ("wrong_type", "应为整数"),
    "int_parsing": ("wrong_type", "应为整数"),
    "int_from_float": ("wrong_type", "应为整数"),
    "bool_type": ("wrong_type", "应为 true 或 false"),
    "bool_parsing": ("wrong_type", "应为 true 或 false"),
    "list_type": ("wrong_type", "应为数组"),
    "tuple_type": ("wrong_type", "应为数组"),
    "dict_type": ("wrong_type", "应为对象"),
    "model_type": ("wrong_type", "应为对象"),
    "model_attributes_type": ("wrong_type", "应为对象"),
    "uuid_parsing": ("invalid_id", "应为 UUID"),
    "uuid_type": ("invalid_id", "应为 UUID"),
    "datetime_parsing": ("invalid_time", "应为 RFC 3339 时间"),
    "datetime_from_date_parsing": ("invalid_time", "应为 RFC 3339 时间"),
    "datetime_type": ("invalid_time", "应为 RFC 3339 时间"),
    "timezone_aware": ("invalid_time", "时间必须带时区"),
    "date_from_datetime_parsing": ("invalid_date", "应为日期"),
    "date_parsing": ("invalid_date", "应为日期"),
    "date_from_datetime_inexact": ("invalid_date", "应为日期"),
    "date_type": ("invalid_date", "应为日期"),
    "datetime_object_invalid": ("invalid_time", "应为 RFC 3339 时间"),
    "beyond_time": ("out_of_range", "超出可保存的时间范围；如无期限，请不要提供此字段"),
    "year_out_of_range": ("out_of_range", "年份应在 1900 至 2999 之间"),
    "float_type": ("wrong_type", "应为数字"),
    "float_parsing": ("wrong_type", "应为数字"),
    "finite_number": ("out_of_range", "超出范围"),
    "string_unicode": ("lone_surrogate", "文本不是有效的 Unicode"),
    "unknown_currency": ("unknown_currency", "未知的货币"),
    "unknown_time_zone": ("unknown_time_zone", "未知的时区：请使用 IANA 名称，例如 Asia/Shanghai"),
    "invalid_url": ("invalid_url", "无效的网址"),
    "one_of": ("one_of", "只能且必须提供其中一个"),
    "step_url": ("step_url", "url 只用于 webhook，且 webhook 必须提供 url"),
    "step_nobody": ("step_nobody", "请说明通知谁：to 或 staff_ids"),
    "step_strays": ("step_strays", "to 与 staff_ids 只用于 notify，staff_id 只用于 reassign"),
    "bad_secret": ("bad_secret", "secret 须为 whsec_ 加 Base64 编码的 24 至 64 字节"),
    "literal_error": ("unknown_choice", "不在可选范围内"),
    "enum": ("unknown_choice", "不在可选范围内"),
    "string_too_long": ("too_long", "文本过长"),
    "string_too_short": ("too_short", "文本过短"),
    "string_pattern_mismatch": ("bad_format", "格式不正确"),
    "too_long": ("too_many", "数量过多"),
    "too_short": ("too_few", "数量过少"),
    "greater_than": ("out_of_range", "超出范围"),
    "greater_than_equal": ("out_of_range", "超出范围"),
    "less_than": ("out_of_range", "超出范围"),
    "less_than_equal": ("out_of_range", "超出范围"),
    "beyond_calendar": ("out_of_range", "请提供 1970 至 2099 年间的时间"),
    "nul_character": ("nul_character", "文本不能包含 NUL 字符"),
    "lone_surrogate": ("lone_surrogate", "文本不是有效的 Unicode"),
    "masked_id": ("masked_id", "t***b 这类脱敏账号由多人共用：请提供完整账号或 OAID，或不填写"),
    "unknown_class": ("unknown_choice", "该分类没有此类别"),
    "one_case": ("conflict", "complaint（新建投诉）与 complaint_id（关联投诉）只能提供其一"),
    "repeated_value": ("repeated_value", "每项只能出现一次"),
    "nothing_named": ("nothing_named", "请填写商品、SKU 或批次"),
    "nothing_said": ("nothing_said", "请填写内容或附件"),
    "label_required": ("label_required", "请提供英文或中文名称"),
    "address_empty": ("address_empty", "地址至少要有省、市、区或街道"),
    "bad_host": ("bad_host", "主机名无效"),
    "bad_url": ("bad_url", "网址无效"),
    "bad_header": ("bad_header", "请求头无效"),
    "too_many": ("too_many", "数量过多"),
    "invalid_origin": ("invalid_origin", "来源只包含协议和主机，例如 https://shop.example.com"),
    "choices": ("choices", "只有 choice 类型的字段才有选项，且必须有选项"),
    "maps_to": ("maps_to", "手机号或电子邮箱必须由同类型的字段填写"),
    "repeated": ("repeated", "每个 key 和每个目标只能出现一次"),
    "bad_rating_page": ("bad_rating_page", "请填写含 {rating_id} 与 {token} 的 https:// 网址"),
    "note_required": ("note_required", "请在 note 中说明原因"),
    "bad_interval": ("bad_interval", "时段的结束时间须不同于开始时间；全天请写 00:00 至 24:00"),
    "intervals_overlap": ("intervals_overlap", "同一天的时段不能重叠"),
    "date_repeated": ("date_repeated", "同一日期在例外日中只能出现一次"),
    "no_contact": ("no_contact", "必须有一个字段对应手机号或电子邮箱"),
    "no_leap_month": ("no_leap_month", "该农历年没有这个闰月"),
    "no_such_day": ("no_such_day", "该农历月没有这一天"),
    "cart_too_large": ("out_of_range", "购物车金额超出范围"),
    "value_error": ("invalid_value", "值无效"),
    "json_invalid": ("malformed_body", "无法解析 JSON"),
}
# Pattern -> what it asks for, in words: nobody should have to read a regular expression to mend a request.
_FORMATS: Mapping[str, tuple[str, str]] = {
    r"^[^\s\x00]+$": ("Must not contain white space", "不能包含空格等空白字符"),
    ONE_LINE: (
        "Must be one line, without line breaks, tabs or other control characters",
        "须为一行文字，不能包含换行、制表符等控制字符",
    ),
    r"^[^\x00/]+(/[^\x00/]+)*$": (
        "Must be a path such as quality/cold_chain, with one / between its parts",
        "须为路径，例如 quality/cold_chain，各级之间用一个 / 分隔",
    ),
    r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$": (
        "Must be a time of day from 00:00 to 24:00, such as 09:30",
        "须为 00:00 至 24:00 的时间，例如 09:30",
    ),
    r"^[a-z][a-z0-9_]*$": (
        "Must begin with a lower-case letter; lower-case letters, digits and _ may follow",
        "须以小写字母开头，之后只能是小写字母、数字和下划线",
    ),
}
_BEYOND = (
    f"Must be a whole number of 64 bits, between {-(2**63)} and {2**63 - 1}",
    f"须为 64 位整数，介于 {-(2**63)} 与 {2**63 - 1} 之间",
)
_EMAIL = "value is not a valid email address"
_PLACES = {"query": "/query", "path": "/path", "header": "/header", "cookie": "/cookie"}


def pointer_token(part: object) -> str:
    """Return one step of a JSON pointer (RFC 6901)."""
    return str(part).replace("~", "~0").replace("/", "~1")


def _pointer(location: Sequence[Any]) -> str:
    place, *rest = location or ("body",)
    if place == "header":
        rest = [str(part).replace("_", "-") for part in rest]
    # Discriminated unions and validators add words in brackets to the location that the client never sent.
    shown = [pointer_token(part) for part in rest if not re.fullmatch(r".*[\[\]()].*", str(part))]
    prefix = _PLACES.get(str(place), "")
    return prefix + "".join(f"/{part}" for part in shown)


def field_errors(findings: Iterable[Mapping[str, Any]]) -> list[FieldError]:
    """Return our form of what Pydantic found; input values are never echoed."""
    errors = []
    for finding in findings:
        kind = str(finding["type"])
        code, zh = _KNOWN.get(kind, (kind, "值无效"))
        if kind == "value_error" and str(finding["msg"]).startswith(_EMAIL):
            code, zh = "invalid_email", "这不是有效的邮箱地址"
        message = _ENGLISH.get(kind, str(finding["msg"]).removeprefix("Value error, "))
        context = finding.get("ctx", {})
        message, zh = _FORMATS.get(str(context.get("pattern")), (message, zh + _bounds(context)))
        if _is_beyond_64_bits(kind, finding.get("input")):
            code, (message, zh) = "out_of_range", _BEYOND
        errors.append(FieldError(_pointer(finding["loc"]), code, message, zh))
    return errors


def _is_beyond_64_bits(kind: str, value: object) -> bool:
    """Tell whether a whole number was refused for its size: the JSON parser makes a float of what has no 64 bits."""
    is_huge = isinstance(value, float) and math.isfinite(value) and abs(value) >= 2**63
    return kind == "int_parsing_size" or (kind in {"int_type", "int_from_float"} and is_huge)


_BOUNDS: Mapping[str, str] = {
    "expected": "可选：{}",
    "ge": "最小 {}",
    "gt": "须大于 {}",
    "le": "最大 {}",
    "lt": "须小于 {}",
    "min_length": "至少 {}",
    "max_length": "最多 {}",
    "pattern": "须匹配 {}",
}


def _bounds(context: Mapping[str, Any]) -> str:
    """Return what would have been allowed, in Chinese; Pydantic's English text says it already."""
    said = [text.format(str(context[name]).replace(" or ", "、")) for name, text in _BOUNDS.items() if name in context]
    return f"（{'，'.join(said)}）" if said else ""
