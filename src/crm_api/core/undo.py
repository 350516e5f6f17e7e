"""Taking back what a bulk write did: the words domains share for it.

A bulk write returns, for each row, a *journal*: plain JSON that its own domain understands, enough to restore what the
row changed and to notice that somebody has changed it since. Whoever keeps the journals hands them back later, last row
first, and gets a verdict for each. Nothing that was changed since is ever overwritten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from crm_api.core.errors import FieldError

Journal = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row to take back.

    Attributes:
        resource_id: what the row made or changed.
        created: whether the row made it.
        journal: as the bulk write returned it.
        obstacle: why a resource the row made must stay (others hang on it, others changed it); None when nothing does.

    """

    resource_id: UUID
    created: bool
    journal: Journal
    obstacle: FieldError | None = None


@dataclass(frozen=True, slots=True)
class Undone:
    """What came of it.

    Attributes:
        reasons: why the row's effect was kept; empty when it was taken back.

    """

    reasons: tuple[FieldError, ...] = ()

    @property
    def done(self) -> bool:
        """Whether the row's effect is gone."""
        return not self.reasons


DONE: Final = Undone()

GONE: Final = FieldError("", "gone", "It has been deleted since", "该记录已被删除")


def changed_since(pointer: str) -> FieldError:
    """Return the reason to leave a field alone that no longer holds what the row wrote."""
    return FieldError(
        pointer, "changed_since", "It was changed after the import and is left as it is", "导入后已被修改，保持现状"
    )


def changes_since(journal: Mapping[str, Sequence[Any]], stored: Mapping[str, Any]) -> tuple[FieldError, ...]:
    """Return a reason for each field whose stored value is not what the row wrote.

    Args:
        journal: field → (before, after).
        stored: field → its value now, as plain JSON.

    """
    return tuple(changed_since(f"/{name}") for name, (_, after) in journal.items() if stored.get(name) != after)
