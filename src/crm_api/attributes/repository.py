"""Access to attribute definitions, and how values are found in SQL."""

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    FromClause,
    Numeric,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.accounts.tables import staff, stores
from crm_api.attributes import rules
from crm_api.attributes.models import (
    AttributeDefinition,
    AttributeEntity,
    AttributeType,
    Choice,
    Definition,
    Definitions,
)
from crm_api.attributes.tables import attribute_definitions
from crm_api.core.errors import Invalid
from crm_api.core.money import currencies, to_minor
from crm_api.db.projections import (
    Filter,
    FilterValue,
    Key,
    Projection,
    asc,
    column,
    columns,
    desc,
    eq,
    struct,
)
from crm_api.db.repository import Repository
from crm_api.db.rules import SqlField

ATTRIBUTE_DEFINITION = Projection(
    "AttributeDefinition",
    table=attribute_definitions,
    model=AttributeDefinition,
    scope="attributes:read",
    description="A field that the shop added.",
    fields={
        **columns(
            "id",
            "entity",
            "key",
            "type",
            "description",
            "choices",
            "refers_to",
            "required",
            "minimum",
            "maximum",
            "max_length",
            "archived",
            "version",
            "created_at",
            "updated_at",
        ),
        "label": struct({"en": column("label_en"), "zh": column("label_zh")}),
    },
    orders={"oldest": [asc("id")], "newest": [desc("id")], "key": [asc("key")]},
    filters={
        "entity": eq("entity", AttributeEntity),
        "type": eq("type", AttributeType),
        "archived": eq("archived", bool, description="Only the archived ones, or only the others."),
    },
)

_TARGETS: dict[str, Table] = {"staff": staff, "store": stores}
_CARRIERS: dict[str, Table] = {}


def referable(target: str, table: Table) -> None:
    """Let attributes refer to rows of a table; domains above this one call it for their own."""
    _TARGETS[target] = table


def carries(entity: str, table: Table) -> None:
    """Say which table has the values of an entity, in a jsonb column ``attributes``."""
    _CARRIERS[entity] = table


class AttributeRepository(Repository):
    """Definitions, and questions about values."""

    table = attribute_definitions

    async def definitions(self, entity: str, *, hold: bool = False) -> Definitions:
        """Return all definitions of an entity, oldest first; ``hold`` keeps them as they are until the unit ends."""
        statement = select(attribute_definitions).where(self.mine(), attribute_definitions.c.entity == entity)
        statement = statement.order_by(attribute_definitions.c.id)
        if hold:
            # Whoever changes a definition looks whether a value stands against it: no value may arrive meanwhile.
            statement = statement.with_for_update(read=True)
        rows = await self.unit.fetch_all(statement)
        return {row["key"]: definition_of(row) for row in rows}

    async def count(self, entity: str) -> int:
        """Return how many definitions there are of an entity."""
        table = attribute_definitions
        found: int = await self.unit.fetch_value(select(func.count()).where(self.mine(), table.c.entity == entity))
        return found

    async def delete(self, definition_id: UUID) -> None:
        """Remove a definition."""
        await self.unit.execute(attribute_definitions.delete().where(self.by_id(definition_id)))

    async def in_use(self, entity: str, key: str, choices: tuple[str, ...] = ()) -> bool:
        """Tell whether anything, deleted things too, has a value; with ``choices``, one of these values."""
        table = _CARRIERS[entity]
        value = table.c.attributes[key]
        wanted: ColumnElement[bool] = value.is_not(None)
        if choices:
            # "@>" finds a text in a list of texts, and a text in itself.
            wanted = value.op("@>", is_comparison=True)(any_(_jsonb_array(choices)))
        found = select(literal(1)).where(self.mine(table), wanted).limit(1)
        return await self.unit.fetch_value(found) is not None

    async def existing(self, target: str, ids: list[UUID]) -> set[UUID]:
        """Return which of these can be referred to."""
        table = _TARGETS[target]
        conditions = [self.mine(table), table.c.id == any_(literal(ids, ARRAY(Uuid)))]
        if "deleted_at" in table.c:
            conditions.append(table.c.deleted_at.is_(None))
        rows = await self.unit.fetch_all(select(table.c.id).where(*conditions))
        return {row["id"] for row in rows}


def _jsonb_array(values: tuple[str, ...]) -> ColumnElement[Any]:
    return literal(list(values), ARRAY(JSONB))


def demands(entity: AttributeEntity, tenant: str) -> str:
    """Return SQL that tells whether something new of this entity must have some value; ``tenant`` is its parameter."""
    return (
        "EXISTS (SELECT FROM attribute_definitions "
        f"WHERE tenant_id = {tenant} AND entity = '{entity}' AND required AND NOT archived)"
    )


def definition_of(row: asyncpg.Record) -> Definition:
    """Return a row of the table as a definition."""
    names = ("id", "entity", "key", "type", "label_en", "label_zh", "description", "refers_to")
    limits = ("required", "minimum", "maximum", "max_length", "archived")
    choices = tuple(
        Choice(each["value"], each["label"]["en"], each["label"]["zh"], each["archived"]) for each in row["choices"]
    )
    return Definition(choices=choices, **{name: row[name] for name in (*names, *limits)})


# -- lists -------------------------------------------------------------------------------------------------------------

MAX_FILTERS = 5
_ASKED = re.compile(r"([a-z][a-z0-9_]{0,63})(:|>=|<=|>|<)(.+)", re.DOTALL)
_JSON = JSONB()


class Asked(NamedTuple):
    """One filter on an attribute, taken apart."""

    key: str
    op: str
    text: str


def asked_of(filters: list[str]) -> list[Asked]:
    """Return filters such as ``shoe_size:40`` or ``shoe_size>=40`` taken apart.

    Raises:
        Invalid: one is not written so, or there are too many.

    """
    if len(filters) > MAX_FILTERS:
        raise Invalid.field("/attribute", "too_many", f"At most {MAX_FILTERS}", f"最多 {MAX_FILTERS} 个")
    found = [_ASKED.fullmatch(each) for each in filters]
    if not all(found):
        raise Invalid.field(
            "/attribute",
            "malformed_filter",
            "Write key:value, or key>=value with >=, <=, > or <",
            "请写成 key:value，或使用 >=、<=、>、<，例如 shoe_size>=40",
        )
    return [Asked(*each.groups()) for each in found if each is not None]


def _ops(filters: list[str]) -> tuple[str, ...]:
    return tuple(each.op for each in asked_of(filters))


def _meant(text: str) -> list[Any]:
    """Return everything a text may mean: itself, a number, a truth value, money. A value has one type, so one fits."""
    meant: list[Any] = [text]
    if text in {"true", "false"}:
        meant.append(text == "true")
    number = rules.number_in(text)
    if number is not None:
        meant.append(number)
    amount, _, currency = text.partition(" ")
    if currency in currencies():
        with suppress(ValueError):
            meant.append({"amount": to_minor(amount, currency), "currency": currency})
    return meant


def _limit(text: str) -> Any:
    number = rules.number_in(text)
    return text if number is None else number


def _one(t: FromClause, v: FilterValue, place: int, op: str) -> ColumnElement[bool]:
    value = t.c.attributes[v(lambda given: asked_of(given)[place].key, Text())]
    if op == ":":
        # "@>" also finds one of several choices; 40 is 40.0.
        meant = v(lambda given: _meant(asked_of(given)[place].text), ARRAY(_JSON))
        return value.op("@>", is_comparison=True)(any_(meant))
    limit = v(lambda given: _limit(asked_of(given)[place].text), _JSON)
    # Of one JSON type: JSONB would otherwise order all texts before all numbers.
    same = func.jsonb_typeof(value) == func.jsonb_typeof(limit)
    return and_(same, value.op(op, is_comparison=True)(limit))


def _all_of(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    return and_(true(), *(_one(t, v, place, op) for place, op in enumerate(v.variant)))


def attribute_filter() -> Filter:
    """Return the filter by attributes that lists of an entity offer."""
    return Filter(
        list[str],
        _all_of,
        variant=_ops,
        description="By the shop's own attributes: `shoe_size:40` (equal, or one of several choices), "
        "`shoe_size>=40`, `<=`, `>`, `<`; money as `price:19.99 CNY`. Given several times (at most 5), all must hold.",
    )


@lru_cache(maxsize=1024)
def attribute_order(name: str) -> tuple[Key, ...] | None:
    """Return the order ``attributes.<key>``, with ``-`` before it largest first; without a value last either way."""
    found = re.fullmatch(r"(-?)attributes\.([a-z][a-z0-9_]{0,63})", name)
    if found is None:
        return None
    descending, key = bool(found[1]), found[2]
    return (
        Key(lambda t: t.c.attributes[key], descending=descending, nulls="last", sql_type=_JSON),
        Key("id", descending=descending),
    )


# -- values in SQL -----------------------------------------------------------------------------------------------------


def _typed(value: ColumnElement[Any], kind: str, made: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return an expression only where the value is of a JSON type: a cast must never fail a whole query."""
    return case((func.jsonb_typeof(value) == literal_column(f"'{kind}'"), made))


def _plain(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return value.op("#>>", return_type=Text())(literal_column("'{}'::text[]"))


def _number(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return _typed(value, "number", cast(value, Numeric))


def _date(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return _typed(value, "string", cast(_plain(value), Date))


def _uuid(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return _typed(value, "string", cast(_plain(value), Uuid))


def _boolean(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return _typed(value, "boolean", cast(value, Boolean))


def _amount(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(value["amount"].astext, BigInteger)


def _list(value: ColumnElement[Any]) -> ColumnElement[Any]:
    # Of anything else than a list there are no elements.
    listed = case((func.jsonb_typeof(value) == literal_column("'array'"), value))
    each = func.jsonb_array_elements_text(listed).table_valued("value").render_derived(name="each")
    return func.array(select(each.c.value).scalar_subquery(), type_=ARRAY(Text))


_EXPRESSIONS: Mapping[AttributeType, Any] = {
    "text": _plain,
    "number": _number,
    "money": _amount,
    "date": _date,
    "boolean": _boolean,
    "choice": _plain,
    "multi_choice": _list,
    "reference": _uuid,
}


def sql_field(definition: Definition, scope: str) -> SqlField:
    """Return the attribute as a field of rules: typed, its key a bind parameter."""
    key, make = definition.key, _EXPRESSIONS[definition.type]

    def value(t: FromClause) -> ColumnElement[Any]:
        return t.c.attributes[key]

    def currency(t: FromClause) -> ColumnElement[Any]:
        return value(t)["currency"].astext  # type: ignore[no-any-return]

    return SqlField(
        rules.rule_field(definition, scope),
        lambda t: make(value(t)),
        currency=currency if definition.type == "money" else None,
    )
