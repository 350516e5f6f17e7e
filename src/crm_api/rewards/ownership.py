"""What becomes of reward redemptions in a merge, an export and an erasure."""

from crm_api.db.ownership import Owned, own
from crm_api.rewards.tables import reward_redemptions

own(Owned(reward_redemptions, erase="blank", blank={"note": None, "reason": None}))
