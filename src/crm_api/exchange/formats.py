"""What the readers of all formats share."""

from dataclasses import dataclass, field
from typing import Final

from crm_api.core.errors import Invalid
from crm_api.exchange.models import FileFormatName

BLOCK: Final = 1024 * 1024
"""Bytes of a stored block."""

SAMPLE_ROWS: Final = 50
ENOUGH: Final = 2
MAX_COLUMNS: Final = 500


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How to read an uploaded file.

    Attributes:
        sha256: of its bytes.
        size: bytes.
        encoding: ``utf-8``, ``gb18030``, or ``utf-16`` for a file that is stored as UTF-8.
        delimiter: ``,``, ``;`` or tab.
        header: names of the columns, trimmed.
        offset: first byte after the header; of a workbook 0, because its rows are stored without it.
        line: first line after the header.
        format: what it is.
        sheets: names of a workbook's sheets.
        sheet: the one that is read.
        sample: the first rows: (line, cells).

    """

    sha256: bytes
    size: int
    encoding: str
    delimiter: str
    header: list[str]
    offset: int
    line: int
    format: FileFormatName = "csv"
    sheets: list[str] = field(default_factory=list)
    sheet: str | None = None
    sample: list[tuple[int, list[str]]] = field(default_factory=list)


def refused(code: str, message: str, zh: str, pointer: str = "/file") -> Invalid:
    """Return the error for a file that cannot be read."""
    return Invalid.field(pointer, code, message, zh)


def fits(cells: list[str], width: int) -> bool:
    """Tell whether a row has a cell for each header; empty cells beyond the last header do no harm."""
    return len(cells) == width or (len(cells) > width and not any(cells[width:]))


def trimmed_header(names: list[str]) -> list[str]:
    """Return the header's names, without the empty ones that spreadsheets leave at the end.

    Raises:
        Invalid: there is none.

    """
    found = [name.strip().lstrip("\ufeff") for name in names]
    while found and not found[-1]:
        found.pop()
    if not found:
        raise refused("no_header", "The first line must name the columns", "第一行必须是列名（表头）")
    return found
