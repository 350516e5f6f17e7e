"""What becomes of the journal of merges in later merges, an export and an erasure."""

from crm_api.customers.tables import customers
from crm_api.db.ownership import Owned, own
from crm_api.merges.tables import merge_rows, merge_sides, merges

_HISTORY = "what was done under the old id"

own(
    # Who became a loser earlier becomes who the loser becomes: an alias never leads to another alias.
    Owned(customers, column="merged_into_id", why="ids that are aliases", export=False),
    Owned(merges, column="winner_id", on_merge="stay", why=_HISTORY, export=False),
    Owned(
        merge_sides, on_merge="stay", why=_HISTORY, erase="blank", blank={"before": None, "changes": None}, export=False
    ),
    Owned(merge_rows, through=("merge_id", merges), export=False),
)
