"""What becomes of events and devices in a merge, an export and an erasure."""

from crm_api.db.ownership import MergeHook, Owned, on_merge, own
from crm_api.events.repository import hold_still
from crm_api.events.service import attribute_again
from crm_api.events.tables import events, identifications

own(Owned(identifications, erase="delete"), Owned(events, erase="delete"))
# A batch that has just looked up a loser, or a device of theirs, must be stored before the merge moves its rows.
# What was recorded meanwhile went to the winner by devices that are the losers' again.
on_merge(MergeHook("events", lock=hold_still, undone=attribute_again))
