"""What becomes of classes in a merge, an export and an erasure."""

from crm_api.classifications.tables import class_log, customer_potentials, customer_scores, lifecycle_log, period_scores
from crm_api.db.ownership import Owned, own

_HISTORY = "what was true of the old id"

own(
    Owned(customer_scores, on_merge="stay", why="evaluated anew after the merge"),
    Owned(lifecycle_log, on_merge="stay", why=_HISTORY),
    Owned(class_log, on_merge="stay", why=_HISTORY),
    Owned(period_scores, on_merge="stay", why=_HISTORY),
    Owned(customer_potentials, on_merge="unite", erase="blank", blank={"note": None}),
)
