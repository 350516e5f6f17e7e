"""Rules that name segments: what they name, and whether that leads in a circle."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from crm_api.core.errors import Invalid
from crm_api.core.rules import FieldTest, Rule
from crm_api.segments.repository.catalogue.standing import SEGMENT_FIELD


def places_of_segments(rule: Rule) -> dict[UUID, str]:
    """Return the segments a rule names, each with the JSON pointer of the first value that does."""
    found: dict[UUID, str] = {}
    for leaf in rule.leaves():
        if isinstance(leaf, FieldTest) and leaf.field.name == SEGMENT_FIELD and leaf.value is not None:
            listed = isinstance(leaf.value, tuple)
            for index, each in enumerate(leaf.value if isinstance(leaf.value, tuple) else (leaf.value,)):
                if isinstance(each, UUID):
                    found.setdefault(each, f"{leaf.pointer}/value/{index}" if listed else f"{leaf.pointer}/value")
    return found


def path_to(segment_id: UUID, named: Iterable[UUID], edges: Iterable[tuple[UUID, UUID]]) -> list[UUID] | None:
    """Return how the segments named lead back to this one, itself last; None when they do not.

    Args:
        segment_id: whose rule is to be written.
        named: the segments the rule will name.
        edges: (segment, segment that its rule names); this segment's own do not count, they will be replaced.

    """
    needs: dict[UUID, list[UUID]] = {}
    for each, needed in edges:
        if each != segment_id:
            needs.setdefault(each, []).append(needed)
    for each in named:
        path = _search(each, segment_id, needs, set())
        if path is not None:
            return path
    return None


def _search(at: UUID, goal: UUID, needs: Mapping[UUID, Sequence[UUID]], seen: set[UUID]) -> list[UUID] | None:
    """Look for the goal depth first, without recursion: chains may be long."""
    came_from: dict[UUID, UUID] = {}
    waiting = [at]
    while waiting:
        here = waiting.pop()
        if here == goal:
            path = [here]
            while path[-1] != at:
                path.append(came_from[path[-1]])
            return path[::-1]
        if here in seen:
            continue
        seen.add(here)
        for each in needs.get(here, ()):
            if each not in seen:
                came_from[each] = here
                waiting.append(each)
    return None


def cycle(pointer: str, names: Sequence[str]) -> Invalid:
    """Return the error for segments that would name each other in a circle."""
    path = " → ".join(names)
    return Invalid.field(
        pointer, "segment_cycle", f"The segments would name each other in a circle: {path}", f"分群循环引用：{path}"
    )


def refuse_unkept(row: Any, pointer: str, *, draft: bool) -> None:
    """Refuse to name a segment that is not there or not kept; a draft may name drafts until it is activated."""
    if row is None:
        raise Invalid.field(pointer, "segment_unknown", "There is no such segment", "没有此分群")
    if row["state"] == "archived":
        raise Invalid.field(
            pointer, "segment_archived", f"The segment “{row['name']}” is archived", f"分群“{row['name']}”已归档"
        )
    if row["state"] == "draft" and not draft:
        raise Invalid.field(
            pointer,
            "segment_draft",
            f"The segment “{row['name']}” is a draft: activate it first",
            f"分群“{row['name']}”是草稿：请先启用",
        )
