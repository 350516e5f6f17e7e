"""From Pydantic annotations to strawberry types: objects, inputs, enums."""

import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin
from uuid import UUID

import strawberry
from pydantic import (
    AnyUrl,
    AwareDatetime,
    BaseModel,
    EmailStr,
    FutureDate,
    FutureDatetime,
    HttpUrl,
    NaiveDatetime,
    PastDate,
    PastDatetime,
)
from pydantic.fields import FieldInfo as ModelField
from strawberry.annotation import StrawberryAnnotation
from strawberry.schema_directives import OneOf
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField
from strawberry.utils.str_converters import to_camel_case

from crm_api.core.errors import Invalid
from crm_api.core.rules import RuleTree
from crm_api.web.graphql import rules
from crm_api.web.graphql.ids import Targets, input_id
from crm_api.web.graphql.scalars import JSON, BigInt

camel = to_camel_case

MAX_INT: Final = 2**31 - 1
"""GraphQL's Int has 32 bits."""

# Types of Pydantic's own that are plain types with a condition.
_ALIASES: Final[Mapping[Any, Any]] = {
    AwareDatetime: datetime,
    NaiveDatetime: datetime,
    PastDatetime: datetime,
    FutureDatetime: datetime,
    PastDate: date,
    FutureDate: date,
    EmailStr: str,
    AnyUrl: str,
    HttpUrl: str,
}

_PLAIN: Final = (str, bool, float, UUID, datetime, date, Decimal)
_SUFFIX: Final = re.compile(r"(Create|Update|Input|Shown)$")


@dataclass(frozen=True, slots=True)
class Shape:
    """An annotation taken apart: ``inner``, maybe in a list, maybe null.

    Attributes:
        inner: class, Literal or anything else, without None, list and metadata.
        listed: whether it is a list of ``inner``.
        nullable: whether it may be null.

    """

    inner: Any
    listed: bool
    nullable: bool


def shape_of(annotation: Any) -> Shape:
    """Take an annotation apart."""
    inner, nullable = _without_none(_bare(annotation))
    listed = get_origin(inner) in (list, tuple, set, frozenset)
    if listed:
        inner = _bare(next(iter(get_args(inner)), Any))
    return Shape(_ALIASES.get(inner, inner) if isinstance(inner, type) else inner, listed, nullable)


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated or hasattr(annotation, "__value__"):
        annotation = annotation.__value__ if hasattr(annotation, "__value__") else get_args(annotation)[0]
    return annotation


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation, False
    members = [each for each in get_args(annotation) if each is not type(None)]
    nullable = len(members) < len(get_args(annotation))
    return (_bare(members[0]) if len(members) == 1 else Union[tuple(members)]), nullable  # noqa: UP007 - made at run time


def wrapped(inner: Any, shape: Shape) -> Any:
    """Put a strawberry type into the list and the null it stands in."""
    made = list[inner] if shape.listed else inner
    return made | None if shape.nullable else made


def is_model(inner: Any) -> bool:
    """Tell whether an annotation is a Pydantic model."""
    return isinstance(inner, type) and issubclass(inner, BaseModel)


def words(annotation: Any) -> str:
    """Return the description in an ``Annotated[…, Field(description="…")]``, or ""."""
    found = [each.description for each in getattr(annotation, "__metadata__", ()) if isinstance(each, ModelField)]
    return next((text for text in found if text), "")


def stem(model: type[BaseModel]) -> str:
    """Return what a model is about: both ``CustomerCreate`` and ``CustomerShown`` are about Customer."""
    return _SUFFIX.sub("", model.__name__) or model.__name__


def pascal(name: str) -> str:
    """Return ``CreateCustomer`` for ``create_customer``."""
    made = camel(name)
    return made[:1].upper() + made[1:]


class Types:
    """All types that are not made from projections: enums, small objects, inputs. One object per schema."""

    def __init__(self) -> None:
        """Start with none."""
        self._enums: dict[str, type[Enum]] = {}
        self._objects: dict[str, Any] = {}
        self._inputs: dict[type[BaseModel], tuple[Any, Reader]] = {}
        self._rules: rules.RuleInputs | None = None
        self._targets = Targets()

    # -- enums -----------------------------------------------------------------------------------------------------

    def enum(self, name: str, values: Iterable[Any], description: str) -> type[Enum]:
        """Return the enum with these values, making it if need be; other values under a taken name get another name."""
        wanted = {_enum_name(value): value for value in values}
        while name in self._enums and {m.name: m.value for m in self._enums[name]} != wanted:
            name += "Choice"
        if name not in self._enums:
            made = Enum(name, wanted)  # type: ignore[misc]
            self._enums[name] = strawberry.enum(made, name=name, description=description)
        return self._enums[name]

    def choices(self, inner: Any) -> tuple[Any, ...] | None:
        """Return the values of a Literal or Enum annotation, or None for anything else."""
        if get_origin(inner) is Literal:
            return get_args(inner)
        if isinstance(inner, type) and issubclass(inner, Enum):
            return tuple(member.value for member in inner)
        return None

    def plain(self, inner: Any, owner: str, name: str) -> Any:
        """Return the strawberry type of a scalar or enum annotation; anything unknown is JSON."""
        choices = self.choices(inner)
        if choices is not None and all(isinstance(each, str) for each in choices):
            title = inner.__name__ if isinstance(inner, type) else f"{owner}{pascal(name)}"
            return self.enum(title, choices, f"Values of {owner}.{camel(name)}.")
        if isinstance(inner, type) and inner in _PLAIN:
            return inner
        return int if inner is int else JSON

    # -- objects ---------------------------------------------------------------------------------------------------

    def value_object(self, model: type[BaseModel], seen: Callable[[str, str, Shape, Any], None]) -> Any:
        """Return the object type of a small model (money, an address).

        Args:
            model: the Pydantic model.
            seen: called with type name, field name, shape and strawberry type of every field.

        """
        name = stem(model)
        if name not in self._objects:
            made = self._objects[name] = new_type(name, (model.__doc__ or name).strip())
            for field_name, model_field in model.model_fields.items():
                shape = shape_of(model_field.annotation)
                inner = self._value_field(model_field, shape, name, field_name, seen)
                add_field(made, field_name, wrapped(inner, shape), model_field.description or "")
                seen(name, field_name, shape, inner)
        return self._objects[name]

    def _value_field(
        self,
        model_field: ModelField,
        shape: Shape,
        owner: str,
        name: str,
        seen: Callable[[str, str, Shape, Any], None],
    ) -> Any:
        if is_model(shape.inner):
            return self.value_object(shape.inner, seen)
        inner = self.plain(shape.inner, owner, name)
        most = max((getattr(each, "le", 0) or 0 for each in model_field.metadata), default=0)
        return BigInt if inner is int and most > MAX_INT else inner

    # -- inputs ----------------------------------------------------------------------------------------------------

    def input_fields(self, made: Any, model: type[BaseModel]) -> "Reader":
        """Add a model's fields to an input type; returns how to read them back."""
        reader = Reader()
        for name, model_field in model.model_fields.items():
            shape = shape_of(model_field.annotation)
            if shape.inner is RuleTree:
                self._rule_fields(made, reader, name, model_field.description or "")
                continue
            inner, nested = self.input_type(shape, stem(model), name)
            optional = shape.nullable or not model_field.is_required()
            annotation = wrapped(inner, Shape(inner, shape.listed, optional))
            add_field(made, name, annotation, model_field.description or "", optional=optional)
            reader.fields[camel(name)] = (name, nested)
        return reader

    def _rule_fields(self, made: Any, reader: "Reader", name: str, description: str) -> None:
        """Add a rule twice: as JSON or text, and typed. Either will do, so neither is required by the schema."""
        if self._rules is None:
            self._rules = rules.RuleInputs(new_type, add_field, self.enum)
        typed = name + rules.SUFFIX
        add_field(made, name, JSON | None, description, optional=True)
        add_field(made, typed, self._rules.node | None, rules.ABOUT.format(name=camel(name)), optional=True)
        reader.fields |= {camel(name): (name, None), camel(typed): (name, rules.tree_of)}

    def input_type(self, shape: Shape, owner: str, name: str) -> tuple[Any, "Reader | Callable[[Any], Any] | None"]:
        """Return the strawberry type of an input field and how to read its values."""
        inner = shape.inner
        if is_model(inner):
            return self._input_object(inner)
        if inner is UUID:
            ref = self._targets.of(owner, name)
            return strawberry.ID, None if ref is None else partial(input_id, ref)
        if inner is int:
            return BigInt, None
        return self.plain(inner, owner, name), None

    def _input_object(self, model: type[BaseModel]) -> tuple[Any, "Reader"]:
        if model not in self._inputs:
            made = new_type(f"{stem(model)}Input", (model.__doc__ or stem(model)).strip(), is_input=True)
            reader = Reader()
            self._inputs[model] = (made, reader)
            reader.fields.update(self.input_fields(made, model).fields)
        return self._inputs[model]


def _enum_name(value: str) -> str:
    name = re.sub(r"\W", "_", str(value)).upper()
    return f"_{name}" if name[:1].isdigit() else name


@dataclass(slots=True)
class Reader:
    """Turns coerced GraphQL input into what the Pydantic model takes: names, enum values, ids."""

    fields: dict[str, tuple[str, Any]] = field(default_factory=dict)

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that were given, under their Python names.

        Raises:
            Invalid: two of them say the same, such as a rule as JSON and as typed input; an id is another type's.

        """
        read: dict[str, Any] = {}
        for key, value in given.items():
            name, how = self.fields[key]
            if value is None and name in read:
                continue
            if read.get(name) is not None:
                raise Invalid.field(
                    f"/{key}", "either", "Give it once: as JSON or as typed input", "请只提供一次：JSON 或类型化输入"
                )
            read[name] = _read(value, how, key)
        return read


def _read(value: Any, how: Any, key: object) -> Any:
    try:
        if isinstance(value, list):
            return [_read(each, how, place) for place, each in enumerate(value)]
        return _read_one(value, how)
    except Invalid as error:
        error.errors = tuple(replace(each, pointer=f"/{key}{each.pointer}") for each in error.errors)
        raise


def _read_one(value: Any, how: Any) -> Any:
    if value is None:
        return None
    if isinstance(how, Reader):
        return how.read(value)
    if how is not None:
        return how(value)
    return value.value if isinstance(value, Enum) else value


# -- strawberry, by hand -----------------------------------------------------------------------------------------------


def new_type(
    name: str, description: str, *, is_input: bool = False, one_of: bool = False, bases: tuple[type, ...] = ()
) -> Any:
    """Return an empty strawberry type; fields follow, so that types may refer to each other.

    ``one_of``: of an input type exactly one field must be given.
    """
    return strawberry.type(
        types.new_class(name, bases),
        name=name,
        description=description,
        is_input=is_input,
        directives=(OneOf(),) if one_of else (),
    )


def add_field(
    made: Any,
    name: str,
    annotation: Any,
    description: str,
    *,
    args: Mapping[str, tuple[Any, str]] | None = None,
    optional: bool = False,
) -> None:
    """Add a field to a strawberry type.

    Args:
        made: the type.
        name: snake_case.
        annotation: strawberry type.
        description: for the schema.
        args: argument name → (strawberry type, description).
        optional: an input field that may be left out.

    """
    extra: dict[str, Any] = {"default": strawberry.UNSET} if optional else {}
    made_field = StrawberryField(
        python_name=name,
        type_annotation=StrawberryAnnotation(annotation),
        description=description,
        origin=made,
        **extra,
    )
    made_field.arguments = [
        StrawberryArgument(arg, None, StrawberryAnnotation(kind), description=text)
        for arg, (kind, text) in (args or {}).items()
    ]
    made.__strawberry_definition__.fields.append(made_field)
