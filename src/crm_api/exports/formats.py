"""Files written row by row: CSV, XLSX, NDJSON and Parquet, each in constant memory.

A writer gets a file that can be sought in, and pages of resources as JSON; what it keeps is one page, for Parquet one
row group.
"""

import contextlib
import csv
import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial
from typing import Any, BinaryIO, Final, Protocol
from zoneinfo import ZoneInfo

import orjson

from crm_api.exports.columns import Column, ColumnKind, Row
from crm_api.exports.models import ExportFormat
from crm_api.exports.rules import guarded

BOM: Final = "\ufeff"
SHEET_ROWS: Final = 1_048_575
"""Rows of a worksheet below its header."""

ROW_GROUP: Final = 10_000
MAX_CELL: Final = 32_767
"""Characters of a worksheet's cell; the rest is cut off, with a sign that it was."""

EXTENSIONS: Final[Mapping[ExportFormat, tuple[str, str]]] = {
    "csv": ("csv", "text/csv; charset=utf-8"),
    "xlsx": ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "ndjson": ("ndjson", "application/x-ndjson"),
    "parquet": ("parquet", "application/vnd.apache.parquet"),
}
"""Format → ending of the file's name, media type."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is to look.

    Attributes:
        columns: of the file, in order; NDJSON has none.
        headers: one for each.
        zone: of the times in CSV and XLSX.
        bom: whether CSV begins with a byte order mark.
        sheet_rows: rows of a worksheet; for tests.

    """

    columns: Sequence[Column]
    headers: Sequence[str]
    zone: ZoneInfo
    bom: bool = False
    sheet_rows: int = SHEET_ROWS


class Writer(Protocol):
    """Writes a file."""

    def write(self, rows: Sequence[Row]) -> None:
        """Write resources, as JSON values."""

    def close(self) -> None:
        """Write what ends the file; the file itself stays open."""

    def abandon(self) -> None:
        """Let go of everything: there will be no file."""


def open_writer(format: ExportFormat, file: BinaryIO, layout: Layout) -> Writer:
    """Return the writer of a format; it has written what begins the file."""
    writer: Writer = _WRITERS[format](file, layout)
    return writer


# -- CSV ---------------------------------------------------------------------------------------------------------------


class CsvWriter:
    """RFC 4180 in UTF-8; no cell is a formula."""

    def __init__(self, file: BinaryIO, layout: Layout) -> None:
        """Write the header."""
        self._file = file
        self._read = [(column.read, partial(_csv_cell, column.kind, layout.zone)) for column in layout.columns]
        self._emit([[guarded(each) for each in layout.headers]], BOM if layout.bom else "")

    def write(self, rows: Sequence[Row]) -> None:
        """Write resources."""
        self._emit([[show(read(row)) for read, show in self._read] for row in rows])

    def close(self) -> None:
        """Nothing ends the file."""

    def abandon(self) -> None:
        """Nothing is held."""

    def _emit(self, lines: Sequence[Sequence[str]], begin: str = "") -> None:
        text = io.StringIO(newline="")
        text.write(begin)
        csv.writer(text).writerows(lines)
        self._file.write(text.getvalue().encode("utf-8", "replace"))


def _csv_cell(kind: ColumnKind, zone: ZoneInfo, value: Any) -> str:
    if value is None:
        return ""
    if kind in {"text", "json"}:
        return guarded(value)
    if kind == "texts":
        return guarded(",".join(value))
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "instant":
        return str(value.astimezone(zone).isoformat())
    return plain_amount(value) if kind == "amount" else str(value)


def plain_amount(value: Decimal) -> str:
    """Return a decimal number without an exponent."""
    return f"{value:f}"


# -- XLSX --------------------------------------------------------------------------------------------------------------

_OLDEST: Final = date(1900, 3, 1)
"""Excel's calendar has a 29 February 1900, so days before are not what they seem."""


class XlsxWriter:
    """A workbook of as many sheets as the rows take, with dates as dates and numbers as numbers."""

    def __init__(self, file: BinaryIO, layout: Layout) -> None:
        """Begin the first sheet."""
        import xlsxwriter  # noqa: PLC0415 - the API's processes never need it

        # Rows wait on disk until the workbook is packed, in a folder that goes with the writer.
        self._folder = tempfile.TemporaryDirectory(prefix="crm-export-")
        options = {
            "constant_memory": True,
            "tmpdir": self._folder.name,
            "strings_to_formulas": False,
            "strings_to_urls": False,
        }
        self._book = xlsxwriter.Workbook(file, options)
        self._bold = self._book.add_format({"bold": True})
        self._moment = self._book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        self._day = self._book.add_format({"num_format": "yyyy-mm-dd"})
        self._layout = layout
        self._begin_sheet()

    def write(self, rows: Sequence[Row]) -> None:
        """Write resources, on a new sheet when one is full."""
        for row in rows:
            if self._row == self._layout.sheet_rows:
                self._begin_sheet()
            self._row += 1
            for place, column in enumerate(self._layout.columns):
                value = column.read(row)
                if value is not None:
                    self._cell(place, column.kind, value)

    def close(self) -> None:
        """Pack the workbook."""
        self._book.close()
        self._folder.cleanup()

    def abandon(self) -> None:
        """Delete the rows that wait on disk."""
        for sheet in self._book.worksheets():
            sheet._opt_close()  # noqa: SLF001 - what closing the workbook does, without packing it
        self._folder.cleanup()

    def _begin_sheet(self) -> None:
        self._sheet = self._book.add_worksheet()
        self._row = 0
        for place, header in enumerate(self._layout.headers):
            self._sheet.write_string(0, place, _short(header), self._bold)

    def _cell(self, place: int, kind: ColumnKind, value: Any) -> None:
        sheet, row = self._sheet, self._row
        if kind == "boolean":
            sheet.write_boolean(row, place, value)
        elif kind in {"integer", "number", "amount"}:
            sheet.write_number(row, place, value)
        elif kind == "instant" and value.astimezone(self._layout.zone).date() >= _OLDEST:
            # A cell knows no zone: it shows the clock on the shop's wall.
            sheet.write_datetime(row, place, value.astimezone(self._layout.zone).replace(tzinfo=None), self._moment)
        elif kind == "date" and value >= _OLDEST:
            sheet.write_datetime(row, place, datetime.combine(value, time()), self._day)
        else:
            sheet.write_string(row, place, _short(_as_text(value)))


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…"


# -- NDJSON ------------------------------------------------------------------------------------------------------------


class NdjsonWriter:
    """The resources as the API answers them, one a line."""

    def __init__(self, file: BinaryIO, layout: Layout) -> None:
        """Nothing begins the file."""
        del layout
        self._file = file

    def write(self, rows: Sequence[Row]) -> None:
        """Write resources."""
        self._file.write(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))

    def close(self) -> None:
        """Nothing ends the file."""

    def abandon(self) -> None:
        """Nothing is held."""


# -- Parquet -----------------------------------------------------------------------------------------------------------


class ParquetWriter:
    """Typed columns: times as microseconds in UTC, money as exact decimals in major units, lists of texts as lists."""

    def __init__(self, file: BinaryIO, layout: Layout) -> None:
        """Begin the file with its schema."""
        import pyarrow as pa  # noqa: PLC0415 - the API's processes never need it
        import pyarrow.parquet as pq  # noqa: PLC0415

        types: dict[ColumnKind, Any] = {
            "integer": pa.int64(),
            "number": pa.float64(),
            "boolean": pa.bool_(),
            "instant": pa.timestamp("us", tz="UTC"),
            "date": pa.date32(),
            # Four decimals hold the minor units of every currency there is.
            "amount": pa.decimal128(24, 4),
            "texts": pa.list_(pa.string()),
        }
        self._columns = layout.columns
        fields = [(column.name, types.get(column.kind, pa.string())) for column in layout.columns]
        self._batch = partial(pa.RecordBatch.from_pydict, schema=pa.schema(fields))
        self._writer = pq.ParquetWriter(file, pa.schema(fields), compression="zstd")
        self._table = pa.Table.from_batches
        self._waiting: list[Any] = []
        self._rows = 0

    def write(self, rows: Sequence[Row]) -> None:
        """Take resources in, and write a row group when there are enough."""
        values = {column.name: [_parquet_value(column, row) for row in rows] for column in self._columns}
        self._waiting.append(self._batch(values))
        self._rows += len(rows)
        if self._rows >= ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Write the last row group and the footer."""
        self._flush()
        self._writer.close()

    def abandon(self) -> None:
        """Close the file as it is: otherwise it closes itself when the file beneath it is gone."""
        with contextlib.suppress(Exception):
            self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._table(self._waiting), row_group_size=self._rows)
        self._waiting, self._rows = [], 0


def _parquet_value(column: Column, row: Row) -> Any:
    value = column.read(row)
    if value is None:
        return None
    if column.kind == "instant":
        return value.astimezone(UTC)
    return float(value) if column.kind == "number" else value


_WRITERS: Final[Mapping[ExportFormat, Any]] = {
    "csv": CsvWriter,
    "xlsx": XlsxWriter,
    "ndjson": NdjsonWriter,
    "parquet": ParquetWriter,
}
