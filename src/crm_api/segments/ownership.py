"""What becomes of memberships in a merge, an export and an erasure."""

from crm_api.db.ownership import Owned, own
from crm_api.segments.tables import segment_flips, segment_log, segment_members

_EVALUATED = "evaluated anew after the merge; of static segments the message of the merge passes them on"

own(
    Owned(segment_members, on_merge="stay", why=_EVALUATED),
    Owned(segment_log, on_merge="stay", why="what was true of the old id"),
    Owned(segment_flips, on_merge="stay", why="made anew with every evaluation", export=False, erase="delete"),
)
