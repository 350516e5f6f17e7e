"""What kind of file was uploaded: format, encoding, delimiter, header. What can be refused at once is refused here."""

import codecs
import hashlib
import tempfile
from dataclasses import dataclass
from typing import BinaryIO, Final

from crm_api.core.errors import Invalid
from crm_api.exchange import ndjson, xlsx
from crm_api.exchange.formats import BLOCK, ENOUGH, SAMPLE_ROWS, FileFormat, fits, refused, trimmed_header
from crm_api.exchange.records import LineTooLongError, RecordReader

SAMPLE: Final = 256 * 1024

_NOT_TEXT: Final = (
    (b"PK\x03\x04", "a zip archive", "压缩包"),
    (b"\x1f\x8b", "a gzip archive", "gzip 压缩包"),
    (b"%PDF", "a PDF document", "PDF 文档"),
    (b"\x89PNG", "a picture", "图片"),
    (b"\xff\xd8\xff", "a picture", "图片"),
    (b"\x7fELF", "a program", "程序"),
)
_UTF_16: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_UTF_32: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_OLE: Final = b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True, slots=True)
class Examined:
    """What an upload is, and the bytes that are to be stored: its own, or the same text in UTF-8."""

    format: FileFormat
    file: BinaryIO


def examine(file: BinaryIO, sheet: str | None = None) -> FileFormat:
    """Read the whole file once and say how it is to be read; see `examine_and_convert`."""
    examined = examine_and_convert(file, sheet)
    if examined.file is not file:
        examined.file.close()
    return examined.format


def examine_and_convert(file: BinaryIO, sheet: str | None = None) -> Examined:
    """Read the whole file once and say how it is to be read.

    UTF-16, which Excel writes as "Unicode text", cannot be cut into lines of bytes: it is stored as UTF-8.

    Args:
        file: seekable.
        sheet: of a workbook; the first visible one when None.

    Raises:
        Invalid: it is empty, of no kind that can be read, in an unknown encoding, or has no usable header.

    """
    file.seek(0)
    sample = file.read(SAMPLE)
    if sample.startswith(_OLE):
        xlsx.refuse_ole(file)
    if xlsx.is_workbook(file, sample):
        return Examined(xlsx.examine(file, sheet), file)
    if sheet is not None:
        raise refused("no_sheets", "Only a workbook has sheets", "只有工作簿才有工作表", "/sheet")
    if any(sample.startswith(mark) for mark in _UTF_32):
        _refuse_other_kinds(sample)
    for mark, encoding in _UTF_16.items():
        if sample.startswith(mark):
            return _examine_utf_16(file, encoding)
    if ndjson.looks_like(sample):
        return Examined(ndjson.examine(file), file)
    return Examined(_examine_csv(file), file)


def _examine_utf_16(file: BinaryIO, encoding: str) -> Examined:
    decoder = codecs.getincrementaldecoder(encoding)()
    converted: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the upload's own file
    digest = hashlib.sha256()
    file.seek(0)
    try:
        while block := file.read(BLOCK):
            digest.update(block)
            converted.write(decoder.decode(block).encode())
        decoder.decode(b"", final=True)
    except UnicodeError:
        converted.close()
        raise refused(
            "unsupported_encoding", "The file begins as UTF-16 and is not", "文件以 UTF-16 开头但内容不是", "/file"
        ) from None
    try:
        made = _examine_csv(converted)
    except BaseException:
        converted.close()
        raise
    return Examined(
        FileFormat(
            digest.digest(),
            made.size,
            "utf-16",
            made.delimiter,
            made.header,
            made.offset,
            made.line,
            sample=made.sample,
        ),
        converted,
    )


def _examine_csv(file: BinaryIO) -> FileFormat:
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
    rows = _refuse_ragged(reader, len(header))
    return FileFormat(digest.digest(), size, encoding, delimiter, header, offset, line, sample=rows)


def _refuse_other_kinds(sample: bytes) -> None:
    if not sample.strip():
        raise refused("empty_file", "The file is empty", "文件为空")
    for magic, what, zh in _NOT_TEXT:
        if sample.startswith(magic):
            raise refused(
                "not_csv",
                f"This is {what}: send CSV, an Excel workbook (.xlsx) or NDJSON",
                f"这是{zh}：请上传 CSV、Excel 工作簿（.xlsx）或 NDJSON",
            )
    first = sample.partition(b"\n")[0]
    if sample.startswith(_UTF_32):
        raise refused(
            "unsupported_encoding",
            "The file is in UTF-32: save it as CSV UTF-8",
            "文件编码为 UTF-32：请另存为 UTF-8 编码的 CSV",
        )
    if b"\x00" in first:
        raise refused("not_csv", "The file is binary, not CSV", "文件是二进制文件，不是 CSV")
    if b"\n" not in sample and b"\r" in sample.strip():
        raise refused(
            "unsupported_line_ends",
            "Lines end in a bare carriage return: save the file with LF or CRLF line ends",
            "换行符仅为 CR：请使用 LF 或 CRLF 换行",
        )
    if first.lstrip(codecs.BOM_UTF8).lstrip()[:1] in {b"{", b"[", b"<"}:
        raise refused(
            "not_csv",
            "This looks like JSON, XML or HTML: send CSV, a workbook, or one JSON object per line",
            "文件看起来是 JSON、XML 或 HTML：请上传 CSV、工作簿，或每行一个 JSON 对象",
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
    raise refused(
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
            raise refused("unsupported_encoding", "The header is not in the file's encoding", "表头的编码与文件不一致")
        raise _no_header()
    return trimmed_header(records[0].cells)


def _no_header() -> Invalid:
    return refused("no_header", "The first line must name the columns", "第一行必须是列名（表头）")


def _refuse_ragged(reader: RecordReader, width: int) -> list[tuple[int, list[str]]]:
    """Return the first rows; refuse a file in which none fits the header: then it is the header that is wrong."""
    rows = [(record.line, record.cells) for record in reader.take(SAMPLE_ROWS) if record.fault is None]
    if len(rows) >= ENOUGH and not any(fits(row, width) for _, row in rows):
        raise refused(
            "ragged_header",
            f"The header has {width} columns, but none of the first rows has as many",
            f"表头有 {width} 列，但前几行的列数都与之不符",
        )
    return rows
