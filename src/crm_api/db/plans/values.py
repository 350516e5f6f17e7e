"""Types and values on their way between Python, SQL and JSON."""

import types
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Final, Union, get_args, get_origin
from uuid import UUID

from pydantic import AwareDatetime
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Double,
    Integer,
    Numeric,
    SmallInteger,
    Text,
    Uuid,
    case,
    func,
    select,
)
from sqlalchemy import column as named_column
from sqlalchemy.types import TypeEngine

from crm_api.core.errors import Invalid
from crm_api.db.projections import Field, Projection

_SQL: Final[dict[Any, TypeEngine[Any]]] = {
    str: Text(),
    bool: Boolean(),
    int: BigInteger(),
    float: Double(),
    Decimal: Numeric(),
    UUID: Uuid(),
    datetime: DateTime(timezone=True),
    AwareDatetime: DateTime(timezone=True),
    date: Date(),
}


def sql_type_of(annotation: Any) -> TypeEngine[Any]:
    """Return the SQL type in which values of a Python type are bound; enums and anything else travel as text."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return sql_type_of(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return sql_type_of(next(each for each in get_args(annotation) if each is not type(None)))
    if origin in (list, tuple, set, frozenset):
        return ARRAY(sql_type_of(get_args(annotation)[0]))
    return _SQL.get(annotation, _SQL[str])


def exceeds_32_bits(of: Projection, entry: Field) -> bool:
    """Tell whether the numbers of a field may exceed 32 bits, which is all that GraphQL's Int has."""
    return entry.build is not None and isinstance(entry.build(of.table.alias("t"), {}).type, BigInteger)


def plain(value: Any) -> Any:
    """Return enum members as their values, inside lists too."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(each) for each in value]
    return value


def enum_names(made: ColumnElement[Any], names: Mapping[str, str], *, many: bool = False) -> ColumnElement[Any]:
    """Return the schema's names for database values, element by element for an array."""
    if all(value == name for value, name in names.items()):
        return made
    if many:
        each = func.unnest(made).table_valued(named_column("value", Text)).render_derived(name="each")
        listed = select(_name(each.c.value, names)).select_from(each).scalar_subquery()
        return case((made.is_not(None), func.array(listed)))
    return _name(made, names)


def _name(made: ColumnElement[Any], names: Mapping[str, str]) -> ColumnElement[Any]:
    if all(value.upper() == name for value, name in names.items()):
        return func.upper(made, type_=Text)
    return case(dict(names), value=made)


def fitting(sql_type: TypeEngine[Any]) -> Callable[[Any], Any]:
    """Return what makes a value ready for a bind parameter of this type.

    Enum members become their values; numbers and times that PostgreSQL cannot hold raise Invalid, where the driver
    would complain about its interface.
    """
    if isinstance(sql_type, ARRAY):
        each_fits = fitting(sql_type.item_type)
        return lambda value: None if value is None else [each_fits(each) for each in value]
    if isinstance(sql_type, Integer):
        bits = _bits(sql_type)
        return lambda value: _in_range(plain(value), bits)
    if isinstance(sql_type, DateTime):
        return _representable
    return plain


def _bits(sql_type: Integer) -> int:
    if isinstance(sql_type, SmallInteger):
        return 15
    return 63 if isinstance(sql_type, BigInteger) else 31


def _in_range(value: Any, bits: int) -> Any:
    if isinstance(value, int) and not -(2**bits) <= value < 2**bits:
        raise Invalid("A number is out of range", zh="数值超出范围", code="out_of_range")
    return value


def _representable(value: Any) -> Any:
    try:
        return value.astimezone(UTC) if isinstance(value, datetime) else value
    except OverflowError:
        raise Invalid("A time is out of range", zh="时间超出范围", code="out_of_range") from None
