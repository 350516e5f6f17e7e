"""SQLAlchemy Core in, SQL text and positional values for asyncpg out.

SQLAlchemy is the query language; its own compiled cache makes the second use of a statement's shape cost a few
microseconds, and asyncpg runs the text without the adapter layers in between (ADR 0004 has the measurements). This
module is the only one that touches SQLAlchemy's underscored entry points.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql import asyncpg as _asyncpg
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.util import LRUCache

# The connection's own codecs turn jsonb into Python values and back, so the dialect must hand them through.
DIALECT: Any = _asyncpg.dialect(json_serializer=lambda value: value)  # type: ignore[no-untyped-call]
DIALECT.server_version_info = (15, 0)

_cache: Any = LRUCache(2000)


def _compiled(statement: Any, keys: Iterable[str], *, many: bool) -> tuple[SQLCompiler, Any]:
    compiled, extracted, *_rest = statement._compile_w_cache(  # noqa: SLF001 - see the module docstring
        DIALECT, compiled_cache=_cache, column_keys=sorted(keys), for_executemany=many
    )
    return compiled, extracted


def _positional(compiled: SQLCompiler, values: Mapping[str, Any], names: Iterable[str]) -> list[Any]:
    processors: Any = compiled._bind_processors  # noqa: SLF001
    return [processors[name](values[name]) if name in processors else values[name] for name in names]


def compile_statement(statement: Executable, params: Mapping[str, Any] | None = None) -> tuple[str, list[Any]]:
    """Return the SQL text and its positional values.

    Args:
        statement: any Core statement; literal values inside become bind parameters.
        params: values for named bind parameters, or the columns of an INSERT or UPDATE.

    """
    compiled, extracted = _compiled(statement, params or (), many=False)
    values: Any = compiled.construct_params(dict(params or {}), extracted_parameters=extracted)
    if compiled.post_compile_params:
        expanded = compiled._process_parameters_for_postcompile(values)  # noqa: SLF001
        merged = {**values, **expanded.additional_parameters}
        return expanded.statement, _positional(compiled, merged, expanded.positiontup or ())
    return compiled.string, _positional(compiled, values, compiled.positiontup or ())


def compile_many(statement: Executable, rows: Sequence[Mapping[str, Any]]) -> tuple[str, list[list[Any]]]:
    """Return the SQL text and one list of positional values per row; all rows have the first row's keys."""
    compiled, extracted = _compiled(statement, rows[0], many=True)
    names = tuple(compiled.positiontup or ())
    return compiled.string, [
        _positional(compiled, compiled.construct_params(dict(row), extracted_parameters=extracted), names)
        for row in rows
    ]
