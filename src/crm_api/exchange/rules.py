"""What an import file may look like: columns, header names and the words for what is wrong. Pure rules."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from crm_api.core.errors import FieldError, Invalid, Locale
from crm_api.exchange.models import ImportKind


@dataclass(frozen=True, slots=True)
class Column:
    """A column of ours.

    Attributes:
        required: a file without it cannot be imported.
        names: other headers that mean it, as exports of shops and platforms write them.

    """

    required: bool = False
    names: tuple[str, ...] = ()


ORDER_COLUMNS: Final[Mapping[str, Column]] = {
    "platform": Column(required=True, names=("channel", "source platform", "平台", "来源平台", "店铺平台")),
    "order_id": Column(
        required=True,
        names=("order", "order no", "order number", "order_no", "订单号", "订单编号", "主订单编号", "交易号"),
    ),
    "customer_id": Column(
        required=True,
        names=("customer", "buyer", "buyer id", "user id", "user_id", "客户号", "客户编号", "买家", "买家id", "会员名"),
    ),
    "placed_at": Column(
        required=True,
        names=(
            "date",
            "order date",
            "order_date",
            "created at",
            "下单时间",
            "订单创建时间",
            "下单日期",
            "日期",
            "时间",
        ),
    ),
    "status": Column(required=True, names=("state", "order status", "状态", "订单状态")),
    "total": Column(
        required=True, names=("amount", "total amount", "price", "金额", "订单金额", "实付金额", "总金额", "总价")
    ),
    "currency": Column(required=True, names=("币种", "货币")),
    "customer_name": Column(names=("customer name", "buyer name", "收货人", "收货人姓名", "姓名", "客户姓名")),
    "paid": Column(names=("paid amount", "已付金额", "买家实付")),
    "refunded": Column(names=("refunded amount", "refund", "退款金额")),
    "discount": Column(names=("discount amount", "优惠", "优惠金额")),
    "shipping": Column(names=("shipping amount", "freight", "运费", "邮费")),
    "paid_at": Column(names=("付款时间", "支付时间")),
    "completed_at": Column(names=("完成时间", "成交时间", "确认收货时间")),
    "platform_version": Column(names=("version", "版本")),
    "platform_updated_at": Column(names=("updated at", "更新时间", "修改时间")),
    "channel": Column(names=("sales channel", "销售渠道")),
}

CUSTOMER_COLUMNS: Final[Mapping[str, Column]] = {
    "name": Column(names=("customer name", "full name", "姓名", "名字", "客户姓名", "客户名称", "会员姓名")),
    "mobile": Column(names=("phone", "mobile phone", "tel", "手机", "手机号", "手机号码", "电话", "联系电话")),
    "email": Column(names=("e-mail", "mail", "email address", "邮箱", "电子邮箱", "邮件")),
    "gender": Column(names=("sex", "性别")),
    "birthday": Column(names=("birth date", "date of birth", "生日", "出生日期")),
    "occupation": Column(names=("job", "职业")),
    "region": Column(names=("province", "state", "省份", "省", "地区")),
    "city": Column(names=("town", "城市", "所在城市")),
    "address": Column(names=("street", "地址", "联系地址", "收货地址")),
    "notes": Column(names=("note", "remark", "备注")),
    "source": Column(names=("来源", "客户来源")),
    "tags": Column(names=("tag", "labels", "标签")),
    "platform": Column(names=("channel", "平台", "来源平台", "渠道")),
    "external_id": Column(
        names=("customer_id", "customer id", "external id", "id", "user id", "user_id", "客户号", "客户编号", "会员号")
    ),
}

COLUMNS: Final[Mapping[ImportKind, Mapping[str, Column]]] = {"customers": CUSTOMER_COLUMNS, "orders": ORDER_COLUMNS}

MAX_COLUMNS: Final = 500


# -- headers -----------------------------------------------------------------------------------------------------------


def _plain(name: str) -> str:
    text = unicodedata.normalize("NFKC", name).strip().lower()
    return " ".join(text.replace("_", " ").replace("-", " ").split())


def _guesses(columns: Mapping[str, Column]) -> dict[str, str]:
    named = {_plain(other): ours for ours, column in columns.items() for other in column.names}
    return named | {_plain(ours): ours for ours in columns}


def match_columns(kind: ImportKind, header: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Return header of the file → column of ours, in the file's order.

    A header named in ``mapping`` means what that says; the others are recognised by our own names and their usual
    synonyms, English or Chinese, whatever their case. A header that means nothing to us is left out.

    Raises:
        Invalid: mapping and header do not fit together, or a required column is missing.

    """
    columns = COLUMNS[kind]
    errors = [*_header_faults(header), *_mapping_faults(columns, header, mapping)]
    if errors:
        raise Invalid(errors=errors)
    guesses = _guesses(columns)
    claimed = set(mapping.values())
    found: dict[str, str] = {}
    for name in header:
        ours = mapping.get(name) or guesses.get(_plain(name))
        if ours is None or (name not in mapping and ours in claimed):
            continue
        if ours in found.values():
            other = next(theirs for theirs, each in found.items() if each == ours)
            raise Invalid.field(
                "/file",
                "duplicate_column",
                f"The headers '{other}' and '{name}' both mean {ours}: say which one with mapping",
                f"表头 “{other}” 和 “{name}” 都对应 {ours}：请用 mapping 指定",
            )
        found[name] = ours
    missing = [name for name, column in columns.items() if column.required and name not in found.values()]
    if kind == "customers":
        missing += _missing_key(set(found.values()))
    if missing:
        raise Invalid(errors=[_missing(name) for name in missing])
    return found


def _missing_key(found: set[str]) -> list[str]:
    """Tell what is missing to recognise a customer again: an outside identity, a phone or an e-mail address."""
    if found & {"mobile", "email"} or {"platform", "external_id"} <= found:
        return []
    return (
        ["platform", "external_id"]
        if not found & {"platform", "external_id"}
        else sorted({"platform", "external_id"} - found)
    )


def _missing(name: str) -> FieldError:
    return FieldError(
        "/file",
        "missing_column",
        f"The file has no column '{name}'",
        f"文件缺少列 “{name}”（请检查首行表头或 mapping）",
    )


def _header_faults(header: Sequence[str]) -> list[FieldError]:
    if len(header) > MAX_COLUMNS:
        return [FieldError("/file", "too_many_columns", f"More than {MAX_COLUMNS} columns", f"列数超过 {MAX_COLUMNS}")]
    seen: set[str] = set()
    twice = []
    for name in header:
        if name and name in seen and name not in twice:
            twice.append(name)
        seen.add(name)
    return [
        FieldError("/file", "duplicate_column", f"The header '{name}' stands there twice", f"表头 “{name}” 重复")
        for name in twice
    ]


def _mapping_faults(
    columns: Mapping[str, Column], header: Sequence[str], mapping: Mapping[str, str]
) -> list[FieldError]:
    errors = []
    for theirs, ours in mapping.items():
        pointer = "/mapping/" + theirs.replace("~", "~0").replace("/", "~1")
        if theirs not in header:
            errors.append(
                FieldError(pointer, "unknown_header", f"The file has no header '{theirs}'", f"文件没有表头 “{theirs}”")
            )
        if ours not in columns:
            errors.append(
                FieldError(pointer, "unknown_column", f"There is no column '{ours}'", f"没有名为 “{ours}” 的列")
            )
    values = list(mapping.values())
    errors += [
        FieldError("/mapping", "duplicate_column", f"Two headers are mapped to {ours}", f"有两个表头映射到 {ours}")
        for ours in sorted({ours for ours in values if values.count(ours) > 1})
    ]
    return errors


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
    "bad_date": ("Write dates as 2026-01-31, 20260131 or RFC 3339", "日期格式应为 2026-01-31、20260131 或 RFC 3339"),
    "impossible_date": ("There is no such day or time", "该日期或时间不存在"),
    "unknown_currency": ("This is not a currency in use (ISO 4217)", "不是有效的货币代码（ISO 4217）"),
    "unknown_choice": ("It is not one of the values this column takes", "不在可选范围内"),
    "ragged_row": ("The row has more or fewer cells than the header", "该行的单元格数与表头不一致"),
    "malformed_row": ("The row's quotation marks do not match", "该行的引号不匹配"),
    "row_too_long": ("The row is too long", "该行过长"),
    "bad_encoding": ("The row is not in the file's encoding", "该行的编码与文件不一致"),
    "too_many": ("There are too many values", "数量过多"),
}


def reason(code: str, locale: Locale) -> str:
    """Return the words for a row error."""
    english, chinese = REASONS[code]
    return chinese if locale == "zh" else english


_OUR_NAMES: Final[Mapping[str, str]] = {
    "external_id": "order_id",
    "customer_external_id": "customer_id",
    "total_amount": "total",
    "paid_amount": "paid",
    "refunded_amount": "refunded",
    "discount_amount": "discount",
    "shipping_amount": "shipping",
}


def column_of(kind: ImportKind, pointer: str) -> str | None:
    """Return the column that a service's error points at, by the name it has in files."""
    name = pointer.strip("/").partition("/")[0]
    ours = _OUR_NAMES.get(name, name) if kind == "orders" else name
    return ours if ours in COLUMNS[kind] else None
