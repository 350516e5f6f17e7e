"""What becomes of scores in a merge, an export and an erasure."""

from crm_api.classifications.tables import customer_scores, lifecycle_log
from crm_api.db.ownership import Owned, own

_DERIVED = "evaluated anew after the merge"
_HISTORY = "what was true of the old id"

own(
    Owned(customer_scores, on_merge="stay", why=_DERIVED),
    Owned(lifecycle_log, on_merge="stay", why=_HISTORY),
)
