"""What becomes of tellings, ratings and links in a merge, an export and an erasure."""

from crm_api.closing.tables import complaint_ratings, complaint_tellings, complaints, corrective_action_complaints
from crm_api.db.ownership import Owned, own

own(
    Owned(
        complaint_tellings,
        through=("complaint_id", complaints),
        erase="blank",
        blank={"subject": "", "body": "", "note": None},
    ),
    # Scores stay for statistics; what was written goes, and so does the way to write more.
    Owned(
        complaint_ratings,
        follows=("complaint_id", "complaints"),
        erase="blank",
        blank={"comment": None, "token_hash": None},
        secret=("token_hash",),
    ),
    Owned(corrective_action_complaints, through=("complaint_id", complaints), export=False),
)
