"""What becomes of memberships and scores in a merge, an export and an erasure."""

from crm_api.db.ownership import Owned, own
from crm_api.segments.tables import customer_scores, lifecycle_log, segment_log, segment_members

_DERIVED = "evaluated anew after the merge"
_HISTORY = "what was true of the old id"

own(
    Owned(segment_members, on_merge="stay", why=_DERIVED),
    Owned(segment_log, on_merge="stay", why=_HISTORY),
    Owned(customer_scores, on_merge="stay", why=_DERIVED),
    Owned(lifecycle_log, on_merge="stay", why=_HISTORY),
)
