"""What becomes of compensations in a merge, an export and an erasure."""

from crm_api.compensations.tables import compensations
from crm_api.db.ownership import Owned, own

own(
    Owned(
        compensations,
        follows=("complaint_id", "complaints"),
        erase="blank",
        blank={"note": None, "decision_note": None, "reason": None},
    )
)
