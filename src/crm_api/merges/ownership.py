"""What becomes of the journal of merges in later merges, an export and an erasure."""

from crm_api.db.ownership import EraseHook, Owned, on_erase, own
from crm_api.merges.repository.erasure import erase_notes
from crm_api.merges.tables import merge_rows, merge_sides, merges

_HISTORY = "what was done under the old id"

own(
    Owned(merges, column="winner_id", on_merge="stay", why=_HISTORY, export=False),
    Owned(
        merge_sides, on_merge="stay", why=_HISTORY, erase="blank", blank={"before": None, "changes": None}, export=False
    ),
    Owned(merge_rows, through=("merge_id", merges), export=False),
)
on_erase(EraseHook("merges", erase_notes))
