"""From resources to rows: nested fields become columns, each with a name, a type and a label in two languages.

What a resource has follows from its projection and wire model, so a new domain's list can be exported without a word
here. Only what people expect otherwise is said by hand: customers' contact points, identities and birthdays, which have
the columns an import takes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import orjson
from pydantic import AwareDatetime, BaseModel

from crm_api.attributes.models import Definition
from crm_api.attributes.service import field_labels
from crm_api.core.money import Money, minor_per_major
from crm_api.customers.models import ContactKind
from crm_api.db.plans.selection import Selection
from crm_api.db.projections import Field, Projection, Relation, projection, wire_model
from crm_api.exports.rules import mask_of, scrub

Row = Mapping[str, Any]
ColumnKind = Literal["text", "integer", "number", "boolean", "instant", "date", "amount", "texts", "json"]
Label = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a file.

    Attributes:
        name: unique in the file; nested names stand apart by dots.
        field: the resource's field that it comes from.
        kind: ``amount`` is money in major units, exactly; ``texts`` a list of texts; ``json`` anything else, as text.
        label: for people, by language.
        read: from the resource as JSON to the value: str, int, float, bool, datetime (UTC), date, Decimal or list.

    """

    name: str
    field: str
    kind: ColumnKind
    label: Label
    read: Callable[[Row], Any]


# -- types -------------------------------------------------------------------------------------------------------------

_PLAIN: Final[Mapping[type, ColumnKind]] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    Decimal: "number",
    AwareDatetime: "instant",
    datetime: "instant",
    date: "date",
}


def _bare(annotation: Any) -> Any:
    """Return a type without what allows null and without what describes it."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        inner = [each for each in get_args(annotation) if each is not NoneType]
        return _bare(inner[0]) if len(inner) == 1 else annotation
    return annotation


def _kind_of(bare: Any) -> ColumnKind:
    if isinstance(bare, type):
        found = next((kind for known, kind in _PLAIN.items() if issubclass(bare, known)), None)
        return found or ("json" if issubclass(bare, (dict, list, BaseModel)) else "text")
    if get_origin(bare) is Literal:
        return "text"
    if get_origin(bare) in {list, tuple} and _kind_of(_bare(get_args(bare)[0])) == "text":
        return "texts"
    return "json"


def _converted(kind: ColumnKind, value: Any) -> Any:
    if value is None:
        return None
    if kind == "instant":
        return datetime.fromisoformat(value)
    if kind == "date":
        return date.fromisoformat(value)
    if kind == "json":
        return orjson.dumps(value).decode()
    return str(value) if kind == "text" and not isinstance(value, str) else value


def _amount(value: Any) -> Decimal | None:
    if value is None:
        return None
    return Decimal(value["amount"]) / minor_per_major(value["currency"])


# -- columns -----------------------------------------------------------------------------------------------------------


def columns_of(of: Projection, selections: Iterable[Selection], attributes: Mapping[str, Definition]) -> list[Column]:
    """Return all columns of a resource's selected fields, in their order.

    Args:
        of: the projection.
        selections: what the caller may see of it.
        attributes: the tenant's definitions of attributes of it.

    """
    found = [column for each in selections for column in _of_field(of, each, attributes)]
    return _with_own_labels(of, found)


def _of_field(of: Projection, selection: Selection, attributes: Mapping[str, Definition]) -> Iterator[Column]:
    name = selection.field
    special = _SPECIAL.get(f"{of.name}.{name}")
    if special is not None:
        yield from special
    elif name == "attributes":
        yield from _attribute_columns(attributes)
    else:
        entry, known = of.entry(name), wire_model(of.name).model_fields[name]
        yield from _nested(name, (name,), known.annotation, entry, selection, field_labels(name))


def _nested(
    field: str, path: tuple[str, ...], annotation: Any, entry: Any, selection: Selection | None, label: Label
) -> Iterator[Column]:
    bare = _bare(annotation)
    if isinstance(bare, type) and issubclass(bare, Money):
        yield from _money(".".join(path), field, label, lambda row: _at(row, path))
    elif isinstance(entry, Relation) and entry.kind == "one":
        target = projection(entry.target)
        for child in selection.children if selection is not None else ():
            known = wire_model(target.name).model_fields[child.field]
            inner = _joined(label, field_labels(child.field))
            yield from _nested(field, (*path, child.field), known.annotation, target.entry(child.field), child, inner)
    elif isinstance(bare, type) and issubclass(bare, BaseModel):
        for name, known in bare.model_fields.items():
            yield from _nested(field, (*path, name), known.annotation, None, None, _joined(label, field_labels(name)))
    else:
        kind = _kind_of(bare)
        yield Column(".".join(path), field, kind, label, lambda row: _converted(kind, _at(row, path)))


def _at(row: Row, path: tuple[str, ...]) -> Any:
    value: Any = row
    for name in path:
        if value is None:
            return None
        value = value.get(name)
    return value


def _joined(outer: Label, inner: Label) -> Label:
    return {"en": f"{outer['en']}: {inner['en'].lower()}", "zh": f"{outer['zh']}：{inner['zh']}"}


def _money(name: str, field: str, label: Label, read: Callable[[Row], Any]) -> Iterator[Column]:
    currency = {"en": f"{label['en']} currency", "zh": f"{label['zh']}币种"}
    yield Column(name, field, "amount", label, lambda row: _amount(read(row)))
    yield Column(f"{name}.currency", field, "text", currency, lambda row: (read(row) or {}).get("currency"))


_ATTRIBUTE_KINDS: Final[Mapping[str, ColumnKind]] = {
    "number": "number",
    "date": "date",
    "boolean": "boolean",
    "multi_choice": "texts",
}


def _attribute_columns(attributes: Mapping[str, Definition]) -> Iterator[Column]:
    for each in attributes.values():
        if each.archived:
            continue
        name, label = f"attributes.{each.key}", {"en": each.label_en, "zh": each.label_zh}
        path = ("attributes", each.key)
        if each.type == "money":
            yield from _money(name, "attributes", label, _reader(path))
        else:
            kind = _ATTRIBUTE_KINDS.get(each.type, "text")
            yield Column(name, "attributes", kind, label, _reader(path, kind))


def _reader(path: tuple[str, ...], kind: ColumnKind | None = None) -> Callable[[Row], Any]:
    if kind is None:
        return lambda row: _at(row, path)
    return lambda row: _converted(kind, _at(row, path))


# -- what is said by hand ----------------------------------------------------------------------------------------------


def _contact(kind: str) -> Callable[[Row], Any]:
    def read(row: Row) -> Any:
        points = [each for each in row["contact_points"] if each["kind"] == kind]
        return next((each["value"] for each in sorted(points, key=lambda each: not each["is_primary"])), None)

    return read


def _further_contacts(row: Row) -> str | None:
    shown = {_contact(kind)(row) for kind in get_args(ContactKind)}
    rest = [
        {"kind": each["kind"], "value": each["value"]} for each in row["contact_points"] if each["value"] not in shown
    ]
    return orjson.dumps(rest).decode() if rest else None


def _identity(part: str) -> Callable[[Row], Any]:
    return lambda row: row["identities"][0][part] if row["identities"] else None


def _further_identities(row: Row) -> str | None:
    rest = row["identities"][1:]
    shown = [{name: each[name] for name in ("platform", "external_id")} for each in rest]
    return orjson.dumps(shown).decode() if shown else None


def _solar(row: Row) -> str | None:
    """Return a solar birthday as imports take it: ``1990-05-20``, or ``05-20`` without its year."""
    birthday = row["birthday"]
    if birthday is None or birthday["calendar"] != "solar":
        return None
    day = f"{birthday['month']:02}-{birthday['day']:02}"
    return day if birthday["year"] is None else f"{birthday['year']}-{day}"


def _lunar(row: Row) -> str | None:
    """Return a lunar birthday as text: ``1990-闰05-20``."""
    birthday = row["birthday"]
    if birthday is None or birthday["calendar"] != "lunar":
        return None
    leap = "闰" if birthday["leap_month"] else ""
    year = "" if birthday["year"] is None else f"{birthday['year']}-"
    return f"{year}{leap}{birthday['month']:02}-{birthday['day']:02}"


def _text(name: str, field: str, en: str, zh: str, read: Callable[[Row], Any]) -> Column:
    return Column(name, field, "text", {"en": en, "zh": zh}, read)


_CONTACT_LABELS: Final[Mapping[str, tuple[str, str]]] = {
    "mobile": ("Mobile", "手机号"),
    "landline": ("Landline", "座机"),
    "email": ("Email", "邮箱"),
    "wechat_openid": ("WeChat openid", "微信openid"),
    "wechat_unionid": ("WeChat unionid", "微信unionid"),
    "wecom_external_userid": ("WeCom external user", "企业微信外部联系人"),
    "taobao_buyer": ("Taobao buyer", "淘宝买家"),
    "douyin_open_id": ("Douyin open id", "抖音open_id"),
    "weibo": ("Weibo", "微博"),
}
_SPECIAL: Final[Mapping[str, Sequence[Column]]] = {
    # What imports call a customer's own id; `id` means an outside one there.
    "Customer.id": [_text("crm_id", "id", "CRM id", "CRM编号", lambda row: row["id"])],
    "Customer.birthday": [
        _text("birthday", "birthday", "Birthday", "生日", _solar),
        _text("lunar_birthday", "birthday", "Lunar birthday", "农历生日", _lunar),
    ],
    "Customer.contact_points": [
        *(_text(kind, "contact_points", *_CONTACT_LABELS[kind], _contact(kind)) for kind in get_args(ContactKind)),
        Column(
            "further_contact_points",
            "contact_points",
            "json",
            {"en": "Further contact points", "zh": "其他联系方式"},
            _further_contacts,
        ),
    ],
    "Customer.identities": [
        _text("platform", "identities", "Platform", "平台", _identity("platform")),
        _text("external_id", "identities", "External id", "客户编号", _identity("external_id")),
        Column(
            "further_identities",
            "identities",
            "json",
            {"en": "Further identities", "zh": "其他平台身份"},
            _further_identities,
        ),
    ],
}
_LABELS: Final[Mapping[str, Label]] = {
    "Customer.name": {"en": "Name", "zh": "姓名"},
    "Customer.addresses": {"en": "Addresses", "zh": "全部收货地址"},
}
"""Labels by which an import of the same kind recognises what it takes, and nothing else."""


def _with_own_labels(of: Projection, columns: Sequence[Column]) -> list[Column]:
    return [
        replace(column, label=_LABELS[f"{of.name}.{column.name}"]) if f"{of.name}.{column.name}" in _LABELS else column
        for column in columns
    ]


def picked(columns: Sequence[Column], names: Sequence[str]) -> list[Column]:
    """Return the columns that these names of fields and columns mean, in that order, each once.

    What there is no more, such as an attribute that was archived, is left out.
    """
    found: dict[str, Column] = {}
    for name in names:
        of_field = [each for each in columns if each.field == name]
        for each in of_field or [each for each in columns if each.name == name]:
            found.setdefault(each.name, each)
    return list(found.values())


def headers(columns: Sequence[Column], language: str) -> list[str]:
    """Return the first line of a file: names, or labels, which say the name too where two would be alike."""
    if language == "names":
        return [column.name for column in columns]
    labels = [column.label[language] for column in columns]
    return [
        label if labels.count(label) == 1 else f"{label} ({column.name})"
        for label, column in zip(labels, columns, strict=True)
    ]


# -- masking -----------------------------------------------------------------------------------------------------------

Masker = Callable[[Any], Any]


def masker(of: Projection, selections: Iterable[Selection]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what masks contact details in a resource as JSON, related ones included."""
    masks = {each.field: mask for each in selections if (mask := _mask_of(of, each)) is not None}

    def run(row: dict[str, Any]) -> dict[str, Any]:
        return {name: masks[name](value) if name in masks else value for name, value in row.items()}

    return run


def _mask_of(of: Projection, selection: Selection) -> Masker | None:
    entry = of.entry(selection.field)
    if isinstance(entry, Relation):
        inner = masker(projection(entry.target), selection.children)
        return lambda value: [inner(each) for each in value] if isinstance(value, list) else value and inner(value)
    assert isinstance(entry, Field)  # noqa: S101 - what is selected exists
    if entry.mask is not None:
        return None  # PostgreSQL has masked it already
    text = mask_of(of.name, selection.field)
    if text is not None:
        return lambda value: text(value) if isinstance(value, str) else scrub(value)
    return lambda value: scrub(value) if isinstance(value, (dict, list)) else value
