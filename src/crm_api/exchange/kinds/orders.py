"""Orders and refunds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final
from uuid import UUID

import orjson
from pydantic import Field, TypeAdapter

from crm_api.core.errors import FieldError
from crm_api.core.money import to_minor
from crm_api.core.text import is_masked_id
from crm_api.core.undo import Entry, Undone
from crm_api.customers.models import CustomerRow
from crm_api.customers.service import WRITE as WRITE_CUSTOMERS
from crm_api.db.uow import UnitOfWork
from crm_api.exchange import cells, rules
from crm_api.exchange.cells import CellError, Fault
from crm_api.exchange.kinds.base import REFERENCE, Kind, Options, Setting, Values, Written
from crm_api.exchange.repository import ties
from crm_api.exchange.rules import Column
from crm_api.orders.models import MAX_LINES, OrderLineInput, OrderRow, RefundRow
from crm_api.orders.service import WRITE, OrderService

_PLATFORM: Final = Column(
    cells.platform, required=True, names=("channel", "source platform", "平台", "来源平台", "店铺平台")
)
_ORDER_NAMES: Final = ("order", "order no", "order number", "订单号", "订单编号", "主订单编号", "交易号")

_LINES: Final = TypeAdapter(Annotated[tuple[OrderLineInput, ...], Field(max_length=MAX_LINES)])
_NOT_TAKEN: Final = frozenset({"id", "position", "product_id"})
"""What our exports say of a line beside what it is."""


def _json_list(text: str) -> list[dict[str, Any]]:
    """Return a JSON list of objects."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise CellError("bad_lines") from None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise CellError("bad_lines")
    return found


def _lines(given: Iterable[Mapping[str, Any]], currency: str) -> tuple[OrderLineInput, ...]:
    """Return an order's positions.

    Raises:
        ValueError: they are none.

    """
    lines = []
    for each in given:
        line = {name: value for name, value in each.items() if name not in _NOT_TAKEN and value is not None}
        for name in ("unit_price", "amount"):
            price = line.get(name)
            if isinstance(price, str | int | float):  # in major units, as all amounts of a file; objects are as in REST
                line[name] = {"amount": to_minor(cells.amount(str(price)), currency), "currency": currency}
        lines.append(line)
    return _LINES.validate_python(lines)


_ORDER: Final = {
    "platform": _PLATFORM,
    "order_id": Column(cells.token, required=True, names=_ORDER_NAMES),
    "customer_id": Column(
        cells.token,
        names=(
            "customer",
            "buyer",
            "buyer id",
            "user id",
            "客户号",
            "客户编号",
            "买家",
            "买家id",
            "买家会员名",
            "会员名",
            "会员号",
        ),
    ),
    "crm_id": REFERENCE["crm_id"],
    "mobile": Column(
        cells.phone,
        names=(
            *REFERENCE["mobile"].names,
            "buyer phone",
            "联系手机",
            "买家手机",
            "买家手机号",
            "收货人手机",
            "收货人手机号",
            "收货人电话",
            "会员手机号",
        ),
    ),
    "email": Column(cells.line, names=(*REFERENCE["email"].names, "buyer email", "买家邮箱")),
    "placed_at": Column(
        None,
        required=True,
        names=("date", "day", "order date", "created at", "下单时间", "订单创建时间", "下单日期", "日期", "时间"),
    ),
    "status": Column(cells.status, required=True, names=("state", "order status", "状态", "订单状态")),
    "total": Column(
        cells.amount,
        required=True,
        names=("amount", "total amount", "price", "金额", "订单金额", "实付金额", "总金额", "总价"),
    ),
    "currency": Column(cells.currency, required=True, names=("币种", "货币")),
    "customer_name": Column(
        cells.line, names=("customer name", "buyer name", "收货人", "收货人姓名", "姓名", "客户姓名")
    ),
    "paid": Column(cells.amount, names=("paid amount", "已付金额", "买家实付", "买家实际支付金额")),
    "refunded": Column(cells.amount, names=("refunded amount", "refund", "退款金额")),
    "discount": Column(cells.amount, names=("discount amount", "优惠", "优惠金额")),
    "shipping": Column(cells.amount, names=("shipping amount", "freight", "运费", "邮费", "买家应付邮费")),
    "paid_at": Column(None, names=("付款时间", "支付时间", "订单付款时间")),
    "completed_at": Column(None, names=("完成时间", "成交时间", "确认收货时间")),
    "platform_version": Column(cells.version, names=("version", "版本")),
    "platform_updated_at": Column(None, names=("updated at", "更新时间", "修改时间")),
    "channel": Column(cells.line, names=("sales channel", "销售渠道")),
    "lines": Column(_json_list, names=("line items", "items", "商品明细", "订单明细", "宝贝明细")),
}
_AMOUNTS: Final = {
    "total": "total_amount",
    "paid": "paid_amount",
    "refunded": "refunded_amount",
    "discount": "discount_amount",
    "shipping": "shipping_amount",
}
_NAMES: Final = {"order_id": "external_id"}
_OUR_ID: Final = {"customer_id": "crm_id", "external_id": "crm_id"}
_BUYER: Final = ("crm_id", "customer_id", "mobile", "email")


def _buyer(values: Values, faults: list[Fault]) -> Values:
    """Take the columns that say who bought out of a row's values; returns the order row's fields for it.

    Our own id counts before the platform's account, that before a phone or an e-mail address: what a platform exports
    beside the account is often the receiver's.
    """
    ours, account, mobile, email = (values.pop(name, None) for name in _BUYER)
    if ours is not None:
        return {"customer_external_id": None, "customer": CustomerRow(profile={}, customer_id=ours)}
    if account is not None and not (is_masked_id(account) and (mobile or email)):
        if is_masked_id(account):
            faults.append(Fault("customer_id", "masked_id"))
        return {"customer_external_id": account}
    if not (mobile or email):
        faults.append(Fault(None, "no_customer"))
        return {}
    profile = {"name": values.get("customer_name") or mobile or email, "source": values["platform"]}
    return {"customer_external_id": None, "customer": CustomerRow(profile=profile, mobile=mobile, email=email)}


def _lacks_buyer(known: frozenset[str]) -> Iterable[FieldError]:
    if not known & set(_BUYER):
        yield rules.missing_any("customer_id", "mobile", "email", "crm_id")


def _order(values: Values, faults: list[Fault], _setting: Setting) -> OrderRow | None:
    buyer = _buyer(values, faults)
    code = values["currency"]
    for ours, theirs in _AMOUNTS.items():
        if ours in values:
            try:
                values[theirs] = to_minor(values.pop(ours), code)
            except ValueError:
                faults.append(Fault(ours, "out_of_range"))
    if "lines" in values:
        try:
            values["lines"] = _lines(values["lines"], code)
        except ValueError:
            faults.append(Fault("lines", "bad_lines"))
    if faults:
        return None
    for ours, theirs in _NAMES.items():
        values[theirs] = values.pop(ours)
    return OrderRow(**values, **buyer)


async def _write_orders(unit: UnitOfWork, rows: Sequence[Any], options: Options) -> list[Written]:
    verdicts = await OrderService(unit).upsert_many(rows, options.mode)
    return [
        Written(
            "unchanged" if each.verdict == "stale" else each.verdict,
            each.order_id,
            [_of_column(error) for error in each.errors],
            each.journal,
        )
        for each in verdicts
    ]


def _of_column(error: FieldError) -> FieldError:
    """Let an error about the buyer point at the column that named it."""
    _, found, name = error.pointer.partition("/customer/")
    return replace(error, pointer=f"/{_OUR_ID.get(name, name)}") if found else error


async def _undo_orders(unit: UnitOfWork, entries: Sequence[Entry]) -> list[Undone]:
    verdicts = await OrderService(unit).undo_many(entries)
    # Buyers that were made for these orders go with them, unless something else hangs on them by now.
    made = [UUID(entry.journal["made"]) for entry in entries if "made" in entry.journal]
    await ties.remove_customers(unit, made)
    return verdicts


async def _order_keys(_unit: UnitOfWork, rows: Sequence[Any]) -> list[list[str]]:
    return [[f"{row.platform}:{row.external_id}"] for row in rows]


ORDERS = Kind(
    name="orders",
    subject="Order",
    table="orders",
    scopes=(WRITE, WRITE_CUSTOMERS),
    columns=_ORDER,
    make=_order,
    write=_write_orders,
    undo=_undo_orders,
    keys=_order_keys,
    lacks=_lacks_buyer,
    pointers={"external_id": "order_id", "customer_external_id": "customer_id"}
    | {theirs: ours for ours, theirs in _AMOUNTS.items()},
    ignored_ties=frozenset({"order_lines", "refunds"}),
)


_REFUND: Final = {
    "platform": _PLATFORM,
    "order_id": Column(cells.token, required=True, names=_ORDER_NAMES),
    "refund_id": Column(
        cells.token, required=True, names=("refund", "refund no", "退款编号", "退款单号", "售后单号", "售后编号")
    ),
    "amount": Column(cells.amount, required=True, names=("refund amount", "退款金额", "金额", "实退金额")),
    "currency": Column(cells.currency, names=("币种", "货币")),
    "refunded_at": Column(None, names=("date", "refund date", "退款时间", "退款完成时间", "退款日期")),
    "reason": Column(cells.line, names=("refund reason", "退款原因", "原因")),
}
_REFUND_NAMES: Final = {"order_id": "order_external_id", "refund_id": "external_id"}


def _refund(values: Values, _faults: list[Fault], _setting: Setting) -> RefundRow:
    return RefundRow(**{_REFUND_NAMES.get(name, name): value for name, value in values.items()})


async def _write_refunds(unit: UnitOfWork, rows: Sequence[Any], _options: Options) -> list[Written]:
    verdicts = await OrderService(unit).refund_many(rows)
    return [Written(each.verdict, each.refund_id, each.errors) for each in verdicts]


async def _undo_refunds(unit: UnitOfWork, entries: Sequence[Entry]) -> list[Undone]:
    return await OrderService(unit).undo_refunds(entries)


async def _refund_keys(_unit: UnitOfWork, rows: Sequence[Any]) -> list[list[str]]:
    # By order: refunds of one order add up.
    return [[f"{row.platform}:{row.order_external_id}"] for row in rows]


REFUNDS = Kind(
    name="refunds",
    subject="Refund",
    table="refunds",
    scopes=(WRITE,),
    columns=_REFUND,
    make=_refund,
    write=_write_refunds,
    undo=_undo_refunds,
    keys=_refund_keys,
    modes=("upsert",),
    pointers={"external_id": "refund_id", "order_external_id": "order_id"},
)
