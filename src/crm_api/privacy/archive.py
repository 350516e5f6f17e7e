"""The archive a person gets: all data as JSON, and the same as pages to read in English and Chinese.

``data.json``
    ``{"made_at": …, "customer_id": …, "data": {kind: [row, …]}}``; kinds are names of tables, rows their columns.
``data.en.html``, ``data.zh.html``
    Self-contained, no script, nothing loaded from anywhere; the first `rules.HTML_ROWS` rows of each kind.
"""

import hashlib
import zipfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any, BinaryIO, Final, Self
from uuid import UUID

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined

from crm_api.core.errors import Locale
from crm_api.privacy import rules
from crm_api.privacy.labels import COLUMNS, TABLES, label

TEXTS: Final[Mapping[Locale, Mapping[str, str]]] = {
    "en": {
        "lang": "en",
        "title": "What we keep about you",
        "made": "Made on",
        "intro": "This page is for reading; data.json beside it holds all of it in a form that programs read.",
        "more": "Only the first rows are shown here; data.json has all of them.",
    },
    "zh": {
        "lang": "zh-CN",
        "title": "我们保存的您的个人信息",
        "made": "生成时间：",
        "intro": "本页供阅读；同一压缩包中的 data.json 以机器可读的格式包含全部数据。",
        "more": "此处仅显示前若干条；全部记录见 data.json。",
    },
}

_READ: Final = 1024 * 1024

_PAGES: Final = Environment(
    loader=PackageLoader("crm_api.privacy"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


@dataclass(slots=True)
class Section:
    """One kind of data: how many rows, and the first of them."""

    name: str
    count: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, row: dict[str, Any]) -> None:
        """Take in a row."""
        self.count += 1
        if len(self.rows) < rules.HTML_ROWS:
            self.rows.append(row)

    def shown(self, locale: Locale) -> dict[str, Any]:
        """Return the section for the page; columns in which nothing stands are left out."""
        names = list(dict.fromkeys(name for row in self.rows for name, value in row.items() if _says_something(value)))
        return {
            "name": self.name,
            "title": label(TABLES, self.name, locale),
            "count": self.count,
            "columns": [label(COLUMNS, name, locale) for name in names],
            "rows": [[_cell(row.get(name)) for name in names] for row in self.rows],
        }


class Archive:
    """Writes the archive into a file while rows come in."""

    def __init__(self, file: BinaryIO, customer_id: UUID, made_at: datetime) -> None:
        """Begin."""
        self._file = file
        self._made_at = made_at
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        self._json: IO[bytes] = self._zip.open("data.json", "w", force_zip64=True)
        about = orjson.dumps({"made_at": made_at, "customer_id": str(customer_id)})
        self._json.write(about[:-1] + b',"data":{')
        self.sections: list[Section] = []

    def __enter__(self) -> Self:
        """Hold the archive open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing open, however it ended."""
        self._json.close()
        self._zip.close()

    @property
    def rows(self) -> int:
        """Return how many rows are in it so far."""
        return sum(section.count for section in self.sections)

    async def add(self, name: str, rows: AsyncIterator[dict[str, Any]]) -> None:
        """Write all rows of one kind."""
        section = Section(name)
        self._json.write((b"," if self.sections else b"") + orjson.dumps(name) + b":[")
        async for row in rows:
            self._json.write((b"," if section.count else b"") + orjson.dumps(row))
            section.add(row)
        self._json.write(b"]")
        self.sections.append(section)

    def close(self) -> tuple[int, str]:
        """Write the pages and end the archive; returns its size and SHA-256, the file standing at its start."""
        self._json.write(b"}}")
        self._json.close()
        for locale in TEXTS:
            self._zip.writestr(f"data.{locale}.html", self._page(locale))
        self._zip.close()
        size = self._file.tell()
        self._file.seek(0)
        digest = _digest(self._file)
        self._file.seek(0)
        return size, digest

    def _page(self, locale: Locale) -> str:
        return _PAGES.get_template("subject.html.j2").render(
            text=TEXTS[locale],
            made_at=self._made_at.isoformat(timespec="seconds"),
            sections=[section.shown(locale) for section in self.sections],
        )


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while data := file.read(_READ):
        digest.update(data)
    return digest.hexdigest()


def _says_something(value: Any) -> bool:
    return value is not None and value not in ("", [], {})


def _cell(value: Any) -> str:
    if not _says_something(value):
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
