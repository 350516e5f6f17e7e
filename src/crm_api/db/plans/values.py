"""Types and values on their way between Python, SQL and JSON."""

import types
from collections.abc import Mapping
from datetime import date, datetime
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
    Numeric,
    Text,
    Uuid,
    case,
    func,
    select,
)
from sqlalchemy import column as named_column
from sqlalchemy.types import TypeEngine

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
