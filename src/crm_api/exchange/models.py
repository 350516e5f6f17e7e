"""Imports: wire shapes and row verdicts."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from crm_api.core.models import Instant, Wire

ImportKind = Literal["customers", "orders"]
ImportState = Literal["queued", "running", "completed", "failed", "cancelled"]
Verdict = Literal["created", "updated", "unchanged", "failed"]


class ImportFault(Wire):
    """Why the whole import failed."""

    code: str = Field(examples=["unreadable_file"])
    message: str


class Import(Wire):
    """A file on its way in: what it is, how far it has come and what came of it."""

    id: UUID
    kind: ImportKind
    state: ImportState
    filename: str = Field(examples=["orders.csv"])
    total_bytes: int = Field(examples=[420_000])
    processed_bytes: int = Field(description="How much of the file is done, for a progress bar.")
    processed: int = Field(description="Rows with a verdict.")
    created: int
    updated: int
    unchanged: int
    failed: int
    rows_per_second: float | None = Field(description="Over the time spent working; null before the first rows.")
    encoding: str = Field(description="As detected.", examples=["utf-8"])
    delimiter: str = Field(description="As detected.", examples=[","])
    columns: dict[str, str] = Field(
        description="Header of the file → column of ours; headers that are not used are left out.",
        examples=[{"订单号": "order_id"}],
    )
    error: ImportFault | None
    started_at: Instant | None
    finished_at: Instant | None
    version: int
    created_at: Instant
    updated_at: Instant


class RowError(Wire):
    """One thing wrong with one row."""

    column: str | None = Field(description="Column of ours; null when the row as a whole is wrong.")
    code: str = Field(examples=["unknown_currency"])
    message: str


class ImportRow(Wire):
    """What came of one row."""

    row: int = Field(description="Number of the data row, from 1.")
    line: int = Field(description="Line of the file on which the row begins; the header is line 1.")
    verdict: Verdict
    resource_id: UUID | None = Field(description="The customer or order.")
    errors: list[RowError]
