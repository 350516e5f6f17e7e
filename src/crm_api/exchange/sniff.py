"""What kind of file was uploaded: encoding, delimiter, header. What can be refused at once is refused here."""

import codecs
import hashlib
from dataclasses import dataclass
from typing import BinaryIO, Final

from crm_api.core.errors import Invalid
from crm_api.exchange.records import LineTooLongError, RecordReader

BLOCK: Final = 1024 * 1024
SAMPLE: Final = 256 * 1024
SAMPLE_ROWS: Final = 50
ENOUGH: Final = 2

_NOT_TEXT: Final = (
    (b"PK\x03\x04", "an Excel workbook or a zip archive", "Excel 工作簿或压缩包"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "旧版 Excel 工作簿"),
    (b"\x1f\x8b", "a gzip archive", "gzip 压缩包"),
    (b"%PDF", "a PDF document", "PDF 文档"),
    (b"\x89PNG", "a picture", "图片"),
    (b"\xff\xd8\xff", "a picture", "图片"),
    (b"\x7fELF", "a program", "程序"),
)
_UTF_16_32: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How to read an uploaded file.

    Attributes:
        sha256: of its bytes.
        size: bytes.
        encoding: ``utf-8`` or ``gb18030``.
        delimiter: ``,``, ``;`` or tab.
        header: names of the columns, trimmed.
        offset: first byte after the header.
        line: first line after the header.

    """

    sha256: bytes
    size: int
    encoding: str
    delimiter: str
    header: list[str]
    offset: int
    line: int


def examine(file: BinaryIO) -> FileFormat:
    """Read the whole file once and say how it is to be read.

    Raises:
        Invalid: it is empty, not text, in an unknown encoding, or has no usable header.

    """
    file.seek(0)
    sample = file.read(SAMPLE)
    _refuse_other_kinds(sample)
    digest, size = hashlib.sha256(), 0
    votes: Votes | None = None
    file.seek(0)
    while block := file.read(BLOCK):
        digest.update(block)
        size += len(block)
        if votes is None and not block.isascii():
            votes = _votes(block)
    encoding = _elect(votes)
    start = len(codecs.BOM_UTF8) if sample.startswith(codecs.BOM_UTF8) else 0
    delimiter = _delimiter(sample[start:])
    reader = RecordReader(encoding, delimiter, offset=start)
    header = _header(reader, sample[start:], whole=size <= SAMPLE)
    offset, line = reader.offset, reader.line
    _refuse_ragged(reader, len(header))
    return FileFormat(digest.digest(), size, encoding, delimiter, header, offset, line)


def _refused(code: str, message: str, zh: str) -> Invalid:
    return Invalid.field("/file", code, message, zh)


def _refuse_other_kinds(sample: bytes) -> None:
    if not sample.strip():
        raise _refused("empty_file", "The file is empty", "文件为空")
    for magic, what, zh in _NOT_TEXT:
        if sample.startswith(magic):
            raise _refused("not_csv", f"This is {what}: save it as CSV first", f"这是{zh}：请先另存为 CSV")
    first = sample.partition(b"\n")[0]
    if sample.startswith(_UTF_16_32):
        raise _refused(
            "unsupported_encoding",
            "The file is in UTF-16 or UTF-32: save it as CSV UTF-8",
            "文件编码为 UTF-16 或 UTF-32：请另存为 UTF-8 编码的 CSV",
        )
    if b"\x00" in first:
        raise _refused("not_csv", "The file is binary, not CSV", "文件是二进制文件，不是 CSV")
    if b"\n" not in sample and b"\r" in sample.strip():
        raise _refused(
            "unsupported_line_ends",
            "Lines end in a bare carriage return: save the file with LF or CRLF line ends",
            "换行符仅为 CR：请使用 LF 或 CRLF 换行",
        )
    if first.lstrip(codecs.BOM_UTF8).lstrip()[:1] in {b"{", b"[", b"<"}:
        raise _refused(
            "not_csv", "This looks like JSON, XML or HTML, not CSV", "文件看起来是 JSON、XML 或 HTML，不是 CSV"
        )


# -- encoding ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Votes:
    """Lines of a block: all, those with other than ASCII, and how many of these are UTF-8 and GB18030."""

    lines: int
    foreign: int
    utf_8: int
    gb18030: int


def _votes(block: bytes) -> Votes:
    """Count the votes.

    Lines vote, not the whole: one broken row must not turn a file of Chinese into another encoding's gibberish.
    """
    lines = block.split(b"\n")
    if len(lines) > SAMPLE_ROWS:
        lines = lines[1:-1]  # these two may be cut by the block
    foreign = [line for line in lines if not line.isascii()]
    utf_8, gb18030 = (sum(_is(line, encoding) for line in foreign) for encoding in ("utf-8", "gb18030"))
    return Votes(len(lines), len(foreign), utf_8, gb18030)


def _is(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _elect(votes: Votes | None) -> str:
    if votes is None or votes.utf_8 * 2 >= votes.foreign:
        return "utf-8"
    if votes.gb18030 * 10 >= votes.foreign * 9:  # stricter: by chance, much that is neither passes for it
        return "gb18030"
    if (votes.foreign - votes.utf_8) * 4 <= votes.lines:  # few among many: they will fail as rows
        return "utf-8"
    raise _refused(
        "unsupported_encoding",
        "The file is neither UTF-8 nor GB18030: save it as CSV UTF-8",
        "文件编码既不是 UTF-8 也不是 GB18030：请另存为 UTF-8 编码的 CSV",
    )


# -- delimiter and header ----------------------------------------------------------------------------------------------


def _delimiter(sample: bytes) -> str:
    """Return what separates the header's cells: the candidate that occurs most often outside quotation marks."""
    first = next((line for line in sample.split(b"\n") if line.strip()), b"")
    outside = b"".join(first.split(b'"')[::2])
    counts = {sign: outside.count(sign.encode()) for sign in (",", ";", "\t")}
    return max(counts, key=lambda sign: counts[sign])


def _header(reader: RecordReader, sample: bytes, *, whole: bool) -> list[str]:
    try:
        reader.feed(sample)
    except LineTooLongError:
        raise _no_header() from None
    if whole:
        reader.end()
    records = reader.take(1)
    if not records or records[0].fault is not None:
        if records and records[0].fault == "bad_encoding":
            raise _refused("unsupported_encoding", "The header is not in the file's encoding", "表头的编码与文件不一致")
        raise _no_header()
    names = [name.strip().lstrip("\ufeff") for name in records[0].cells]
    while names and not names[-1]:  # spreadsheets leave empty columns at the end
        names.pop()
    if not names:
        raise _no_header()
    return names


def _no_header() -> Invalid:
    return _refused("no_header", "The first line must name the columns", "第一行必须是列名（表头）")


def _refuse_ragged(reader: RecordReader, width: int) -> None:
    """Refuse a file in which no row fits the header: then it is the header that is wrong."""
    rows = [record.cells for record in reader.take(SAMPLE_ROWS) if record.fault is None]
    if len(rows) >= ENOUGH and not any(fits(row, width) for row in rows):
        raise _refused(
            "ragged_header",
            f"The header has {width} columns, but none of the first rows has as many",
            f"表头有 {width} 列，但前几行的列数都与之不符",
        )


def fits(cells: list[str], width: int) -> bool:
    """Tell whether a row has a cell for each header; empty cells beyond the last header do no harm."""
    return len(cells) == width or (len(cells) > width and not any(cells[width:]))
