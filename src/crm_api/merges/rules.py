"""Whose value counts: pure rules over profiles as JSON.

A profile is the customer's row as ``to_jsonb`` shows it. Its columns are grouped into the fields people decide about: a
birthday is one field of five columns, and each of the tenant's own attributes is a field of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from crm_api.core.errors import FieldError, Invalid
from crm_api.merges.models import Reason

Profile = Mapping[str, Any]

TECHNICAL: Final = frozenset(
    {"tenant_id", "id", "version", "created_at", "updated_at", "deleted_at", "erased_at", "merged_into_id"}
)
"""Columns that are no part of the profile."""

ATTRIBUTES: Final = "attributes"
BIRTHDAY: Final = "birthday"
WARNINGS: Final = frozenset({"blacklisted"})
"""Fields in which one side's "yes" holds for all: a warning must not get lost."""

_BIRTH: Final = "birth_"


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one field.

    Attributes:
        field: its name.
        values: side → value, the winner first; None is no value.
        result: what the winner gets.
        from_id: whose value that is.
        reason: why.

    """

    field: str
    values: Mapping[UUID, Any]
    result: Any
    from_id: UUID | None
    reason: Reason

    @property
    def conflict(self) -> bool:
        """Tell whether sides have different values."""
        known = [value for value in self.values.values() if value is not None]
        return any(value != known[0] for value in known[1:])


def fields_of(profile: Profile) -> dict[str, Any]:
    """Return a profile as people see it: field → value, None where there is none."""
    fields: dict[str, Any] = {}
    birth = {name.removeprefix(_BIRTH): value for name, value in profile.items() if name.startswith(_BIRTH)}
    for name, value in profile.items():
        if name == ATTRIBUTES:
            fields |= {f"{ATTRIBUTES}.{key}": each for key, each in (value or {}).items()}
        elif name not in TECHNICAL and not name.startswith(_BIRTH):
            fields[name] = None if value in ("", [], {}) else value
    fields[BIRTHDAY] = birth if birth.get("month") is not None else None
    return fields


def decide(
    winner_id: UUID, profiles: Mapping[UUID, Profile], newest: Sequence[UUID], choices: Mapping[str, UUID]
) -> list[Decision]:
    """Decide about every field that any side has a value in.

    Args:
        winner_id: who stays.
        profiles: of all sides, by id.
        newest: the losers, the one whose profile was changed last first.
        choices: field → the side whose value it gets.

    Raises:
        Invalid: a choice names no field, or nobody who takes part.

    """
    sides = {each: fields_of(profiles[each]) for each in (winner_id, *newest)}
    names = sorted({name for fields in sides.values() for name in fields})
    faults = list(_faults(names, sides, choices))
    if faults:
        raise Invalid(errors=faults)
    decisions = []
    for name in names:
        values = {each: fields.get(name) for each, fields in sides.items()}
        if name in choices or any(value is not None for value in values.values()):
            decisions.append(_decision(name, winner_id, values, choices.get(name)))
    return decisions


def _decision(name: str, winner_id: UUID, values: Mapping[UUID, Any], chosen: UUID | None) -> Decision:
    known = [each for each, value in values.items() if value is not None]
    reason: Reason
    if chosen is not None:
        from_id: UUID | None = chosen
        reason = "chosen"
    elif name in WARNINGS and any(values.values()):
        from_id = next(each for each, value in values.items() if value)
        reason = "any_side"
    elif values[winner_id] is None:
        from_id, reason = (known[0] if known else None), "filled"
    else:
        from_id, reason = winner_id, "winner"
    result = values[from_id] if from_id is not None else None
    decision = Decision(name, values, result, from_id, reason)
    if reason == "winner" and not decision.conflict:
        return Decision(name, values, result, from_id, "same")
    return decision


def _faults(
    names: Sequence[str], sides: Mapping[UUID, Mapping[str, Any]], choices: Mapping[str, UUID]
) -> Iterator[FieldError]:
    for name, side in choices.items():
        pointer = f"/field_choices/{name.replace('~', '~0').replace('/', '~1')}"
        if name not in names:
            yield FieldError(
                pointer,
                "unknown_field",
                f"There is no such field: choose from {', '.join(names)}",
                f"没有此字段，可选：{', '.join(names)}",
            )
        elif side not in sides:
            yield FieldError(
                pointer,
                "not_a_side",
                "Choose the winner or one of the losers: this customer takes no part",
                "只能选择参与合并的客户",
            )


def changes(winner: Profile, decisions: Sequence[Decision], profiles: Mapping[UUID, Profile]) -> dict[str, Any]:
    """Return column → new value for what a merge changes in the winner's row."""
    result: dict[str, Any] = {}
    attributes = dict(winner.get(ATTRIBUTES) or {})
    for each in decisions:
        source: Profile = profiles[each.from_id] if each.from_id is not None else {}
        if each.field == BIRTHDAY:
            result |= {name: source.get(name) for name in winner if name.startswith(_BIRTH)}
        elif each.field.startswith(f"{ATTRIBUTES}."):
            key = each.field.removeprefix(f"{ATTRIBUTES}.")
            if each.result is None:
                attributes.pop(key, None)
            else:
                attributes[key] = each.result
        elif each.from_id is not None:
            result[each.field] = source[each.field]
    if ATTRIBUTES in winner:
        result[ATTRIBUTES] = attributes
    return {name: value for name, value in result.items() if value != winner[name]}


# -- the way back ------------------------------------------------------------------------------------------------------


def shown_changes(noted: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what a merge changed, attribute by attribute, for people."""
    shown = []
    for name, change in noted.items():
        if name != ATTRIBUTES:
            shown.append({"field": name, "before": change["before"], "after": change["after"]})
            continue
        before, after = change["before"] or {}, change["after"] or {}
        shown += [
            {"field": f"{ATTRIBUTES}.{key}", "before": before.get(key), "after": after.get(key)}
            for key in sorted({*before, *after})
            if before.get(key) != after.get(key)
        ]
    return shown


def restored(now: Profile, noted: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return column → value to write for an undo, and the fields that stay because they were changed since.

    The birthday goes back as a whole or not at all; attributes go back one by one.

    Args:
        now: the winner's row.
        noted: column → what it was before the merge and after it.

    """
    back: dict[str, Any] = {}
    kept: list[dict[str, Any]] = []
    birth = [name for name in noted if name.startswith(_BIRTH)]
    if birth and all(now[name] == noted[name]["after"] for name in birth):
        back |= {name: noted[name]["before"] for name in birth}
    elif any(now[name] != noted[name]["before"] for name in birth):
        kept.append(
            {
                "field": BIRTHDAY,
                "before_merge": {name.removeprefix(_BIRTH): noted[name]["before"] for name in birth},
                "now": {name.removeprefix(_BIRTH): now[name] for name in birth},
            }
        )
    for name, change in noted.items():
        if name in birth or name not in now:
            continue
        if name == ATTRIBUTES:
            back_attributes, kept_attributes = _restored_attributes(now[name] or {}, change)
            if back_attributes != now[name]:
                back[name] = back_attributes
            kept += kept_attributes
        elif now[name] == change["after"]:
            back[name] = change["before"]
        elif now[name] != change["before"]:
            kept.append({"field": name, "before_merge": change["before"], "now": now[name]})
    return back, kept


def _restored_attributes(
    now: Mapping[str, Any], change: Mapping[str, Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    before, after = change["before"] or {}, change["after"] or {}
    result, kept = dict(now), []
    for key in sorted({*before, *after}):
        if before.get(key) == after.get(key):
            continue
        if now.get(key) != after.get(key):
            if now.get(key) != before.get(key):
                kept.append({"field": f"{ATTRIBUTES}.{key}", "before_merge": before.get(key), "now": now.get(key)})
        elif key in before:
            result[key] = before[key]
        else:
            result.pop(key, None)
    return result, kept


def without(
    later: Mapping[str, Mapping[str, Any]], undone: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """Return a later merge's notes as if the undone one had never been: what it found is what that one had found."""
    result = dict(later)
    for name, change in undone.items():
        if name not in later:
            continue
        found = later[name]
        if name == ATTRIBUTES:
            before, _ = _restored_attributes(found["before"] or {}, change)
            result[name] = {**found, "before": before}
        elif found["before"] == change["after"]:
            result[name] = {**found, "before": change["before"]}
    return result
