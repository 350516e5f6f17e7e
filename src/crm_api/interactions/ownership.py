"""What becomes of interactions in a merge, an export and an erasure."""

from crm_api.db.ownership import Owned, own
from crm_api.interactions.tables import interactions

own(
    Owned(
        interactions,
        follows=("order_id", "orders"),
        erase="blank",
        blank={
            "subject": None,
            "body": None,
            "outcome": None,
            "problem": None,
            "solution": None,
            "next_step": None,
            "attachments": [],
        },
    )
)
