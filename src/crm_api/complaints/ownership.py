"""What becomes of complaints in a merge, an export and an erasure."""

from crm_api.complaints.tables import complaint_events, complaint_interactions, complaints
from crm_api.db.ownership import Owned, own
from crm_api.orders.tables import orders

own(
    Owned(
        complaints,
        follows=("order_id", orders),
        erase="blank",
        blank={"subject": "", "description": None, "remedy_sought": None},
    ),
    Owned(complaint_events, through=("complaint_id", complaints)),
    Owned(complaint_interactions, through=("complaint_id", complaints), export=False),
)
