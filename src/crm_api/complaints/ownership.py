"""What becomes of complaints in a merge, an export and an erasure."""

from crm_api.complaints.tables import (
    complaint_clock_alerts,
    complaint_clock_marks,
    complaint_clocks,
    complaint_events,
    complaint_interactions,
    complaint_messages,
    complaint_orders,
    complaint_products,
    complaint_queue,
    complaints,
)
from crm_api.db.ownership import Owned, own

own(
    Owned(
        complaints,
        follows=("order_id", "orders"),
        erase="blank",
        # Classes and causes stay for statistics, the platform's number with the order's.
        blank={"subject": "", "description": None, "remedy_sought": None, "decision": None, "reason": ""},
    ),
    # Which steps were taken and when stays; what the fields were set to goes, so the log gives the row no more.
    Owned(complaint_events, through=("complaint_id", complaints), erase="blank", blank={"note": None, "data": {}}),
    Owned(
        complaint_messages,
        through=("complaint_id", complaints),
        erase="blank",
        # That something was said, by whom and when stays: clocks and figures are made of it.
        blank={"body": None, "attachments": []},
    ),
    Owned(complaint_orders, through=("complaint_id", complaints)),
    Owned(complaint_products, through=("complaint_id", complaints)),
    Owned(complaint_interactions, through=("complaint_id", complaints), export=False),
    # Times and codes: what they measured stays for statistics, when the words of the case are gone.
    Owned(complaint_clocks, through=("complaint_id", complaints)),
    Owned(complaint_clock_alerts, through=("complaint_id", complaints), erase="blank", blank={"reason": None}),
    Owned(complaint_clock_marks, through=("complaint_id", complaints)),
    Owned(complaint_queue, through=("complaint_id", complaints), export=False, erase="delete"),
)
