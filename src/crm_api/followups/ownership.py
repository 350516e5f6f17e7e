"""What becomes of follow-ups in a merge, an export and an erasure."""

from crm_api.db.ownership import Owned, own
from crm_api.followups.tables import follow_ups

own(
    Owned(
        follow_ups,
        # Both may have a task of one slot: the winner's is done, the other stays with the old id, where the worker
        # cancels it.
        on_merge="unite",
        same=("key",),
        follows=("order_id", "orders"),
        erase="blank",
        # When somebody was contacted, and whether it led anywhere, stays for the figures of plans and staff.
        blank={"subject": None, "instructions": None, "reason": ""},
    )
)
