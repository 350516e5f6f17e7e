"""What becomes of tiers in a merge, an export and an erasure."""

from crm_api.db.ownership import Owned, own
from crm_api.tiers.tables import customer_tiers, tier_log, tier_overrides

own(
    Owned(customer_tiers, on_merge="stay", why="worked out anew from what both did", erase="delete"),
    Owned(tier_log, on_merge="stay", why="what was true of the old id"),
    Owned(tier_overrides, erase="blank", blank={"reason": None}),
)
