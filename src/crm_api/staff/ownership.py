"""What becomes of the history of owners, of the queue and of proposals in a merge, an export and an erasure."""

from crm_api.db.ownership import Owned, own
from crm_api.staff.tables import customer_ownerships, owner_queue, rebalancing_moves

own(
    Owned(customer_ownerships, on_merge="stay", why="what was true of the old id", erase="blank", blank={"note": None}),
    Owned(
        owner_queue,
        on_merge="stay",
        why="who is hidden leaves the queue by themselves (`staff.sweep`); the winner has their own place",
        export=False,
        erase="delete",
    ),
    Owned(rebalancing_moves, on_merge="stay", why="what was proposed of the old id; it is skipped", export=False),
)
