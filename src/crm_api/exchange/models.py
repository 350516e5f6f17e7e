"""Imports: wire shapes and row verdicts."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from crm_api.core.models import CreatedAt, Instant, ResourceId, UpdatedAt, Version, Wire

ImportKind = Literal["customers", "orders"]
ImportState = Literal["queued", "running", "completed", "failed", "cancelled"]
Verdict = Literal["created", "updated", "unchanged", "failed"]


class ImportFault(Wire):
    """Why the whole import failed."""

    code: str = Field(examples=["unreadable_file"], description="Stable; switch on this.")
    message: str = Field(description="For people.")


class Import(Wire):
    """A file on its way in: what it is, how far it has come and what came of it."""

    id: ResourceId
    kind: ImportKind = Field(description="What the rows are.")
    state: ImportState = Field(description="How far it is; the last three are final.")
    filename: str = Field(examples=["orders.csv"], description="As it was uploaded.")
    total_bytes: int = Field(examples=[420_000], description="Size of the file.")
    processed_bytes: int = Field(description="How much of the file is done, for a progress bar.")
    processed: int = Field(description="Rows with a verdict.")
    created: int = Field(description="Rows that made something new.")
    updated: int = Field(description="Rows that changed something.")
    unchanged: int = Field(description="Rows that said what was known.")
    failed: int = Field(description="Rows refused; `rows` says why.")
    rows_per_second: float | None = Field(description="Over the time spent working; null before the first rows.")
    encoding: str = Field(description="As detected.", examples=["utf-8"])
    delimiter: str = Field(description="As detected.", examples=[","])
    columns: dict[str, str] = Field(
        description="Header of the file → column of ours; headers that are not used are left out.",
        examples=[{"订单号": "order_id"}],
    )
    error: ImportFault | None = Field(description="Why the whole import failed; null otherwise.")
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
    line: int = Field(description="Line of the file on which the row begins; the header is line 1.")
    verdict: Verdict = Field(description="What came of it.")
    resource_id: UUID | None = Field(description="The customer or order.")
    errors: list[RowError] = Field(description="Empty unless it failed.")
