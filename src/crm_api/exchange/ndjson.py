"""NDJSON: one JSON object per line. Names are headers, values are cells.

Nested objects become names with dots (``{"customer": {"mobile": …}}`` is ``customer.mobile``), lists of plain values
are joined with semicolons, null is an empty cell. Names need not be the same in all lines: the whole file is looked
through for them once.
"""

import codecs
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final

import orjson

from crm_api.exchange.formats import BLOCK, MAX_COLUMNS, SAMPLE_ROWS, FileFormat, refused
from crm_api.exchange.records import MAX_LINE_BYTES, LineTooLongError, Record, split_lines

MAX_DEPTH: Final = 4


def looks_like(sample: bytes) -> bool:
    """Tell whether the file's first line is a JSON object."""
    first = next((line for line in sample.removeprefix(codecs.BOM_UTF8).split(b"\n") if line.strip()), b"")
    return isinstance(_object(first), dict)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def flat(value: Mapping[str, Any], prefix: str = "", depth: int = 1) -> Iterator[tuple[str, str]]:
    """Yield (header, cell) of an object."""
    for name, each in value.items():
        if isinstance(each, dict) and depth < MAX_DEPTH:
            yield from flat(each, f"{prefix}{name}.", depth + 1)
        else:
            yield prefix + name, cell(each)


def cell(value: Any) -> str:
    """Return a value as the text of a cell."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:  # noqa: PLR2004 - exact in a double
        return str(int(value))
    if isinstance(value, list) and not any(isinstance(each, dict | list) for each in value):
        return ";".join(cell(each) for each in value)
    return str(value) if isinstance(value, int | float) else orjson.dumps(value).decode()


def examine(file: BinaryIO) -> FileFormat:
    """Read the whole file once and say how it is to be read.

    Raises:
        Invalid: it is not UTF-8, hardly anything in it is an object, or it has too many names.

    """
    digest, size, tail = hashlib.sha256(), 0, b""
    names: dict[str, None] = {}
    first: list[tuple[int, dict[str, str]]] = []
    line = 1
    file.seek(0)
    while True:
        block = file.read(BLOCK)
        digest.update(block)
        data = tail + (block if size else block.removeprefix(codecs.BOM_UTF8))
        size += len(block)
        lines = split_lines(data)
        tail = lines.pop() if block else b""
        if len(tail) > MAX_LINE_BYTES:
            raise refused("row_too_long", "A line is longer than 1 MiB", "某一行超过 1 MiB")
        for each in lines:
            _note(each, line, names, first)
            line += 1
        if not block:
            break
    header = list(names)
    if not header:
        raise refused("no_header", "The objects have no names", "对象没有任何字段")
    sample = [(number, [row.get(name, "") for name in header]) for number, row in first]
    return FileFormat(digest.digest(), size, "utf-8", ",", header, 0, 1, "ndjson", sample=sample)


def _note(line: bytes, number: int, names: dict[str, None], first: list[tuple[int, dict[str, str]]]) -> None:
    value = _object(line) if line.strip() else None
    if value is None:
        return
    row = dict(flat(value))
    for name in row:
        names.setdefault(name)
    if len(names) > MAX_COLUMNS:
        raise refused("too_many_columns", f"More than {MAX_COLUMNS} names", f"字段数超过 {MAX_COLUMNS}")
    if len(first) < SAMPLE_ROWS:
        first.append((number, row))


class NdjsonReader:
    """Feed it bytes, take records, as from a `crm_api.exchange.records.RecordReader`."""

    def __init__(self, header: Sequence[str], *, offset: int = 0, line: int = 1) -> None:
        """Begin at a line's first byte."""
        self.offset = offset
        self.line = line
        self._header = header
        self._lines: list[bytes] = []
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Add the next bytes of the file."""
        lines = split_lines(self._tail + data)
        self._tail = lines.pop()
        if len(self._tail) > MAX_LINE_BYTES:
            raise LineTooLongError
        self._lines += lines

    def end(self) -> None:
        """Say that there are no more bytes."""
        if self._tail:
            self._lines.append(self._tail)
            self._tail = b""

    def take(self, limit: int) -> list[Record]:
        """Return up to ``limit`` records, fewer when more bytes are needed; blank lines are skipped."""
        records: list[Record] = []
        used = 0
        for each in self._lines:
            if len(records) == limit:
                break
            used += 1
            if each.strip():
                records.append(self._record(each, self.line))
            self.offset += len(each)
            self.line += 1
        del self._lines[:used]
        return records

    def _record(self, line: bytes, number: int) -> Record:
        data = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            return Record(number, [], "bad_encoding" if not _is_utf_8(data) else "malformed_json")
        if not isinstance(value, dict):
            return Record(number, [], "malformed_json")
        row = dict(flat(value))
        return Record(number, [row.get(name, "") for name in self._header])


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
