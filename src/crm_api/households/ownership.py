"""What becomes of households in a merge, an export and an erasure."""

from crm_api.db.ownership import EraseHook, Owned, on_erase, own
from crm_api.households.repository import erase_homes, homes_of
from crm_api.households.tables import household_members

own(
    Owned(household_members, on_merge="unite", same=("household_id",), erase="delete"),
    # What is known of a child was stored on its guardian's word, and goes with the guardian.
    Owned(household_members, "guardian_id", erase="delete"),
)
# A household is nobody's alone, yet it is called by its people's names.
on_erase(EraseHook("households", erase_homes, homes_of))
