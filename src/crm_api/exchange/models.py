"""Uploads, imports, mappings: wire shapes and row verdicts."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.text import Line

ImportKind = Literal[
    "customers", "companies", "products", "orders", "refunds", "interactions", "events", "opening_balances"
]
ImportState = Literal["queued", "running", "completed", "failed", "cancelled"]
ImportMode = Literal["upsert", "create_only", "update_only"]
MatchKey = Literal["id", "identity", "mobile", "email"]
FileFormatName = Literal["csv", "xlsx", "ndjson"]
Verdict = Literal["created", "updated", "unchanged", "duplicate", "failed"]
UndoState = Literal["queued", "running", "completed", "failed"]
UndoVerdict = Literal["undone", "kept"]

MAX_MAPPED = 500
_Header = Annotated[str, StringConstraints(min_length=1, max_length=500)]
_Cell = Annotated[str, StringConstraints(max_length=2_000)]
Columns = Annotated[
    dict[_Header, Annotated[str, StringConstraints(min_length=1, max_length=100)]],
    Field(max_length=MAX_MAPPED, examples=[{"订单号": "order_id"}]),
]
"""Header of the file → column of ours."""
Defaults = Annotated[
    dict[Annotated[str, StringConstraints(min_length=1, max_length=100)], _Cell],
    Field(max_length=100, examples=[{"platform": "taobao", "currency": "CNY"}]),
]
"""Column of ours → what stands there when the file says nothing."""
MatchBy = Annotated[list[MatchKey], Field(max_length=4, examples=[["mobile"]])]

_MODE = (
    "`upsert` creates and changes; `create_only` leaves what is known alone (verdict `duplicate`); `update_only` "
    "creates nothing."
)
_MATCH = (
    "What rows are recognised by, first of these first: our own `id`, `identity` (platform and external_id), `mobile`, "
    "`email`. Left out: all, in this order."
)


class Upload(Wire):
    """A file that was sent, and how it will be read. Preview it, rehearse it, import it; it goes after a day."""

    id: ResourceId
    filename: str = Field(examples=["orders.xlsx"], description="As it was uploaded.")
    total_bytes: int = Field(examples=[420_000], description="Size of the file.")
    format: FileFormatName = Field(description="What it is.")
    encoding: str = Field(description="As detected; of a workbook always utf-8.", examples=["utf-8"])
    delimiter: str = Field(description="As detected; of csv files.", examples=[","])
    sheets: list[str] = Field(description="The workbook's sheets; empty for other formats.", examples=[["Sheet1"]])
    sheet: str | None = Field(description="The sheet that is read; null for other formats.", examples=["Sheet1"])
    header: list[str] = Field(description="Names of the columns.", examples=[["姓名", "手机号"]])
    expires_at: Instant = Field(description="When it will be deleted.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class ImportFault(Wire):
    """Why the whole import failed."""

    code: str = Field(examples=["unreadable_file"], description="Stable; switch on this.")
    message: str = Field(description="For people.")


class ImportUndo(Wire):
    """How far the import has been taken back."""

    state: UndoState = Field(description="How far it is; the last two are final.")
    processed: int = Field(description="Rows that were looked at, of those that had created or changed something.")
    undone: int = Field(description="Rows whose effect is gone.")
    kept: int = Field(description="Rows whose effect was kept; `rows` says why.")
    started_at: Instant | None = Field(description="Null while it is queued.")
    finished_at: Instant | None = Field(description="Null until it has ended.")


class Import(Wire):
    """A file on its way in: what it is, how far it has come and what came of it."""

    id: ResourceId
    kind: ImportKind = Field(description="What the rows are.")
    state: ImportState = Field(description="How far it is; the last three are final.")
    dry_run: bool = Field(description="Whether it only says what would come of each row, and writes nothing.")
    mode: ImportMode = Field(description=_MODE)
    match_by: list[MatchKey] = Field(description=_MATCH)
    filename: str = Field(examples=["orders.csv"], description="As it was uploaded.")
    upload_id: UUID | None = Field(description="The upload it reads; null for imports begun before there were uploads.")
    format: FileFormatName = Field(description="What the file is.")
    sheet: str | None = Field(description="The workbook's sheet that is read.", examples=["Sheet1"])
    total_bytes: int = Field(
        examples=[420_000], description="Size of the file; of a workbook, that of its rows as text once they are read."
    )
    processed_bytes: int = Field(description="How much of the file is done, for a progress bar.")
    processed: int = Field(description="Rows with a verdict.")
    created: int = Field(description="Rows that made something new.")
    updated: int = Field(description="Rows that changed something.")
    unchanged: int = Field(description="Rows that said what was known.")
    duplicate: int = Field(description="Rows that mean something known, where only new things are taken.")
    failed: int = Field(description="Rows refused; `rows` says why.")
    rows_per_second: float | None = Field(description="Over the time spent working; null before the first rows.")
    seconds_remaining: float | None = Field(
        description="At that rate, for the bytes still to come; null before the first rows and once it has ended."
    )
    encoding: str = Field(description="As detected.", examples=["utf-8"])
    delimiter: str = Field(description="As detected.", examples=[","])
    columns: dict[str, str] = Field(
        description="Header of the file → column of ours; headers that are not used are left out.",
        examples=[{"订单号": "order_id"}],
    )
    defaults: dict[str, str] = Field(
        description="Column of ours → what stands there when the file says nothing.", examples=[{"currency": "CNY"}]
    )
    error: ImportFault | None = Field(description="Why the whole import failed; null otherwise.")
    undo: ImportUndo | None = Field(description="How far it has been taken back; null when nobody has asked for it.")
    started_at: Instant | None = Field(description="Null while it is queued.")
    finished_at: Instant | None = Field(description="Null until it has ended.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class RowError(Wire):
    """One thing wrong with one row."""

    column: str | None = Field(description="Column of ours; null when the row as a whole is wrong.")
    code: str = Field(examples=["unknown_currency"], description="Stable; switch on this.")
    message: str = Field(description="For people.")


class ImportRow(Wire):
    """What came of one row."""

    row: int = Field(description="Number of the data row, from 1.")
    line: int = Field(
        description="Line of the file, or row of the sheet, on which it begins; the header is usually line 1."
    )
    verdict: Verdict = Field(description="What came of it; in a dry run, what would come of it.")
    resource_id: UUID | None = Field(
        description="What it made or changed, or (`duplicate`) means; null in a dry run for what it would make."
    )
    errors: list[RowError] = Field(description="Empty unless it failed.")
    undo: UndoVerdict | None = Field(description="What became of its effect when the import was taken back.")
    undo_errors: list[RowError] = Field(description="Why its effect was kept.")


class ImportStart(Input):
    """Which upload to import, and how."""

    model_config = with_examples(
        {
            "upload_id": "01981a6e-0000-7000-8000-000000000000",
            "kind": "customers",
            "mapping": {"会员卡": "external_id"},
            "defaults": {"platform": "store"},
            "match_by": ["mobile"],
            "mode": "upsert",
            "dry_run": True,
        }
    )

    upload_id: UUID = Field(description="The upload.")
    kind: ImportKind = Field(description="What its rows are.")
    mapping: Columns = Field(
        default={}, description="Header of the file → column of ours, for headers that are not recognised."
    )
    mapping_id: UUID | None = Field(
        default=None, description="A saved mapping to begin with; what is given here wins over it."
    )
    defaults: Defaults = Field(
        default={}, description="Column of ours → what stands there when the file says nothing.", examples=[{}]
    )
    match_by: MatchBy = Field(default=[], description=_MATCH)
    mode: ImportMode | None = Field(default=None, description=_MODE)
    dry_run: bool = Field(
        strict=True, default=False, description="Only say what would come of each row; nothing is written."
    )


class PreviewRequest(Input):
    """Which upload to look into."""

    model_config = with_examples({"upload_id": "01981a6e-0000-7000-8000-000000000000", "kind": "customers"})

    upload_id: UUID = Field(description="The upload.")
    kind: ImportKind = Field(description="What its rows are.")
    mapping: Columns = Field(
        default={}, description="Header of the file → column of ours, for headers that are not recognised."
    )
    mapping_id: UUID | None = Field(default=None, description="A saved mapping to begin with.")
    defaults: Defaults = Field(
        default={}, description="Column of ours → what stands there when the file says nothing.", examples=[{}]
    )


class PreviewColumn(Wire):
    """A column that rows of this kind can have."""

    name: str = Field(description="Ours; mappings point at it.", examples=["mobile"])
    required: bool = Field(description="Whether a file without it cannot be imported.")
    header: str | None = Field(description="The file's header that means it; null when none does.", examples=["手机号"])
    names: list[str] = Field(description="Headers that are recognised as it.", examples=[["手机号", "phone"]])


class PreviewRow(Wire):
    """One of the first rows."""

    line: int = Field(description="Line of the file, or row of the sheet, on which it begins.")
    cells: list[str] = Field(description="As they stand in the file, one for each header.")
    errors: list[RowError] = Field(description="What is wrong with it, as far as the row alone tells.")


class ImportPreview(Wire):
    """How a file would be read: what its headers were taken for, what is ignored, and its first rows."""

    columns: dict[str, str] = Field(
        description="Header of the file → column of ours, as guessed and mapped.", examples=[{"手机号": "mobile"}]
    )
    ignored: list[str] = Field(description="Headers that mean nothing to us.", examples=[["备用"]])
    problems: list[RowError] = Field(description="Why it could not be imported like this; empty when it can.")
    available: list[PreviewColumn] = Field(description="All columns that rows of this kind can have.")
    sample: list[PreviewRow] = Field(description="The first rows, 20 at most.")


class _MappingContent(Input):
    defaults: Defaults = Field(
        default={}, description="Column of ours → what stands there when the file says nothing.", examples=[{}]
    )
    match_by: MatchBy = Field(default=[], description=_MATCH)


class MappingCreate(_MappingContent):
    """A mapping to keep: the same supplier's file next month needs no more thought."""

    model_config = with_examples(
        {
            "name": "门店系统",
            "kind": "customers",
            "columns": {"会员卡": "external_id"},
            "defaults": {"platform": "store"},
            "match_by": ["identity", "mobile"],
        }
    )

    name: Line = Field(description="Unique among the mappings of its kind.", examples=["门店系统"])
    kind: ImportKind = Field(description="What the rows are.")
    columns: Columns = Field(
        description="Header of the file → column of ours; a file need not have all of them.",
    )
    mode: ImportMode = Field(default="upsert", description=_MODE)


class MappingUpdate(_MappingContent):
    """Fields to change; a field left out stays."""

    model_config = with_examples({"columns": {"会员卡": "external_id", "电话": "mobile"}})

    name: Line = Field(default="", description="Unique among the mappings of its kind.", examples=["门店系统"])
    columns: Columns = Field(default={}, description="Replaces all of them.")
    mode: ImportMode = Field(default="upsert", description=_MODE)


class ImportMapping(Wire):
    """A saved mapping from a file's headers to our columns."""

    id: ResourceId
    name: str = Field(description="Unique among the mappings of its kind.", examples=["门店系统"])
    kind: ImportKind = Field(description="What the rows are.")
    columns: dict[str, str] = Field(
        description="Header of the file → column of ours.", examples=[{"会员卡": "external_id"}]
    )
    defaults: dict[str, str] = Field(
        description="Column of ours → what stands there when the file says nothing.", examples=[{"platform": "store"}]
    )
    match_by: list[MatchKey] = Field(description=_MATCH)
    mode: ImportMode = Field(description=_MODE)
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


RowErrors = list[dict[str, Any]]
"""Errors as they are stored: column, code, message."""
