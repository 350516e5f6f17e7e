"""Taking back what a bulk write of customers did.

The journal of a row that changed a customer::

    {"values": {column: [before, after]}, "contacts": [[kind, value]], "identities": [[platform, external id]],
     "tags": [tag]}

each part only when there is something in it. The journal of a row that made one is empty: its customer goes.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from uuid import UUID

from crm_api.core.errors import FieldError
from crm_api.core.undo import DONE, GONE, Entry, Undone, changes_since
from crm_api.customers.drafts import Draft

if TYPE_CHECKING:
    from crm_api.customers.repository import CustomerBulkRepository


MERGED: Final = "merged_since"
"""Code of the obstacle that a customer has become a part of another one."""


class UndoDesk:
    """Decides for each row what can be taken back; works on drafts, which are stored in one go at the end."""

    def __init__(self, drafts: dict[UUID, Draft]) -> None:
        """Work on these customers."""
        self.drafts = drafts

    def decide(self, entry: Entry) -> Undone:
        """Take one row back, or say why not."""
        draft = self.drafts.get(entry.resource_id)
        if draft is None or draft.is_deleted:
            return _gone(entry)
        if entry.created:
            if entry.obstacle is not None:
                return Undone((entry.obstacle,))
            draft.is_deleted = draft.is_undone = True
            return DONE
        reasons = changes_since(entry.journal.get("values", {}), draft.values) + _verified(draft, entry)
        if reasons:
            return Undone(reasons)
        draft.give_back(entry.journal)
        return DONE


def _gone(entry: Entry) -> Undone:
    """Tell what that means for a customer who is not there any more.

    One the row made needs no deletion, unless a merge has made a part of somebody else of it; changes to one who is
    gone cannot be taken back any more.
    """
    if not entry.created:
        return Undone((GONE,))
    if entry.obstacle is not None and entry.obstacle.code == MERGED:
        return Undone((entry.obstacle,))
    return DONE


def _verified(draft: Draft, entry: Entry) -> tuple[FieldError, ...]:
    proved = {tuple(each) for each in entry.journal.get("contacts", ())} & draft.verified
    return tuple(
        FieldError(
            f"/{kind}", "verified_since", "The customer has proved this contact point since", "该联系方式已被客户验证"
        )
        for kind, _ in sorted(proved)
    )


async def write_undone(bulk: "CustomerBulkRepository", drafts: Iterable[Draft]) -> list[Draft]:
    """Store what was taken back; returns the customers concerned."""
    touched = [draft for draft in drafts if draft.is_undone]
    await bulk.hide([draft.id for draft in touched if draft.is_deleted])
    living = [draft for draft in touched if not draft.is_deleted]
    await bulk.write(living)
    await bulk.take_away(living)
    return touched
