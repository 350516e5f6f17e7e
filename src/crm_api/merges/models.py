"""Merges: inputs and wire shapes."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, field_validator

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples

MAX_LOSERS = 50

Reason = Literal["same", "winner", "filled", "chosen", "any_side"]
MergeState = Literal["merged", "undone"]

_SOMEBODY = "01981a6e-0000-7000-8000-000000000000"
_SOMEBODY_ELSE = "01981a6e-0000-7000-8000-000000000001"


class MergeRequest(Input):
    """Who becomes whom."""

    model_config = with_examples(
        {"winner_id": _SOMEBODY, "loser_ids": [_SOMEBODY_ELSE], "dry_run": True},
        {"winner_id": _SOMEBODY, "loser_ids": [_SOMEBODY_ELSE], "field_choices": {"city": _SOMEBODY_ELSE}},
    )

    winner_id: UUID = Field(description="Who stays; an id that was merged before means who it became.")
    loser_ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_LOSERS)] = Field(
        description=f"Who becomes the winner: 1–{MAX_LOSERS} living customers of the same kind."
    )
    field_choices: dict[str, UUID] = Field(
        default_factory=dict,
        max_length=200,
        description="Field of the profile → the side whose value it gets; an attribute is `attributes.<key>`. "
        "Without a choice the winner's value stays, and where the winner has none, the losers' newest comes in.",
        examples=[{"city": _SOMEBODY_ELSE}],
    )
    dry_run: bool = Field(strict=True, default=False, description="Only say what would happen; nothing changes.")

    @field_validator("field_choices", mode="before")
    @classmethod
    def _global_ids_too(cls, choices: Any) -> Any:
        # GraphQL has no mapping type, so there these are JSON, in which nobody turns global ids into ours.
        if not isinstance(choices, dict):
            return choices
        return {
            name: side.removeprefix("Customer:") if isinstance(side, str) else side for name, side in choices.items()
        }


class SideValue(Wire):
    """What one side says."""

    customer_id: UUID = Field(description="Whose value it is.")
    value: Any | None = Field(description="The value, null when there is none.", examples=["上海"])


class FieldPreview(Wire):
    """What becomes of one field of the profile."""

    field: str = Field(description="Its name; an attribute is `attributes.<key>`.", examples=["city"])
    values: list[SideValue] = Field(description="Of each side, the winner's first.")
    result: Any | None = Field(description="What the winner will have.", examples=["上海"])
    from_id: UUID | None = Field(description="The side it comes from; null when no side has a value.")
    reason: Reason = Field(
        description="same (all that have a value agree), winner (the winner's stays), filled (the winner had none: "
        "from the loser changed last), chosen (by `field_choices`), any_side (a warning of one side holds for all)."
    )
    conflict: bool = Field(description="Whether sides have different values, so that one is not shown any more.")


class TableCount(Wire):
    """What becomes of the losers' rows in one table."""

    table: str = Field(description="Name of the table, with the column when it is not `customer_id`.")
    moves: int = Field(description="Rows that become the winner's.")
    unites: int = Field(description="Rows the winner has an equal one of: they stay with the hidden loser, unseen.")
    stays: int = Field(description="Rows that stay: history of the old id, or derived and made anew.")


class MergePreview(Wire):
    """What a merge would do."""

    winner_id: UUID = Field(description="Who stays.")
    loser_ids: list[UUID] = Field(description="Who becomes the winner.")
    fields: list[FieldPreview] = Field(description="Every field of the profile that any side has a value in.")
    conflicts: list[str] = Field(description="Names of the fields in which sides differ.", examples=[["city"]])
    tables: list[TableCount] = Field(description="Every table in which a loser has rows.")


class FieldChange(Wire):
    """A field of the winner that a merge changed."""

    field: str = Field(description="Name of the column; an attribute is `attributes.<key>`.", examples=["city"])
    before: Any | None = Field(description="What the winner had.")
    after: Any | None = Field(description="What the winner got.")


class FieldKept(Wire):
    """A field that an undo left as it was, because it was changed since the merge."""

    field: str = Field(description="Its name.", examples=["city"])
    before_merge: Any | None = Field(description="What the winner had before the merge.")
    now: Any | None = Field(description="What it says now, and still does.")


class TableReturn(Wire):
    """What an undo did in one table."""

    table: str = Field(description="Name of the table.")
    returned: int = Field(description="Rows that went back to whose they were.")
    followed: int = Field(description="Rows made since the merge that went with the row they are about.")
    deleted: int = Field(description="Rows that are not there any more: deleted since the merge.")
    elsewhere: int = Field(description="Rows that belong to somebody else by now: they stay there.")


class PointsReturn(Wire):
    """Points a side got back."""

    customer_id: UUID = Field(description="Who.")
    available: int = Field(description="Points that can be spent.")
    pending: int = Field(description="Points not yet usable.")
    debt: int = Field(description="Points owed.")


class UndoReport(Wire):
    """What an undo could and could not bring back."""

    fields_kept: list[FieldKept] = Field(description="Fields changed since the merge: kept, not overwritten.")
    tables: list[TableReturn] = Field(description="Every table in which rows had changed hands.")
    points: list[PointsReturn] = Field(
        description="What went back to each loser: what was left of the points that came from there."
    )


class Merge(Wire):
    """A merge, and what became of it."""

    id: ResourceId
    winner_id: UUID = Field(description="Who stayed.")
    loser_ids: list[UUID] = Field(description="Who became the winner; their ids answer as the winner's until undone.")
    state: MergeState = Field(description="Whether it holds or was undone.")
    fields: list[FieldChange] = Field(description="What it changed in the winner's profile; empty after an erasure.")
    tables: list[TableCount] = Field(description="What became of the losers' rows.")
    undo: UndoReport | None = Field(description="What the undo did; null while the merge holds.")
    merged_at: Instant = Field(description="When.")
    undone_at: Instant | None = Field(description="When it was undone.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt
