"""What becomes of outlooks in a merge, an export and an erasure."""

from crm_api.db.ownership import Owned, own
from crm_api.lifetime.tables import customer_outlooks

own(
    Owned(
        customer_outlooks, on_merge="stay", why="made anew by the model that stands (`lifetime.follow`)", erase="delete"
    )
)
