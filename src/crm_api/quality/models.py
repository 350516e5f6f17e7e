"""Data quality: findings, completeness, cleaning up. Wire shapes."""

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples

Finding = Literal[
    "no_contact_point",
    "invalid_phone",
    "invalid_email",
    "landline_only",
    "stale",
    "unreachable",
    "shared_contact_point",
]
Action = Literal[
    "normalise_contact_points", "reclassify_phones", "remove_invalid_contact_points", "single_primary_contact_point"
]
CleanupState = Literal["queued", "running", "completed", "failed", "cancelled"]

STALE_DAYS = 365


class FindingCount(Wire):
    """How many customers something is wrong with."""

    finding: Finding = Field(description="What is wrong.")
    customers: int = Field(description="Customers it is wrong with.", examples=[42])


class PartCount(Wire):
    """How many customers have a part of the score."""

    part: str = Field(description="Which part.", examples=["birthday"])
    points: int = Field(description="What it adds to a customer's score.", examples=[15])
    customers: int = Field(description="Customers who have it.", examples=[4_200])


class QualityReport(Wire):
    """What is wrong with the tenant's customers now."""

    customers: int = Field(description="All living customers.", examples=[12_000])
    stale_days: int = Field(description="Days without order, interaction or change after which a customer is stale.")
    completeness: float | None = Field(description="Mean score, 0–100; null without customers.", examples=[63.5])
    incomplete: int = Field(description="Customers with a score below 50.")
    parts: list[PartCount] = Field(description="What the score is made of, and how many customers have it.")
    findings: list[FindingCount] = Field(
        description="One entry for each finding the key may know of: `stale` takes orders:read and interactions:read, "
        "`unreachable` takes consent:read."
    )
    shared_values: int = Field(description="Mobile numbers and e-mail addresses that several customers have.")


class MissingPart(Wire):
    """A part of the score a customer lacks."""

    part: str = Field(description="Which part.", examples=["birthday"])
    points: int = Field(description="What it would add to the score.", examples=[15])


class CustomerQuality(Wire):
    """What is wrong with one customer."""

    customer_id: UUID = Field(description="The customer.")
    completeness: int = Field(description="0–100; docs/domains/quality.md has the weights.", examples=[65])
    missing: list[MissingPart] = Field(description="What would make it 100.")
    findings: list[Finding] = Field(description="What is wrong, as far as the key may know.")


class QualityQuery(Input):
    """Which customers to list."""

    model_config = with_examples({"finding": "invalid_phone"}, {"finding": "stale", "stale_days": 180})

    finding: Finding | None = Field(default=None, description="Only customers with this finding.")
    stale_days: int = Field(default=STALE_DAYS, ge=1, le=3_650, description="For `stale`.")
    completeness_below: int | None = Field(
        default=None, ge=1, le=100, description="Only customers with a lower score.", examples=[50]
    )
    limit: int = Field(default=50, ge=1, le=200, description="Rows of the page.")
    after: str | None = Field(default=None, max_length=2000, description="`next` of the page before this one.")


class CleanupCreate(Input):
    """What to clean up."""

    model_config = with_examples(
        {"actions": ["normalise_contact_points", "reclassify_phones"], "dry_run": True},
        {"actions": ["remove_invalid_contact_points"], "dry_run": False},
    )

    actions: list[Action] = Field(
        min_length=1,
        max_length=10,
        description="`normalise_contact_points` writes values as they are written today; `reclassify_phones` calls "
        "landlines landlines and mobiles mobiles; `remove_invalid_contact_points` removes what cannot be one; "
        "`single_primary_contact_point` leaves one primary of each kind, the oldest.",
        examples=[["normalise_contact_points"]],
    )
    dry_run: bool = Field(strict=True, default=True, description="Only count and show samples; nothing is changed.")


class CleanupSample(Wire):
    """One change, done or only proposed."""

    customer_id: UUID = Field(description="Whose contact point.")
    action: Action = Field(description="Why.")
    before: dict[str, Any] = Field(description="Kind and value as they were.", examples=[{"kind": "mobile"}])
    after: dict[str, Any] | None = Field(description="As they become; null when removed.")


class ActionCount(Wire):
    """How often something was done."""

    action: Action = Field(description="What was done.")
    contact_points: int = Field(description="Contact points it changed or removed.")


class QualityCleanup(Wire):
    """A clean-up: what it does, how far it has come, and what came of it."""

    id: ResourceId
    actions: list[Action] = Field(description="What is cleaned up.")
    dry_run: bool = Field(description="true: nothing is changed, only counted.")
    state: CleanupState = Field(description="How far it is; the last three are final.")
    total: int = Field(description="Customers there were at the start; more may come meanwhile.")
    processed: int = Field(description="Customers looked at.")
    changed: int = Field(description="Customers that were changed, or would be.")
    counts: list[ActionCount] = Field(description="What was done, or would be.")
    samples: list[CleanupSample] = Field(description="The first 20 changes of each action.")
    error: str | None = Field(description="Why it failed; null otherwise.")
    started_at: Instant | None = Field(description="Null while it is queued.")
    finished_at: Instant | None = Field(description="Null until it has ended.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt
