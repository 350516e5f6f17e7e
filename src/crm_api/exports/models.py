"""Exports: wire shapes."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.rules import RuleTree
from crm_api.core.text import TimeZone

ExportFormat = Literal["csv", "xlsx", "ndjson", "parquet"]
ExportState = Literal["queued", "running", "completed", "failed", "cancelled", "expired"]
Headers = Literal["names", "en", "zh"]

MAX_FIELDS = 500

_RULE: dict[str, Any] = {"field": "city", "op": "eq", "value": "杭州"}
_RESOURCE = (
    "What the rows are: a kind of resource in the plural, such as `customers`, `orders`, `products`, `interactions`, "
    "`complaints`, `loyalty_entries` or `events`; whatever else has a list, by the same pattern."
)
_FIELDS = (
    "Fields of the resource, in this order: those of its list, or one column of them (`mobile`, `birthday.year`, "
    "`attributes.shoe_size`)."
)


class ExportStart(Input):
    """Which list to export, and how the file is to look."""

    model_config = with_examples(
        {
            "resource": "customers",
            "filters": {"tag": "vip"},
            "fields": ["name", "mobile", "tags"],
            "format": "csv",
            "bom": True,
            "headers": "zh",
        },
        {"resource": "customers", "rule": _RULE, "format": "xlsx", "headers": "en"},
        {"resource": "orders", "filters": {"status": "paid"}, "order": "placed_at_asc", "format": "parquet"},
    )

    resource: Annotated[str, Field(max_length=64)] = Field(examples=["customers"], description=_RESOURCE)
    filters: dict[Annotated[str, Field(max_length=64)], Any] = Field(
        default={},
        max_length=50,
        examples=[{"tag": "vip"}],
        description="Only these rows: the query parameters of the resource's list.",
    )
    rule: RuleTree | None = Field(
        default=None,
        examples=[_RULE],
        description="Only customers whom this rule selects; `GET /v1/rule-fields` lists what it can name.",
    )
    segment_id: UUID | None = Field(default=None, description="Only customers who are members of this segment.")
    order: str | None = Field(
        default=None, max_length=80, examples=["newest"], description="Order of the rows, as for the resource's list."
    )
    fields: list[Annotated[str, Field(max_length=120)]] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_FIELDS,
        examples=[["name", "mobile", "tags"]],
        description=f"{_FIELDS} All that the key may see, if left out.",
    )
    format: ExportFormat = Field(
        default="csv", description="`ndjson` has the resources as the API answers them; the others one row each."
    )
    bom: bool = Field(
        strict=True,
        default=False,
        description="Begin a CSV file with a byte order mark, without which Excel garbles Chinese.",
    )
    headers: Headers = Field(
        default="names",
        description="Headers of CSV and XLSX: the columns' names, or labels in English or Chinese.",
    )
    time_zone: TimeZone | None = Field(
        default=None,
        examples=["Asia/Shanghai"],
        description="Zone of the times in CSV and XLSX; the shop's own if left out. Parquet and NDJSON are in UTC.",
    )


class ExportFault(Wire):
    """Why an export failed."""

    code: str = Field(examples=["internal_error"], description="Stable; switch on this.")
    message: str = Field(description="For people.")


class Export(Wire):
    """A list on its way into a file: what is asked for, how far it is, and how long the file is kept."""

    id: ResourceId
    resource: str = Field(examples=["customers"], description=_RESOURCE)
    filters: dict[str, Any] = Field(
        examples=[{"tag": "vip"}], description="Only these rows; a segment is a filter `segment_id`."
    )
    rule: dict[str, Any] | None = Field(description="Only customers whom this rule selects; null without one.")
    order: str | None = Field(description="Order of the rows; null for the list's own.")
    fields: list[str] = Field(examples=[["name", "mobile"]], description=_FIELDS)
    format: ExportFormat = Field(description="What the file is.")
    bom: bool = Field(description="Whether a CSV file begins with a byte order mark.")
    headers: Headers = Field(description="Which headers CSV and XLSX have.")
    time_zone: str = Field(examples=["Asia/Shanghai"], description="Zone of the times in CSV and XLSX.")
    masked: bool = Field(
        description="Whether contact details are masked (`138****1234`): the key lacked `customers:reveal`."
    )
    state: ExportState = Field(description="How far it is; the last four are final, but `completed` ones expire.")
    total: int | None = Field(description="Rows there will be; null until the job has counted them.")
    rows: int = Field(description="Rows written so far.")
    rows_per_second: float | None = Field(description="Over the time spent working; null before the first rows.")
    seconds_remaining: float | None = Field(
        description="At that rate, for the rows still to come; null before the first rows and once it has ended."
    )
    size_bytes: int | None = Field(description="Size of the file; null until it is complete.")
    sha256: str | None = Field(description="SHA-256 of the file in hex; null until it is complete.")
    as_of: Instant | None = Field(description="The instant whose rows the file has; null while it is queued.")
    error: ExportFault | None = Field(description="Why it failed; null otherwise.")
    started_at: Instant | None = Field(description="Null while it is queued.")
    finished_at: Instant | None = Field(description="Null until it has ended.")
    expires_at: Instant | None = Field(description="When the file will be deleted; null until it is complete.")
    link_expires_at: Instant | None = Field(description="When the link that was made last stops; null without one.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class ExportLink(Wire):
    """A link to the file for somebody without a key."""

    download_path: str = Field(
        examples=["/v1/exports/01981a6e-0000-7000-8000-000000000000/download?token=hV3…"],
        description="Path on this server; whoever has it gets the file. It is shown once.",
    )
    expires_at: Instant = Field(description="When it stops; earlier if another is made or the export is deleted.")
