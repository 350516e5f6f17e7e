"""What becomes of the list of members to be, in a merge, an export and an erasure."""

from crm_api.clusters.tables import cluster_assignments
from crm_api.db.ownership import Owned, own

own(
    Owned(
        cluster_assignments,
        on_merge="stay",
        why="a list worked off within minutes, which passes over who was merged",
        erase="delete",
        export=False,
    )
)
