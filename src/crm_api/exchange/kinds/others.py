"""Products, interactions, events and opening balances."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args
from uuid import UUID

from crm_api.catalogue.models import ProductRow
from crm_api.catalogue.service import WRITE as WRITE_PRODUCTS
from crm_api.catalogue.service import ProductService
from crm_api.core.errors import Conflict, FieldError
from crm_api.core.money import to_minor
from crm_api.core.undo import Entry, Undone
from crm_api.customers.models import CustomerRow
from crm_api.db.uow import UnitOfWork
from crm_api.events.models import MAX_DWELL_MS
from crm_api.events.service import WRITE as WRITE_EVENTS
from crm_api.events.service import EventService
from crm_api.exchange import cells
from crm_api.exchange.cells import CellError, Fault
from crm_api.exchange.kinds.base import (
    REFERENCE,
    Kind,
    Options,
    Setting,
    Values,
    Written,
    lacks_reference,
    located,
    take_reference,
)
from crm_api.exchange.rules import Column
from crm_api.interactions.models import MAX_DURATION, Channel, InteractionRow
from crm_api.interactions.service import WRITE as WRITE_INTERACTIONS
from crm_api.interactions.service import InteractionService
from crm_api.loyalty.models import MAX_POINTS, OpeningRow
from crm_api.loyalty.service import WRITE as WRITE_POINTS
from crm_api.loyalty.service import LoyaltyService

# -- products ----------------------------------------------------------------------------------------------------------


def _category(text: str) -> str:
    parts = [part.strip() for part in cells.line(text).replace(">", "/").split("/")]
    if not all(parts):
        raise CellError("bad_format")
    return "/".join(parts)


_PRODUCT: Final = {
    "sku": Column(
        cells.token, required=True, names=("product id", "商品编码", "商家编码", "货号", "商品编号", "条码", "商品条码")
    ),
    "name": Column(cells.line, names=("product", "product name", "title", "商品名称", "商品", "品名", "名称")),
    "category": Column(_category, names=("类目", "分类", "品类", "商品分类")),
    "brand": Column(cells.line, names=("品牌",)),
    "price": Column(cells.amount, names=("list price", "unit price", "价格", "售价", "单价", "零售价")),
    "currency": Column(cells.currency, names=("币种", "货币")),
    "active": Column(cells.boolean, names=("on sale", "在售", "上架", "是否上架")),
    "new_arrival_on": Column(cells.day, names=("new arrival", "上新日期", "上架日期")),
}


def _product(values: Values, faults: list[Fault], setting: Setting) -> ProductRow | None:
    currency, price = values.pop("currency", setting.currency), values.pop("price", None)
    if price is not None:
        try:
            values |= {"price_amount": to_minor(price, currency), "currency": currency}
        except ValueError:
            faults.append(Fault("price", "out_of_range"))
            return None
    return ProductRow(values.pop("sku"), values)


async def _write_products(unit: UnitOfWork, rows: Sequence[Any], options: Options) -> list[Written]:
    verdicts = await ProductService(unit).import_many(rows, options.mode)
    return [Written(each.verdict, each.product_id, each.errors, each.journal) for each in verdicts]


async def _undo_products(unit: UnitOfWork, entries: Sequence[Entry]) -> list[Undone]:
    return await ProductService(unit).undo_many(entries)


async def _product_keys(_unit: UnitOfWork, rows: Sequence[Any]) -> list[list[str]]:
    return [[row.sku] for row in rows]


PRODUCTS = Kind(
    name="products",
    subject="Product",
    table="products",
    scopes=(WRITE_PRODUCTS,),
    columns=_PRODUCT,
    make=_product,
    write=_write_products,
    undo=_undo_products,
    keys=_product_keys,
    pointers={"price_amount": "price"},
)

# -- interactions ------------------------------------------------------------------------------------------------------

_CHANNELS: Final = {
    **{name: name for name in get_args(Channel)},
    "phone": "call",
    "电话": "call",
    "上门": "visit",
    "拜访": "visit",
    "邮件": "email",
    "短信": "sms",
    "微信": "wechat",
    "在线客服": "live_chat",
    "社交媒体": "social",
    "到店": "in_store",
    "门店": "in_store",
}
_DIRECTIONS: Final = {
    "inbound": "inbound",
    "outbound": "outbound",
    "in": "inbound",
    "out": "outbound",
    "来电": "inbound",
    "呼入": "inbound",
    "客户": "inbound",
    "去电": "outbound",
    "呼出": "outbound",
    "商家": "outbound",
}
_INTERACTION: Final = {
    **REFERENCE,
    "occurred_at": Column(None, required=True, names=("date", "time", "at", "时间", "日期", "沟通时间", "跟进时间")),
    "channel": Column(cells.choice(_CHANNELS), required=True, names=("via", "方式", "沟通方式", "渠道", "跟进方式")),
    "direction": Column(cells.choice(_DIRECTIONS), required=True, names=("方向",)),
    "subject": Column(cells.line, names=("title", "主题", "标题")),
    "body": Column(cells.prose, names=("content", "text", "内容", "沟通内容", "跟进内容")),
    "outcome": Column(cells.line, names=("result", "结果")),
    "problem": Column(cells.prose, names=("问题",)),
    "solution": Column(cells.prose, names=("解决方案",)),
    "next_step": Column(cells.prose, names=("下一步", "后续")),
    "duration_seconds": Column(cells.whole(0, MAX_DURATION), names=("duration", "时长", "通话时长")),
}


@dataclass(frozen=True, slots=True)
class About:
    """A row about a customer, before that customer has been found."""

    customer: CustomerRow
    values: Values


def _about(values: Values, faults: list[Fault], _setting: Setting) -> About | None:
    customer = take_reference(values, faults)
    return None if customer is None else About(customer, values)


async def _write_interactions(unit: UnitOfWork, rows: Sequence[Any], _options: Options) -> list[Written]:
    verdicts: list[Any] = list(await located(unit, [row.customer for row in rows]))
    sound = [index for index, each in enumerate(verdicts) if isinstance(each, UUID)]
    made = [InteractionRow(customer_id=verdicts[index], **rows[index].values) for index in sound]
    for index, each in zip(sound, await InteractionService(unit).log_many(made), strict=True):
        if isinstance(each, FieldError):
            verdicts[index] = Written("failed", None, (each,))
            continue
        interaction_id, is_new = each
        verdicts[index] = Written("created" if is_new else "unchanged", interaction_id)
    return verdicts


async def _undo_interactions(unit: UnitOfWork, entries: Sequence[Entry]) -> list[Undone]:
    return await InteractionService(unit).undo_many(entries)


async def _about_keys(unit: UnitOfWork, rows: Sequence[Any]) -> list[list[str]]:
    """Return the customer each row is about: found by whatever key, the same customer has the same key."""
    found = await located(unit, [row.customer for row in rows])
    return [[str(each)] if isinstance(each, UUID) else [] for each in found]


async def _interaction_keys(unit: UnitOfWork, rows: Sequence[Any]) -> list[list[str]]:
    # Rows touch each other only when they say the same of the same customer.
    said = [repr(sorted(row.values.items())) for row in rows]
    return [[key + text for key in keys] for keys, text in zip(await _about_keys(unit, rows), said, strict=True)]


INTERACTIONS = Kind(
    name="interactions",
    subject="Interaction",
    table="interactions",
    scopes=(WRITE_INTERACTIONS,),
    columns=_INTERACTION,
    make=_about,
    write=_write_interactions,
    undo=_undo_interactions,
    keys=_interaction_keys,
    lacks=lacks_reference,
    modes=("upsert",),
)

# -- events ------------------------------------------------------------------------------------------------------------

_EVENT: Final = {
    "event_id": Column(cells.token, required=True, names=("id", "event", "事件编号", "事件id")),
    "type": Column(cells.platform, required=True, names=("event type", "action", "事件", "事件类型", "行为")),
    "occurred_at": Column(None, required=True, names=("time", "timestamp", "date", "at", "时间", "发生时间")),
    "device_id": Column(cells.token, names=("device", "anonymous id", "设备", "设备号", "设备id")),
    **{name: REFERENCE[name] for name in ("crm_id", "platform", "customer_id")},
    "session_id": Column(cells.token, names=("session", "会话", "会话id")),
    "sku": Column(cells.token, names=("product", "product id", "商品编码", "商品")),
    "url": Column(cells.prose, names=("page", "页面", "网址")),
    "dwell_ms": Column(cells.whole(0, MAX_DWELL_MS), names=("dwell", "停留毫秒")),
    "search": Column(cells.line, names=("query", "keyword", "搜索词", "关键词")),
}
_WHO: Final = {"crm_id": "customer_id", "platform": "platform", "customer_id": "external_id"}


def _event(values: Values, faults: list[Fault], _setting: Setting) -> Values | None:
    who = {theirs: values.pop(ours) for ours, theirs in _WHO.items() if ours in values}
    if "external_id" in who and "platform" not in who:
        faults.append(Fault("platform", "required"))
        return None
    if "customer_id" in who:
        who = {"customer_id": who["customer_id"]}
    elif "external_id" not in who:
        who = {}
    if "search" in values:
        values["properties"] = {"query": values.pop("search")}
    return {"id": values.pop("event_id"), **values, **({"customer": who} if who else {})}


async def _write_events(unit: UnitOfWork, rows: Sequence[Any], _options: Options) -> list[Written]:
    verdicts = await EventService(unit).import_many(rows)
    return [Written(each.verdict, each.event_id, each.errors) for each in verdicts]


async def _undo_events(unit: UnitOfWork, entries: Sequence[Entry]) -> list[Undone]:
    return await EventService(unit).undo_many(entries)


async def _event_keys(_unit: UnitOfWork, rows: Sequence[Any]) -> list[list[str]]:
    return [[row["id"]] for row in rows]


EVENTS = Kind(
    name="events",
    subject="Event",
    table="events",
    scopes=(WRITE_EVENTS,),
    columns=_EVENT,
    make=_event,
    write=_write_events,
    undo=_undo_events,
    keys=_event_keys,
    modes=("upsert",),
    pointers={"id": "event_id", "customer": "customer_id"},
)

# -- opening balances --------------------------------------------------------------------------------------------------

_OPENING: Final = {
    **REFERENCE,
    "points": Column(
        cells.whole(0, MAX_POINTS),
        required=True,
        names=("balance", "积分", "积分余额", "当前积分", "可用积分", "期初积分"),
    ),
    "expires_on": Column(cells.day, names=("expiry", "expires at", "到期日", "有效期", "有效期至")),
    "reason": Column(cells.line, names=("note", "备注", "原因")),
}


async def _write_openings(unit: UnitOfWork, rows: Sequence[Any], _options: Options) -> list[Written]:
    verdicts: list[Any] = list(await located(unit, [row.customer for row in rows]))
    sound = [index for index, each in enumerate(verdicts) if isinstance(each, UUID)]
    nothing = [index for index in sound if rows[index].values["points"] == 0]
    sound = [index for index in sound if rows[index].values["points"]]
    for index in nothing:
        verdicts[index] = Written("unchanged", verdicts[index])
    made = [OpeningRow(customer_id=verdicts[index], **rows[index].values) for index in sound]
    try:
        found = await LoyaltyService(unit).open_many(made) if made else []
    except Conflict as error:  # no programme: the rows say so
        wrong = FieldError("/points", error.code, error.message, error.message_zh)
        for index in sound:
            verdicts[index] = Written("failed", None, (wrong,))
        return verdicts
    for index, each in zip(sound, found, strict=True):
        verdicts[index] = Written(each.verdict, each.transaction_id, each.errors)
    return verdicts


async def _undo_openings(unit: UnitOfWork, entries: Sequence[Entry]) -> list[Undone]:
    return await LoyaltyService(unit).undo_openings(entries)


OPENING_BALANCES = Kind(
    name="opening_balances",
    subject="LoyaltyAccount",
    table="loyalty_transactions",
    scopes=(WRITE_POINTS,),
    columns=_OPENING,
    make=_about,
    write=_write_openings,
    undo=_undo_openings,
    keys=_about_keys,
    lacks=lacks_reference,
    modes=("upsert",),
    ignored_ties=frozenset({"loyalty_transactions", "loyalty_entries", "loyalty_lot_movements"}),
)
