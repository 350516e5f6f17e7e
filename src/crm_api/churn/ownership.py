"""What becomes of churn levels in a merge, an export and an erasure."""

from crm_api.churn.tables import churn_log, customer_churn
from crm_api.db.ownership import Owned, own

own(
    Owned(
        customer_churn, on_merge="stay", why="assessed anew with all purchases of both (`churn.follow`)", erase="delete"
    ),
    Owned(churn_log, on_merge="stay", why="what was true of the old id"),
)
