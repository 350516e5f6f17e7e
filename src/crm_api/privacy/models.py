"""Subject exports and erasures: domain models and wire shapes."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.text import storable

ExportState = Literal["queued", "running", "completed", "failed", "expired"]
ErasureState = Literal["waiting", "running", "completed", "cancelled", "failed"]
Note = Annotated[str, StringConstraints(max_length=2000), AfterValidator(storable)]
ErasureReason = Literal[
    "customer_request", "consent_withdrawn", "purpose_fulfilled", "retention_over", "unlawful", "other"
]
REASON_TEXT = (
    "Why, after PIPL Art. 47 and GDPR Art. 17: `customer_request`, `consent_withdrawn`, `purpose_fulfilled` (or no "
    "longer needed), `retention_over`, `unlawful` (should never have been kept), `other`."
)


class SubjectExport(Wire):
    """A copy of all that is kept about a customer, on its way or ready."""

    id: ResourceId
    customer_id: UUID = Field(description="Whose data.")
    state: ExportState = Field(description="`completed`: ready to be fetched; `expired`: deleted again.")
    total: int = Field(description="Kinds of data to go through; 0 until it begins.")
    processed: int = Field(description="How many of them are done.")
    rows: int = Field(description="Rows found so far.")
    size_bytes: int | None = Field(description="Size of the archive; null until it is ready.")
    sha256: str | None = Field(description="SHA-256 of the archive; null until it is ready.")
    error: str | None = Field(description="Why it failed.")
    started_at: Instant | None = Field(description="When work on it began.")
    finished_at: Instant | None = Field(description="When it ended, well or not.")
    expires_at: Instant | None = Field(description="When the archive is deleted; null until it is ready.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class ErasureCreate(Input):
    """The wish that a customer's personal data be erased."""

    model_config = with_examples({"reason": "customer_request", "note": "来电要求注销，已核实身份"})

    reason: ErasureReason = Field(default="customer_request", description=REASON_TEXT)
    note: Note | None = Field(default=None, description="For the staff; erased with the rest.")


class Erasure(Wire):
    """An erasure: waiting, under way, or done; what remains of it is its proof."""

    id: ResourceId
    customer_id: UUID = Field(description="Whose data.")
    state: ErasureState = Field(
        description="`waiting`: can still be cancelled; `failed`: stopped by a fault, tried again by itself."
    )
    reason: ErasureReason = Field(description=REASON_TEXT)
    note: str | None = Field(description="For the staff; null once it is done.")
    due_at: Instant = Field(description="When the waiting period ends and it begins.")
    covers: list[UUID] = Field(description="The customer and everybody who was merged into them, once it has begun.")
    total: int = Field(description="Steps to take; 0 until it begins.")
    processed: int = Field(description="Steps taken.")
    counts: dict[str, int] = Field(
        description="Rows deleted or overwritten, by kind of data.", examples=[{"contact_points": 2, "audit_log": 7}]
    )
    error: str | None = Field(description="Why it stopped, if it did.")
    started_at: Instant | None = Field(description="When it began.")
    finished_at: Instant | None = Field(description="When it was done or cancelled.")
    swept_at: Instant | None = Field(
        description="When it was gone over once more, a day after: for what was under way when it ran."
    )
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class PrivacySettings(Wire):
    """How long erasures wait and archives are kept."""

    erasure_waiting_days: int = Field(
        description="Days between the wish and the erasure, in which it can be cancelled."
    )
    export_keep_days: int = Field(description="Days after which an archive is deleted.")


class PrivacySettingsUpdate(Input):
    """Settings to change; one left out stays."""

    model_config = with_examples({"erasure_waiting_days": 15, "export_keep_days": 7})

    erasure_waiting_days: int = Field(
        strict=True,
        default=7,
        ge=0,
        le=30,
        description="Days between the wish and the erasure, in which it can be cancelled; 0 begins at once.",
    )
    export_keep_days: int = Field(
        strict=True, default=7, ge=1, le=30, description="Days after which an archive is deleted."
    )
