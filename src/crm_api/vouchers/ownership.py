"""What becomes of vouchers and their uses in a merge, an export and an erasure."""

from crm_api.db.ownership import Owned, own
from crm_api.vouchers.tables import voucher_redemptions, vouchers

own(
    Owned(vouchers, erase="blank", blank={"reason": None}),
    Owned(voucher_redemptions, follows=("voucher_id", "vouchers"), erase="blank", blank={"reason": None}),
)
