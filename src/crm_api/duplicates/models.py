"""Duplicates: inputs and wire shapes."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.text import Line

CandidateState = Literal["open", "accepted", "rejected"]
RunKind = Literal["full", "incremental"]
RunState = Literal["queued", "running", "completed", "failed"]
RunPhase = Literal["features", "pairs", "done"]

_SOMEBODY = "01981a6e-0000-7000-8000-000000000000"
_SOMEBODY_ELSE = "01981a6e-0000-7000-8000-000000000001"


class Reason(Wire):
    """One thing two customers have in common, or that tells them apart."""

    code: str = Field(examples=["same_mobile"], description="Stable name; the list is in docs/domains/duplicates.md.")
    weight: float = Field(
        examples=[14.0], description="Bits of evidence that they are one; negative speaks against it."
    )
    message: str = Field(examples=["Same mobile number"], description="For people, in English.")
    message_zh: str = Field(examples=["手机号相同"], description="The same in Chinese.")


class DuplicateCandidate(Wire):
    """Two customers who may be one."""

    id: ResourceId
    state: CandidateState = Field(description="open until somebody accepts (merges) or rejects it.")
    score: int = Field(examples=[98], description="60–99: how likely they are one, in per cent, as far as weights go.")
    weight: float = Field(
        examples=[19.0], description="The sum of the reasons' weights, by which the queue is ordered."
    )
    reasons: list[Reason] = Field(description="Why, the weightiest first.")
    first_id: UUID = Field(description="The customer known longer.")
    second_id: UUID = Field(description="The other one.")
    run_id: UUID = Field(description="The run that found it last.")
    note: str | None = Field(description="What whoever decided wrote.")
    decided_at: Instant | None = Field(description="When it was accepted or rejected.")
    merge_id: UUID | None = Field(description="The merge it was accepted with.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class CandidateAccept(Input):
    """They are one: merge them."""

    model_config = with_examples({}, {"winner_id": _SOMEBODY, "field_choices": {"city": _SOMEBODY_ELSE}})

    winner_id: UUID | None = Field(default=None, description="Who of the two stays; the one known longer if left out.")
    field_choices: dict[str, UUID] = Field(
        default_factory=dict,
        max_length=200,
        description="As for a merge: field of the profile → the side whose value it gets.",
        examples=[{"city": _SOMEBODY_ELSE}],
    )
    note: Line | None = Field(default=None, description="Why, for whoever looks later.")


class CandidateReject(Input):
    """They are two."""

    model_config = with_examples({"note": "Mother and daughter"})

    note: Line | None = Field(default=None, description="Why, for whoever looks later.")


class RunStart(Input):
    """Look for duplicates now."""

    model_config = with_examples({"kind": "incremental"})

    kind: RunKind = Field(
        default="incremental",
        description="incremental: compare customers who are new or changed since they were last looked at; full: all.",
    )


class SkippedBlocks(Wire):
    """Keys that too many customers share to compare them all."""

    blocks: dict[str, int] = Field(
        examples=[{"name_and_city": 3}], description="What they share → how many such keys there are."
    )
    customers: int = Field(examples=[412], description="Customers with the largest of them.")


class DuplicateRun(Wire):
    """A search for duplicates."""

    id: ResourceId
    kind: RunKind = Field(description="incremental (new and changed customers) or full (all).")
    state: RunState = Field(description="queued, running, completed or failed.")
    phase: RunPhase = Field(description="features (customers are read), pairs (they are compared), done.")
    total: int | None = Field(description="Customers there are; null before it starts.")
    processed: int = Field(description="Customers looked at in the first phase.")
    changed: int = Field(description="Of them, those who were new or differed.")
    compared: int = Field(description="Pairs compared; one that shares keys of several kinds may count more than once.")
    found: int = Field(description="Pairs proposed: new ones, and open ones found again.")
    skipped: SkippedBlocks | None = Field(description="What was left out; null when nothing was.")
    error: str | None = Field(description="Why it failed.")
    started_at: Instant | None = Field(description="When work began.")
    finished_at: Instant | None = Field(description="When it ended.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt
