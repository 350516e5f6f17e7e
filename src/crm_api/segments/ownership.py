"""What becomes of memberships in a merge, an export and an erasure."""

from crm_api.db.ownership import Owned, own
from crm_api.segments.tables import segment_log, segment_members

own(
    Owned(segment_members, on_merge="stay", why="evaluated anew after the merge"),
    Owned(segment_log, on_merge="stay", why="what was true of the old id"),
)
