"""From the bytes of a CSV file to its records, in batches, with the exact place where each batch ends.

The csv module does the parsing. Around it this module keeps count of bytes and lines, so that a run can stop after any
record and another can go on from there, and it contains damage: a stray quotation mark or a broken byte costs its own
row, not the rest of the file.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_RECORD_LINES: Final = 100
"""Lines that one quoted record may span; more, and its opening quotation mark was a mistake."""

MAX_LINE_BYTES: Final = 1024 * 1024


class LineTooLongError(ValueError):
    """No line end within a mebibyte: whatever this is, it is not CSV."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Attributes:
        line: on which it begins, the first line of the file being 1.
        cells: as text; empty when there is a fault.
        fault: code of what is wrong with the record as a whole.

    """

    line: int
    cells: list[str]
    fault: str | None = None


class RecordReader:
    """Feed it bytes, take records; ``offset`` and ``line`` say where the next record begins."""

    def __init__(self, encoding: str, delimiter: str, *, offset: int = 0, line: int = 1) -> None:
        """Begin at a record's first byte.

        Args:
            encoding: ``utf-8`` or ``gb18030``: in both, line ends, quotes and delimiters are never part of another
                character, so lines can be cut before they are decoded.
            delimiter: one character.
            offset: of the first byte that will be fed.
            line: its line.

        """
        self.offset = offset
        self.line = line
        self._encoding = encoding
        self._delimiter = delimiter
        self._lines: list[bytes] = []
        self._tail = b""
        self._ended = False

    def feed(self, data: bytes) -> None:
        """Add the next bytes of the file."""
        lines = split_lines(self._tail + data)
        self._tail = lines.pop()
        if len(self._tail) > MAX_LINE_BYTES:
            raise LineTooLongError
        self._lines += lines

    def end(self) -> None:
        """Say that there are no more bytes."""
        self._ended = True
        if self._tail:
            self._lines.append(self._tail)
            self._tail = b""

    def take(self, limit: int) -> list[Record]:
        """Return up to ``limit`` records, fewer when more bytes are needed; blank lines are skipped."""
        records: list[Record] = []
        while len(records) < limit and self._advance(records, limit):
            pass
        return records

    def _advance(self, records: list[Record], limit: int) -> bool:
        """Add what one look at the lines gives; returns whether anything was used up."""
        used = 0
        for record, lines in self._records(limit - len(records) + MAX_RECORD_LINES):
            used += lines
            if record is not None:
                records.append(record)
                if len(records) == limit:
                    break
        self.offset += sum(map(len, self._lines[:used]))
        self.line += used
        del self._lines[:used]
        return used > 0

    def _records(self, most: int) -> Iterator[tuple[Record | None, int]]:
        """Yield records and how many lines each takes."""
        lines = self._lines[:most]
        final = self._ended and len(lines) == len(self._lines)
        texts, broken = self._decode(lines)
        start = 0
        while start < len(texts):
            reader = csv.reader(iter(texts[start:] if start else texts), delimiter=self._delimiter, strict=True)
            base = start
            while True:
                line = self.line + start
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    at_end = base + reader.line_num >= len(texts)
                    if at_end and not final and len(texts) - start < MAX_RECORD_LINES:
                        return  # the record may go on in what has not been fed yet
                    fault = "row_too_long" if "field limit" in str(error) else "malformed_row"
                    yield Record(line, [], fault), 1
                    start += 1
                    break
                end = base + reader.line_num
                if broken and any(start <= each < end for each in broken):
                    yield Record(line, [], "bad_encoding"), end - start
                else:
                    yield (Record(line, cells) if cells else None), end - start
                start = end

    def _decode(self, lines: list[bytes]) -> tuple[list[str], list[int]]:
        encoding = self._encoding
        try:
            return [line.decode(encoding) for line in lines], []
        except UnicodeDecodeError:
            pass
        texts, broken = [], []
        for index, line in enumerate(lines):
            try:
                texts.append(line.decode(encoding))
            except UnicodeDecodeError:
                broken.append(index)
                texts.append(line.decode(encoding, "replace"))
        return texts, broken


def split_lines(data: bytes) -> list[bytes]:
    """Split after each line feed, keeping it; the last item is what follows the last one (maybe nothing)."""
    parts = data.split(b"\n")
    last = parts.pop()
    return [*(part + b"\n" for part in parts), last]
