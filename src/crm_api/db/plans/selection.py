"""What a client asked for, said without GraphQL or REST: a tree of selections with arguments."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as default
from typing import Any, Final

from crm_api.core.errors import Forbidden, Invalid
from crm_api.db.projections import Field, Projection, Relation, needed, projection, wire_model

Variables = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Value:
    """An argument: how to find it among the variables of a request.

    Attributes:
        read: from the variables to the value; None means that it was not given.
        ident: equal for arguments that read the same thing; None for a constant.

    """

    read: Callable[[Variables], Any]
    ident: Hashable | None = None


def constant(value: Any) -> Value:
    """Return an argument written in the document itself."""
    return Value(lambda _: value)


def variable(name: str) -> Value:
    """Return an argument taken from a variable."""
    return Value(lambda variables: variables.get(name), name)


@dataclass(frozen=True, slots=True)
class Selection:
    """One field of an object, under the name the client wants it.

    Attributes:
        key: the name in the response.
        field: the projection's field, or a part of a connection (``edges``, ``nodes``, ``page_info``, …).
        args: argument name → value.
        children: what is selected of an object; empty for scalars, and for small objects that are wanted whole.
        literal: a constant text instead of a field (``__typename``).
        prefix: put ``prefix:`` before the value (global ids).
        enum: database value → name in the schema, where the two differ.
        many: the field is an array (of enum values).

    """

    key: str
    field: str
    args: Mapping[str, Value] = default(default_factory=dict)
    children: tuple["Selection", ...] = ()
    literal: str | None = None
    prefix: str | None = None
    enum: Mapping[str, str] | None = None
    many: bool = False


NOW_KEY: Final = "/now"
"""The variable that holds the unit of work's time. No GraphQL variable and no filter can be called that."""


def may(scopes: frozenset[str], scope: str | None) -> bool:
    """Tell whether these scopes grant this one; ``admin`` grants all."""
    return scope is None or scope in scopes or "admin" in scopes


def whole(of: Projection, scopes: frozenset[str], names: Iterable[str] | None = None) -> tuple[Selection, ...]:
    """Return the selections of a REST resource.

    Args:
        of: the projection.
        scopes: the caller's; fields that need more are left out.
        names: only these fields, or None for all of the model.

    Raises:
        Invalid: a name that the resource does not have.
        Forbidden: a field was named that needs a scope the caller lacks.

    """
    shown = wire_model(of.name).model_fields
    wanted = list(shown) if names is None else _known(of, names)
    selections = []
    for name in wanted:
        entry = of.entry(name)
        if names is None and isinstance(entry, Field) and entry.on_request:
            continue
        scope = needed(entry)
        if scope is not None and not may(scopes, scope):
            if names is not None:
                raise Forbidden(
                    f"The field '{name}' needs the scope '{scope}'",
                    zh=f"字段 “{name}” 需要权限 “{scope}”",
                    extra={"required_scope": scope, "field": name},
                )
            continue
        children = whole(projection(entry.target), scopes) if isinstance(entry, Relation) else ()
        selections.append(Selection(name, name, children=children))
    return tuple(selections)


def _known(of: Projection, names: Iterable[str]) -> list[str]:
    shown = wire_model(of.name).model_fields
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in shown:
            raise Invalid.field(
                "/fields", "unknown_field", f"There is no field '{name[:60]}'", f"没有字段 “{name[:60]}”"
            )
    if not wanted:
        raise Invalid.field("/fields", "required", "Name at least one field", "请至少指定一个字段")
    # The order of the model, so that equal sets share a plan.
    return [name for name in shown if name in wanted]
