"""Customers and companies."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, get_args

from crm_api.core.errors import FieldError
from crm_api.core.undo import Entry, Undone
from crm_api.customers.models import DEFAULT_KEYS, AgeRange, CustomerRow
from crm_api.customers.service import WRITE, CustomerBulkService
from crm_api.db.uow import UnitOfWork
from crm_api.exchange import cells, rules
from crm_api.exchange.cells import Fault
from crm_api.exchange.kinds.base import Kind, Options, Setting, Values, Written
from crm_api.exchange.rules import ATTRIBUTE, Column

_AGES: Final = {
    **{name: name for name in get_args(AgeRange)},
    **{name.replace("_", "-"): name for name in get_args(AgeRange)},
    "18岁以下": "under_18",
    "65岁以上": "65_plus",
}

_KEYS: Final = {
    "crm_id": Column(cells.our_id, names=("crm编号", "系统编号")),
    "platform": Column(cells.platform, names=("channel", "平台", "来源平台", "渠道")),
    "external_id": Column(
        cells.account,
        names=(
            "customer id",
            "external id",
            "id",
            "user id",
            "member no",
            "客户号",
            "客户编号",
            "会员号",
            "会员卡号",
            "会员编号",
            "卡号",
        ),
    ),
}

_REACH: Final = {
    "email": Column(cells.line, names=("e-mail", "mail", "email address", "邮箱", "电子邮箱", "邮件", "电子邮件")),
    "region": Column(cells.line, names=("province", "state", "省份", "省", "地区")),
    "city": Column(cells.line, names=("town", "城市", "所在城市", "市")),
    "address": Column(cells.line, names=("street", "地址", "联系地址", "收货地址", "详细地址")),
    "notes": Column(cells.prose, names=("note", "remark", "备注", "说明")),
    "source": Column(cells.line, names=("来源", "客户来源")),
    "tags": Column(cells.tags, names=("tag", "labels", "标签")),
}

_CUSTOMER: Final = {
    "name": Column(
        cells.line, names=("customer name", "full name", "姓名", "名字", "客户姓名", "客户名称", "会员姓名", "会员名称")
    ),
    "mobile": Column(
        cells.phone,
        names=(
            "phone",
            "mobile phone",
            "tel",
            "telephone",
            "手机",
            "手机号",
            "手机号码",
            "电话",
            "联系电话",
            "联系方式",
        ),
    ),
    "gender": Column(cells.gender, names=("sex", "性别")),
    "birthday": Column(cells.birthday, names=("birth date", "date of birth", "生日", "出生日期", "出生年月")),
    "lunar_birthday": Column(cells.birthday_by_the_moon, names=("农历生日", "阴历生日", "旧历生日")),
    "age_range": Column(cells.choice(_AGES), names=("age", "年龄段", "年龄范围")),
    "family": Column(cells.prose, names=("家庭成员", "家庭情况")),
    "occupation": Column(cells.line, names=("job", "职业")),
    **_REACH,
    **_KEYS,
}
_COMPANY: Final = {
    "name": Column(
        cells.line,
        names=(
            "company",
            "company name",
            "customer name",
            "公司",
            "公司名称",
            "企业名称",
            "单位名称",
            "客户名称",
            "名称",
        ),
    ),
    "mobile": Column(cells.phone, names=("phone", "tel", "telephone", "电话", "联系电话", "手机", "手机号")),
    **_REACH,
    **_KEYS,
}
_PROFILE: Final = (
    "name",
    "gender",
    "age_range",
    "family",
    "occupation",
    "region",
    "city",
    "address",
    "notes",
    "source",
)


def _row(values: Values, faults: list[Fault], kind: str) -> CustomerRow | None:
    if "external_id" not in values:
        values.pop("platform", None) if values.keys() & {"mobile", "email", "crm_id"} else None
    if ("platform" in values) != ("external_id" in values):
        faults.append(Fault("external_id" if "platform" in values else "platform", "required"))
        return None
    if not values.keys() & {"platform", "mobile", "email", "crm_id"}:
        faults.append(Fault(None, "no_key"))
        return None
    moon = values.pop("lunar_birthday", None)
    if moon is not None:
        values.setdefault("birthday", moon)
    profile: dict[str, str] = {name: values.pop(name) for name in _PROFILE if name in values}
    attributes = {name.removeprefix(ATTRIBUTE): values.pop(name) for name in list(values) if name.startswith(ATTRIBUTE)}
    ours = values.pop("crm_id", None)
    return CustomerRow(profile=profile, attributes=attributes, kind=kind, customer_id=ours, **values)  # type: ignore[arg-type]


def _person(values: Values, faults: list[Fault], _setting: Setting) -> CustomerRow | None:
    return _row(values, faults, "person")


def _company(values: Values, faults: list[Fault], _setting: Setting) -> CustomerRow | None:
    return _row(values, faults, "company")


def _lacks(known: frozenset[str]) -> Iterable[FieldError]:
    """Tell what is missing to recognise a customer again: an id, an outside identity, a phone or an e-mail address."""
    if "external_id" in known and "platform" not in known:
        yield rules.missing("platform")
    elif not known & {"crm_id", "mobile", "email", "external_id"}:
        yield rules.missing_any("external_id", "mobile", "email", "crm_id")


async def _write(unit: UnitOfWork, rows: Sequence[Any], options: Options) -> list[Written]:
    keys = tuple(options.match_by) or DEFAULT_KEYS
    verdicts = await CustomerBulkService(unit).import_many(rows, match_by=keys, mode=options.mode)
    return [Written(each.verdict, each.customer_id, each.errors, each.journal) for each in verdicts]


async def _undo(unit: UnitOfWork, entries: Sequence[Entry]) -> list[Undone]:
    return await CustomerBulkService(unit).undo_many(entries)


async def _keys(unit: UnitOfWork, rows: Sequence[Any]) -> list[list[str]]:
    return [sorted(keys) for keys in await CustomerBulkService(unit).keys_of_many(rows)]


CUSTOMERS = Kind(
    name="customers",
    subject="Customer",
    table="customers",
    scopes=(WRITE,),
    columns=_CUSTOMER,
    make=_person,
    write=_write,
    undo=_undo,
    keys=_keys,
    lacks=_lacks,
    match_keys=DEFAULT_KEYS,
    takes_attributes=True,
    pointers={"customer_id": "crm_id"},
)
COMPANIES = Kind(
    name="companies",
    subject="Customer",
    table="customers",
    scopes=(WRITE,),
    columns=_COMPANY,
    make=_company,
    write=_write,
    undo=_undo,
    keys=_keys,
    lacks=_lacks,
    match_keys=DEFAULT_KEYS,
    takes_attributes=True,
    pointers={"customer_id": "crm_id"},
)
