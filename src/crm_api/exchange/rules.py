"""What an import file may look like: headers, columns and the words for what is wrong. Pure rules."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from crm_api.core.errors import FieldError, Invalid, Locale
from crm_api.exchange.cells import Parse
from crm_api.exchange.formats import MAX_COLUMNS

ATTRIBUTE: Final = "attributes."
"""What stands before the key of a tenant's own attribute in the name of its column."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of ours.

    Attributes:
        parse: what reads its cells; None for an instant, which depends on the tenant's time zone.
        required: a file without it cannot be imported.
        names: other headers that mean it, as exports of shops and platforms write them.

    """

    parse: Parse | None
    required: bool = False
    names: tuple[str, ...] = ()


# -- headers -----------------------------------------------------------------------------------------------------------


def plain_header(name: str) -> str:
    """Return a header as it is compared: case, width, spaces, dashes and marks of obligation do not matter."""
    text = unicodedata.normalize("NFKC", name).strip().strip("*").lower()
    for mark in ("(必填)", "(选填)", "(required)", "(optional)"):
        text = text.removesuffix(mark)
    return " ".join(text.replace("_", " ").replace("-", " ").split())


@dataclass(frozen=True, slots=True)
class Match:
    """What a file's headers were taken for.

    Attributes:
        columns: header of the file → column of ours, in the file's order.
        ignored: headers that mean nothing to us, or were to be ignored.
        problems: why the file cannot be imported like this; empty when it can.

    """

    columns: Mapping[str, str]
    ignored: Sequence[str] = ()
    problems: Sequence[FieldError] = field(default=())


def guesses(columns: Mapping[str, Column]) -> dict[str, str]:
    """Return plain header → column of ours."""
    named = {plain_header(other): ours for ours, column in columns.items() for other in column.names}
    return named | {plain_header(ours): ours for ours in columns}


def match_columns(
    columns: Mapping[str, Column],
    header: Sequence[str],
    mapping: Mapping[str, str],
    given: frozenset[str] = frozenset(),
) -> Match:
    """Return what each header means.

    A header named in ``mapping`` means what that says, nothing at all when it says ``""``; the others are recognised by
    our own names and their usual synonyms, English or Chinese, whatever their case.

    Args:
        columns: those there are.
        header: of the file.
        mapping: header of the file → column of ours.
        given: columns that need not be in the file.

    """
    problems = [*_header_faults(header), *_mapping_faults(columns, header, mapping)]
    if problems:
        return Match({}, tuple(header), tuple(problems))
    meant = guesses(columns)
    claimed = set(mapping.values())
    found: dict[str, str] = {}
    for name in header:
        ours = mapping[name] if name in mapping else meant.get(plain_header(name))
        if not ours or (name not in mapping and ours in claimed):
            continue
        if ours in found.values():
            other = next(theirs for theirs, each in found.items() if each == ours)
            problems.append(_ambiguous(other, name, ours))
            continue
        found[name] = ours
    known = found.keys()
    problems += [
        missing(name) for name, column in columns.items() if column.required and name not in {*found.values(), *given}
    ]
    return Match(found, tuple(name for name in header if name and name not in known), tuple(problems))


def _ambiguous(one: str, other: str, ours: str) -> FieldError:
    return FieldError(
        "/file",
        "duplicate_column",
        f"The headers '{one}' and '{other}' both mean {ours}: say which one with mapping",
        f"表头 “{one}” 和 “{other}” 都对应 {ours}：请用 mapping 指定",
    )


def missing(name: str) -> FieldError:
    """Return the error for a column that the file lacks."""
    return FieldError(
        "/file",
        "missing_column",
        f"The file has no column '{name}' (name it with mapping, or give one value for all rows with defaults)",
        f"文件缺少列 “{name}”（请用 mapping 指定对应表头，或用 defaults 为所有行提供同一个值）",
    )


def missing_any(*names: str) -> FieldError:
    """Return the error for a file that has none of some columns."""
    shown = ", ".join(names)
    return FieldError(
        "/file",
        "missing_column",
        f"The file needs one of the columns {shown}, to recognise whom a row means",
        f"文件至少需要以下列之一：{shown}，以便识别对应的客户",
    )


def require(match: Match) -> Mapping[str, str]:
    """Return the columns.

    Raises:
        Invalid: the file cannot be imported like this.

    """
    if match.problems:
        raise Invalid(errors=match.problems)
    return match.columns


def _header_faults(header: Sequence[str]) -> Iterator[FieldError]:
    if len(header) > MAX_COLUMNS:
        yield FieldError("/file", "too_many_columns", f"More than {MAX_COLUMNS} columns", f"列数超过 {MAX_COLUMNS}")
        return
    seen: set[str] = set()
    told: set[str] = set()
    for name in header:
        if name and name in seen and name not in told:
            told.add(name)
            yield FieldError(
                "/file", "duplicate_column", f"The header '{name}' stands there twice", f"表头 “{name}” 重复"
            )
        seen.add(name)


def pointer_to(part: str, name: str) -> str:
    """Return the JSON pointer to a member."""
    return f"/{part}/" + name.replace("~", "~0").replace("/", "~1")


def _mapping_faults(
    columns: Mapping[str, Column], header: Sequence[str], mapping: Mapping[str, str]
) -> Iterator[FieldError]:
    for theirs, ours in mapping.items():
        pointer = pointer_to("mapping", theirs)
        if theirs not in header:
            yield FieldError(
                pointer, "unknown_header", f"The file has no header '{theirs}'", f"文件没有表头 “{theirs}”"
            )
        if ours and ours not in columns:
            yield unknown_column(pointer, ours)
    values = [ours for ours in mapping.values() if ours]
    for ours in sorted({ours for ours in values if values.count(ours) > 1}):
        yield FieldError(
            "/mapping", "duplicate_column", f"Two headers are mapped to {ours}", f"有两个表头映射到 {ours}"
        )


def unknown_column(pointer: str, name: str) -> FieldError:
    """Return the error for a column that rows of this kind do not have."""
    return FieldError(pointer, "unknown_column", f"There is no column '{name}'", f"没有名为 “{name}” 的列")


# -- what is wrong with a row ------------------------------------------------------------------------------------------

REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "required": ("A value is needed", "缺少必填内容"),
    "no_key": (
        "Give platform and external_id, a mobile number or an e-mail address",
        "请提供平台与外部编号、手机号或邮箱之一",
    ),
    "too_long": ("The text is too long", "文本过长"),
    "bad_format": ("It does not have the form this column takes", "格式不正确"),
    "nul_character": ("Text must not contain the NUL character", "文本不能包含 NUL 字符"),
    "bad_number": ("This is not a number", "不是有效的数字"),
    "negative": ("The amount must not be negative", "金额不能为负数"),
    "out_of_range": ("The number is out of range", "数值超出范围"),
    "bad_date": (
        "Write dates as 2026-01-31, 20260131 or RFC 3339; birthdays also as 01-31 or 农历八月十五",
        "日期格式应为 2026-01-31、20260131 或 RFC 3339；生日还可写成 01-31 或 农历八月十五",
    ),
    "impossible_date": ("There is no such day or time", "该日期或时间不存在"),
    "unknown_currency": ("This is not a currency in use (ISO 4217)", "不是有效的货币代码（ISO 4217）"),
    "unknown_choice": ("It is not one of the values this column takes", "不在可选范围内"),
    "ragged_row": ("The row has more or fewer cells than the header", "该行的单元格数与表头不一致"),
    "malformed_row": ("The row's quotation marks do not match", "该行的引号不匹配"),
    "row_too_long": ("The row is too long", "该行过长"),
    "bad_encoding": ("The row is not in the file's encoding", "该行的编码与文件不一致"),
    "too_many": ("There are too many values", "数量过多"),
    "bad_lines": (
        "Write lines as a JSON list of objects with title, unit_price and, if known, quantity, sku, amount, category",
        "明细应为 JSON 数组，每项含 title、unit_price，可含 quantity、sku、amount、category",
    ),
    "bad_id": ("This is not an id of ours", "不是有效的系统编号"),
    "malformed_json": ("The line is not a JSON object", "该行不是 JSON 对象"),
    "scientific_notation": (
        "The spreadsheet has shortened this number: format the column as text and fill it again",
        "数字已被表格软件转为科学计数法：请将该列设为文本格式后重新填写",
    ),
    "masked_id": (
        "Many people share a masked id such as t***b: map a column with the whole id or an OAID, or ignore this one",
        "t***b 这类脱敏账号由多人共用：请对应到含完整账号或 OAID 的列，或忽略此列",
    ),
    "formula_error": ("The formula in this cell has an error", "该单元格的公式出错"),
    "no_customer": (
        "Say who it is: platform and customer_id, mobile, email or crm_id",
        "请指明客户：平台与客户编号、手机号、邮箱或系统编号",
    ),
}


def reason(code: str, locale: Locale) -> str:
    """Return the words for a row error."""
    english, chinese = REASONS[code]
    return chinese if locale == "zh" else english
