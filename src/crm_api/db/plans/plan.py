"""A plan: one SQL statement whose first column is the JSON to send, and where its values come from."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import BindParameter, Select

from crm_api.db.compile import DIALECT
from crm_api.db.plans.selection import Selection, Variables
from crm_api.db.projections import PythonField
from crm_api.db.uow import UnitOfWork

Extract = Callable[[Variables], Any]
Check = Callable[[UnitOfWork, Variables], Awaitable[None]]
"""Looks at a value of the request by the tenant's own data; raises Invalid."""


@dataclass(frozen=True, slots=True)
class Finish:
    """A step in Python over the plan's result: compute a value, or give it the name PostgreSQL could not.

    Attributes:
        path: keys down to the object that holds the value; lists on the way are entered.
        key: the value's key in that object.
        compute: makes the value from what stands there.
        rename: the key it gets.

    """

    path: tuple[str, ...]
    key: str
    compute: PythonField | None = None
    rename: str | None = None


@dataclass(slots=True)
class Plan:
    """A compiled read.

    Attributes:
        sql: text for asyncpg.
        args: one extractor per parameter; None stands for the tenant's id.
        finishes: steps in Python, deepest first.
        checks: what is looked at before it runs.

    """

    sql: str
    args: tuple[Extract | None, ...]
    finishes: tuple[Finish, ...] = ()
    checks: tuple[Check, ...] = ()

    def bind(self, tenant_id: UUID, variables: Mapping[str, Any]) -> list[Any]:
        """Return the positional values.

        Args:
            tenant_id: of the unit of work.
            variables: of the request; ``NOW_KEY`` must be among them when the plan uses the clock.

        Raises:
            Invalid: a value (such as a cursor) cannot be used.

        """
        return [tenant_id if extract is None else extract(variables) for extract in self.args]

    def finish(self, body: bytes, now: datetime) -> bytes:
        """Run the Python steps, if any, over the JSON that PostgreSQL made."""
        if not self.finishes:
            return body
        tree = orjson.loads(body)
        for step in self.finishes:
            _walk(tree, step.path, step, now)
        return orjson.dumps(tree)


def _walk(node: Any, path: tuple[str, ...], step: Finish, now: datetime) -> None:
    if isinstance(node, list):
        for each in node:
            _walk(each, path, step, now)
    elif node is None:
        return
    elif path:
        _walk(node[path[0]], path[1:], step, now)
    elif step.compute is not None:
        node[step.key] = step.compute(node[step.key], now)
    else:
        # Rebuilt in place, because the order of keys is part of a GraphQL response.
        pairs = [(step.rename if key == step.key else key, value) for key, value in node.items()]
        node.clear()
        node.update(pairs)


def picked(value: Any, selections: Sequence[Selection]) -> Any:
    """Return what is selected of a ready JSON value, under the response keys; lists are entered."""
    if isinstance(value, list):
        return [picked(each, selections) for each in value]
    if not isinstance(value, dict):
        return value
    return {each.key: _picked_field(value, each) for each in selections}


def _picked_field(value: Mapping[str, Any], each: Selection) -> Any:
    if each.literal is not None:
        return each.literal
    found = value.get(each.field)
    if each.children:
        return picked(found, each.children)
    return named(found, each.enum) if each.enum is not None else found


def named(value: Any, names: Mapping[str, str]) -> Any:
    """Return the schema's names for enum values, inside a list too."""
    if isinstance(value, list):
        return [named(each, names) for each in value]
    return names.get(value, value)


def render(
    statement: Select[Any],
    extracts: Mapping[str, Extract],
    foreign: Mapping[BindParameter[Any], Extract],
    finishes: tuple[Finish, ...],
    checks: tuple[Check, ...] = (),
) -> Plan:
    """Compile a statement to text and put its extractors in order.

    Args:
        statement: whose first column is the JSON.
        extracts: name of a bind parameter → extractor.
        foreign: bind parameter of a caller's predicate → extractor.
        finishes: steps in Python.
        checks: what is looked at before it runs.

    Parameters that no extractor is known for are constants of the projections; they are sent as values too.

    """
    compiled: Any = statement.compile(dialect=DIALECT)
    by_name = dict(extracts)
    processors = compiled._bind_processors  # noqa: SLF001 - as db/compile.py does
    for parameter, extract in foreign.items():
        name = compiled.bind_names.get(parameter)
        if name is not None:
            by_name[name] = _processed(extract, processors.get(name))
    for name, value in compiled.params.items():
        if name not in by_name:
            by_name[name] = _always(processors[name](value) if name in processors else value)
    args = tuple(None if name == "tenant_id" else by_name[name] for name in compiled.positiontup or ())
    return Plan(str(compiled), args, finishes, checks)


def _processed(extract: Extract, process: Callable[[Any], Any] | None) -> Extract:
    return extract if process is None else lambda variables: process(extract(variables))


def _always(value: Any) -> Extract:
    return lambda _: value
