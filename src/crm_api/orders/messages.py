"""Reading what platforms, files and people say about orders: columns out, or every fault named."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args

from crm_api.core.errors import FieldError, Invalid
from crm_api.core.money import MAX_MINOR, PositiveMoney, currencies
from crm_api.core.text import is_masked_id
from crm_api.orders.models import (
    MAX_VERSION,
    PARTS,
    OrderLineInput,
    OrderRow,
    OrderStatus,
    OrderUpsert,
    OrderValues,
    RefundCreate,
)
from crm_api.orders.rules import PAID

STATUSES: Final = get_args(OrderStatus)
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
SKEW: Final = timedelta(days=1)
"""How far a platform's clock may run ahead of ours."""

_PLATFORM: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TOKEN: Final = re.compile(r"[^\s\x00\ud800-\udfff]{1,200}")
_LINE: Final = re.compile(r"[^\x00\ud800-\udfff]{1,200}", re.DOTALL)

# -- messages of one order ---------------------------------------------------------------------------------------------


def key_errors(platform: str, external_id: str) -> Iterator[FieldError]:
    """Yield what is wrong with an order's name."""
    if not _PLATFORM.fullmatch(platform):
        yield FieldError(
            "/platform", "bad_format", "A platform is a short lower-case name such as taobao", "平台应为小写短名称"
        )
    if not _TOKEN.fullmatch(external_id):
        yield FieldError(
            "/external_id", "bad_format", "An outside id is 1–200 characters without white space", "外部编号格式不正确"
        )


def message_of(platform: str, external_id: str, data: OrderUpsert, now: datetime) -> OrderValues:
    """Return the columns an order message sets, without its customer and what follows from its lines.

    Raises:
        Invalid: names each field that cannot be.

    """
    message: OrderValues = {
        "platform": platform,
        "external_id": external_id,
        "currency": data.total.currency,
        "total_amount": data.total.amount,
        "discount_amount": _minor(data.discount) or 0,
        "shipping_amount": _minor(data.shipping) or 0,
        **{f"{name}_amount": _minor(getattr(data, name)) or 0 for name in PARTS},
        **_money(data.status, data.total.amount, _minor(data.paid), _minor(data.refunded)),
        "reported_status": data.status,
        **data.model_dump(
            include={
                "placed_at",
                "paid_at",
                "completed_at",
                "platform_version",
                "platform_updated_at",
                "store_id",
                "staff_id",
                "channel",
                "buyer_note",
            }
        ),
    }
    errors = [
        *key_errors(platform, external_id),
        *_customer_errors(data),
        *_currency_errors(data),
        *_quantity_errors(data.lines or ()),
        *_time_errors(message, now),
        *_refund_errors(message, "/refunded/amount"),
    ]
    if errors:
        raise Invalid(errors=errors)
    return message


def _minor(money: PositiveMoney | None) -> int | None:
    return None if money is None else money.amount


def _money(status: str, total: int, paid: int | None, refunded: int | None) -> dict[str, int]:
    if paid is None:
        paid = total if status in PAID else 0
    if refunded is None:
        refunded = paid if status == "refunded" else 0
    return {"paid_amount": paid, "reported_refund_amount": refunded}


def _customer_errors(data: OrderUpsert) -> Iterator[FieldError]:
    if (data.customer_id is None) == (data.customer is None):
        yield FieldError(
            "/customer_id",
            "required",
            "Send either customer_id or customer",
            "customer_id 与 customer 只能二选一",
        )


def _currency_errors(data: OrderUpsert) -> Iterator[FieldError]:
    currency = data.total.currency
    named: list[tuple[str, PositiveMoney | None]] = [
        (f"/{name}", getattr(data, name)) for name in ("discount", "shipping", "paid", "refunded", *PARTS)
    ]
    yield from _other_currencies(named, currency)
    yield from _line_errors(data.lines or (), currency)


def _line_errors(lines: Sequence[OrderLineInput], currency: str) -> Iterator[FieldError]:
    for index, line in enumerate(lines):
        if line_amount(line) > MAX_MINOR:
            yield FieldError(f"/lines/{index}/quantity", "out_of_range", "The position costs too much", "金额超出范围")
        prices = [(f"/lines/{index}/unit_price", line.unit_price), (f"/lines/{index}/amount", line.amount)]
        yield from _other_currencies(prices, currency)


def _other_currencies(named: Iterable[tuple[str, PositiveMoney | None]], currency: str) -> Iterator[FieldError]:
    for pointer, money in named:
        if money is not None and money.currency != currency:
            yield FieldError(
                f"{pointer}/currency",
                "currency_mismatch",
                f"An order has one currency: its total is in {currency}",
                f"订单只能使用一种货币：总额为 {currency}",
            )


def _quantity_errors(lines: Sequence[OrderLineInput]) -> Iterator[FieldError]:
    for index, line in enumerate(lines):
        if line.refunded_quantity > line.quantity:
            yield FieldError(
                f"/lines/{index}/refunded_quantity",
                "exceeds_quantity",
                f"More pieces cannot be refunded than were bought ({line.quantity})",
                f"退款件数不能超过购买件数（{line.quantity}）",
            )


def line_amount(line: OrderLineInput) -> int:
    """Return what a position costs, in minor units."""
    return line.unit_price.amount * line.quantity if line.amount is None else line.amount.amount


def _time_errors(message: Mapping[str, Any], now: datetime) -> Iterator[FieldError]:
    placed = message["placed_at"]
    for name in ("placed_at", "paid_at", "completed_at", "platform_updated_at"):
        time = message.get(name)
        if time is None:
            continue
        if time.tzinfo is None:
            yield FieldError(f"/{name}", "invalid_time", "Give the time with its offset", "时间必须带时区")
            return
        if not EARLIEST <= time <= now + SKEW:
            yield FieldError(
                f"/{name}",
                "impossible_date",
                "This time lies in the future or before 1970",
                "时间早于 1970 年或晚于现在",
            )
        elif name in {"paid_at", "completed_at"} and time < placed:
            yield FieldError(
                f"/{name}", "impossible_date", "This cannot be before the order was placed", "不能早于下单时间"
            )


def _refund_errors(message: Mapping[str, Any], pointer: str) -> Iterator[FieldError]:
    if message["reported_refund_amount"] > message["paid_amount"]:
        yield FieldError(pointer, "exceeds_paid", "More cannot be refunded than was paid", "退款不能超过已付金额")


def check_refund(order: Mapping[str, Any], data: RefundCreate, refunded_at: datetime, now: datetime) -> None:
    """Raise Invalid when a refund cannot be."""
    errors = []
    if data.amount.amount == 0:
        errors.append(FieldError("/amount/amount", "out_of_range", "Pay back something", "退款金额必须大于 0"))
    if data.amount.currency != order["currency"]:
        errors.append(
            FieldError(
                "/amount/currency",
                "currency_mismatch",
                f"The order is in {order['currency']}",
                f"订单货币为 {order['currency']}",
            )
        )
    if not order["placed_at"] <= refunded_at <= now + SKEW:
        errors.append(
            FieldError(
                "/refunded_at",
                "impossible_date",
                "This cannot be before the order was placed, nor in the future",
                "不能早于下单时间或晚于现在",
            )
        )
    if errors:
        raise Invalid(errors=errors)


# -- rows of a bulk write ----------------------------------------------------------------------------------------------


def message_of_row(row: OrderRow, now: datetime) -> OrderValues:
    """Return the columns a row sets, without its customer.

    Raises:
        Invalid: names each attribute that cannot be.

    """
    errors = [*key_errors(row.platform, row.external_id), *_row_errors(row)]
    if errors:
        raise Invalid(errors=errors)
    message: OrderValues = {
        "platform": row.platform,
        "external_id": row.external_id,
        "currency": row.currency,
        "total_amount": row.total_amount,
        **_money(row.status, row.total_amount, row.paid_amount, row.refunded_amount),
        "reported_status": row.status,
        "placed_at": row.placed_at,
        "platform_version": row.platform_version,
        "platform_updated_at": row.platform_updated_at,
    }
    for name in _OPTIONAL:
        value = getattr(row, name)
        if value is not None:
            message[name] = value
    errors = [*_time_errors(message, now), *_refund_errors(message, "/refunded_amount")]
    if errors:
        raise Invalid(errors=errors)
    return message


_OPTIONAL: Final = ("discount_amount", "shipping_amount", "paid_at", "completed_at", "channel")
_AMOUNTS: Final = ("total_amount", "paid_amount", "refunded_amount", "discount_amount", "shipping_amount")


def _buyer_errors(row: OrderRow) -> Iterator[FieldError]:
    if row.customer_external_id is None:
        if row.customer is None:
            yield FieldError("/customer_external_id", "required", "Say who bought", "请指明买家")
    elif not _TOKEN.fullmatch(row.customer_external_id):
        yield FieldError(
            "/customer_external_id",
            "bad_format",
            "An outside id is 1–200 characters without white space",
            "外部编号格式不正确",
        )
    elif is_masked_id(row.customer_external_id):
        yield FieldError(
            "/customer_external_id",
            "masked_id",
            "Many people share a masked id such as t***b: send the whole id or an OAID",
            "t***b 这类脱敏账号由多人共用：请提供完整账号或 OAID",
        )


def _row_errors(row: OrderRow) -> Iterator[FieldError]:
    yield from _buyer_errors(row)
    if row.status not in STATUSES:
        yield FieldError("/status", "unknown_choice", f"A status is one of {', '.join(STATUSES)}", "未知的订单状态")
    if row.currency not in currencies():
        yield FieldError("/currency", "unknown_currency", "This is not a currency in use (ISO 4217)", "未知的货币")
    for name in _AMOUNTS:
        amount = getattr(row, name)
        if amount is not None and not 0 <= amount <= MAX_MINOR:
            yield FieldError(f"/{name}", "out_of_range", "An amount is 0 or more minor units", "金额超出范围")
    if row.platform_version is not None and not 0 <= row.platform_version <= MAX_VERSION:
        yield FieldError("/platform_version", "out_of_range", "A version is 0 or more", "版本号超出范围")
    yield from _line_errors(row.lines or (), row.currency)
    yield from _quantity_errors(row.lines or ())
    for name in ("channel", "customer_name"):
        text = getattr(row, name)
        if text is not None and not _LINE.fullmatch(text):
            yield FieldError(
                f"/{name}", "bad_format", "1–200 characters that can be stored", "文本长度应为 1–200 个字符"
            )
