"""Excel workbooks: what may be opened, what is in them, and their rows as text.

openpyxl reads the sheet as a stream (ADR 0017). Before it does, this module looks at the archive: a few kilobytes must
not become gigabytes, and XML with a document type (the only home of entities) is refused unread.

What a cell gives, as "Save as CSV" would, but exact:

* of merged cells the first has the value, the others are empty;
* dates are what the cell's format makes of its number, ``2026-01-31`` or ``2026-01-31 10:20:30``;
* whole numbers lose the ``.0`` that the file keeps them with; nothing is rounded for display;
* of a formula its last computed value;
* hidden rows and columns count, hidden sheets are not chosen by themselves;
* a title above the table (a first row with a single cell) is skipped.
"""

import csv
import hashlib
import io
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from typing import Any, BinaryIO, Final
from xml.parsers import expat

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from crm_api.core.errors import Invalid
from crm_api.exchange.formats import BLOCK, MAX_COLUMNS, SAMPLE_ROWS, FileFormat, refused, trimmed_header

MAX_ENTRIES: Final = 2_000
MAX_UNPACKED: Final = 2 * 1024**3
MAX_RATIO: Final = 200
SMALL: Final = 16 * 1024**2
"""Unpacked size below which nobody minds the ratio."""
MAX_IN_MEMORY: Final = 256 * 1024**2
"""Shared texts are kept in memory, unlike the rows."""
MAX_OTHER_PART: Final = 32 * 1024**2
MAX_ROWS: Final = 1_048_576
"""Excel's own limit. A row's number is what the file says, so without it a row could be a long way off."""
TITLE_ROWS: Final = 20
LOOKED_AT: Final = 1_000
"""Rows that an upload looks at for header and sample; the caller is waiting."""

_WORKBOOK: Final = "xl/workbook.xml"
_STRINGS: Final = "xl/sharedStrings.xml"
_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")


# Of styles and extensions that nobody needs here.
warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")


class TooManyRowsError(ValueError):
    """The sheet has more rows than Excel allows."""


# -- what may be opened ------------------------------------------------------------------------------------------------


def is_workbook(file: BinaryIO, sample: bytes) -> bool:
    """Tell whether the file is an .xlsx workbook."""
    if not sample.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(file) as archive:
            return _WORKBOOK in archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return False


def refuse_ole(file: BinaryIO) -> None:
    """Refuse what Excel keeps in its old container: encrypted workbooks and .xls files."""
    file.seek(0)
    tail = b""
    while block := file.read(BLOCK):
        if _ENCRYPTED in tail + block:
            raise refused(
                "encrypted_workbook",
                "The workbook is protected by a password: save it without one and send it again",
                "工作簿已加密：请取消密码后重新上传",
            )
        tail = block[-len(_ENCRYPTED) :]
    raise refused(
        "old_workbook",
        "This is an old Excel workbook: save it as .xlsx or CSV",
        "旧版 Excel 工作簿：请另存为 .xlsx 或 CSV",
    )


def _guard(file: BinaryIO) -> None:
    """Refuse an archive that would grow beyond reason, or whose XML could.

    The sizes are those the archive states; `zipfile` reads no byte more than that.
    """
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        unpacked, packed = sum(each.file_size for each in entries), sum(each.compress_size for each in entries)
        if (
            len(entries) > MAX_ENTRIES
            or unpacked > MAX_UNPACKED
            or (unpacked > SMALL and unpacked > MAX_RATIO * max(1, packed))
        ):
            raise _BOMB
        for each in entries:
            if each.flag_bits & 1:
                raise refused("encrypted_workbook", "The workbook is encrypted", "工作簿已加密")
            if not each.filename.endswith((".xml", ".rels")):
                continue
            if each.file_size > _limit(each.filename):
                raise _BOMB
            _refuse_document_type(archive, each)


def _limit(name: str) -> int:
    if name == _STRINGS:
        return MAX_IN_MEMORY
    return MAX_UNPACKED if name.startswith("xl/worksheets/") else MAX_OTHER_PART


_BOMB: Final = refused(
    "workbook_too_large",
    "Unpacked, the workbook is larger than can be read: send its rows as CSV",
    "工作簿解压后过大：请将数据另存为 CSV 后上传",
)
_UNREADABLE: Final = refused(
    "unreadable_workbook",
    "The workbook is damaged: open it in Excel and save it again",
    "工作簿已损坏：请用 Excel 打开并重新保存",
)


class _RootReachedError(Exception):
    pass


def _refuse_document_type(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Read a part as far as its root element: before it, and only there, entities could be declared."""
    parser = expat.ParserCreate()

    def refuse(*_: Any) -> None:
        raise _UNREADABLE

    def enough(*_: Any) -> None:
        raise _RootReachedError

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = enough
    try:
        with archive.open(entry) as part:
            while block := part.read(64 * 1024):
                parser.Parse(block)
    except _RootReachedError:
        return
    except (expat.ExpatError, zipfile.BadZipFile, EOFError, OSError):
        raise _UNREADABLE from None


# -- reading -----------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(file: BinaryIO) -> Iterator[Any]:
    file.seek(0)
    book = None
    try:
        book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        yield book
    except (Invalid, TooManyRowsError):
        raise
    except (InvalidFileException, KeyError, ValueError, TypeError, AttributeError, IndexError, OSError, SyntaxError):
        # Whatever a damaged part makes of openpyxl: SyntaxError is the XML parser's.
        raise _UNREADABLE from None
    except zipfile.BadZipFile:
        raise _UNREADABLE from None
    finally:
        if book is not None:
            book._archive.close()  # noqa: SLF001 - close() would close our file too


def _sheet(book: Any, wanted: str | None) -> Any:
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    if wanted is not None:
        if wanted not in sheets:
            names = ", ".join(list(sheets)[:20])
            raise refused(
                "unknown_sheet", f"There is no such sheet; there are: {names}", f"没有此工作表；现有：{names}", "/sheet"
            )
        return sheets[wanted]
    found = next((sheet for sheet in sheets.values() if sheet.sheet_state == "visible"), None)
    if found is None:
        raise refused("no_sheets", "The workbook has no visible sheet", "工作簿没有可见的工作表")
    return found


def _rows(sheet: Any, width: int, most: int = MAX_ROWS) -> Iterator[tuple[int, list[str]]]:
    """Yield (row of the sheet, cells) of rows that are not blank.

    Raises:
        TooManyRowsError: there are more than ``most``.

    """
    sheet.reset_dimensions()  # what the file says of its size is often wrong
    for number, row in enumerate(sheet.iter_rows(max_col=width, values_only=True), 1):
        if number > most:
            raise TooManyRowsError
        if any(value is not None for value in row):
            yield number, [cell(value) for value in row]


def cell(value: Any) -> str:
    """Return a cell's value as text."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # A double has every whole number up to 2^53 exactly; a phone is kept as 13812345678.0.
        return str(int(value)) if value.is_integer() and abs(value) <= 2**53 else repr(value)
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value) if isinstance(value, int) else _duration(value)


def _moment(value: datetime) -> str:
    # Excel keeps days as fractions: 10:00:00 comes back as 09:59:59.999999.
    exact = (value + timedelta(microseconds=500_000)).replace(microsecond=0)
    return exact.date().isoformat() if exact.time() == time() else exact.isoformat(" ")


def _duration(value: Any) -> str:
    return str(int(value.total_seconds())) if isinstance(value, timedelta) else str(value)


def examine(file: BinaryIO, sheet: str | None) -> FileFormat:
    """Say how a workbook is to be read.

    Raises:
        Invalid: it is damaged, encrypted or too large, has no such sheet, or no header.

    """
    _guard(file)
    file.seek(0)
    digest, size = hashlib.sha256(), 0
    while block := file.read(BLOCK):
        digest.update(block)
        size += len(block)
    with _opened(file) as book:
        chosen = _sheet(book, sheet)
        names = [each.title for each in book.worksheets]
        first, header, rows = _begin(chosen)
        sample = [(number, cells[: len(header)]) for number, cells in rows]
        title = chosen.title
    return FileFormat(
        digest.digest(), size, "utf-8", ",", header, 0, first + 1, "xlsx", sheets=names, sheet=title, sample=sample
    )


def _begin(sheet: Any) -> tuple[int, list[str], list[tuple[int, list[str]]]]:
    """Return the header's row, its names, and the first rows below."""
    rows: list[tuple[int, list[str]]] = []
    try:
        for row in _rows(sheet, MAX_COLUMNS + 1, LOOKED_AT):
            rows.append(row)
            if len(rows) >= SAMPLE_ROWS:
                break
    except TooManyRowsError:
        pass
    if not rows:
        raise refused("empty_file", "The sheet is empty", "工作表为空")
    # A title stands alone in its row; in a table of one column every row does.
    place = next((n for n, (_, cells) in enumerate(rows[:TITLE_ROWS]) if sum(map(bool, cells)) > 1), 0)
    number, names = rows[place]
    if len(names) > MAX_COLUMNS and any(names[MAX_COLUMNS:]):
        raise refused("too_many_columns", f"More than {MAX_COLUMNS} columns", f"列数超过 {MAX_COLUMNS}")
    return number, trimmed_header([" ".join(name.split()) for name in names]), rows[place + 1 :]


def text_blocks(file: BinaryIO, sheet: str, width: int, first: int) -> Iterator[bytes]:
    """Yield a sheet's rows as CSV in UTF-8, in blocks of exactly ``BLOCK`` bytes but for the last.

    Each line begins with the row's number in the sheet. The sheet is read as the blocks are asked for.

    Args:
        file: the workbook.
        sheet: its name.
        width: columns to take.
        first: row to begin with.

    Raises:
        TooManyRowsError: it has more rows than a sheet can have.
        Invalid: it is damaged.

    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    waiting = bytearray()
    with _opened(file) as book:
        for number, cells in _rows(_sheet(book, sheet), width):
            if number < first:
                continue
            writer.writerow([number, *cells])
            if text.tell() > BLOCK // 4:
                waiting += text.getvalue().encode("utf-8", "replace")
                text.seek(0)
                text.truncate()
                while len(waiting) >= BLOCK:
                    yield bytes(waiting[:BLOCK])
                    del waiting[:BLOCK]
    waiting += text.getvalue().encode("utf-8", "replace")
    for start in range(0, len(waiting), BLOCK):
        yield bytes(waiting[start : start + BLOCK])
