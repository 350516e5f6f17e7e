"""What becomes of what was earned in a merge, an export and an erasure."""

from crm_api.db.ownership import Owned, own
from crm_api.earning.tables import earning_awards, earnings

own(
    # Caps of a customer count what the merged customers had, and are free again when the merge is undone.
    Owned(earnings, follows=("order_id", "orders"), erase="blank", blank={"reference": None}),
    Owned(earning_awards, through=("earning_id", earnings), export=False),
)
