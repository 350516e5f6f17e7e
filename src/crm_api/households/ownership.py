"""What becomes of households in a merge, an export and an erasure."""

from crm_api.db.ownership import EraseHook, Owned, on_erase, own
from crm_api.households.erasure import erase_names, households_of
from crm_api.households.tables import household_members

own(
    # A child that is no customer hangs on nobody's id but its guardian's: erasing the guardian takes its details too.
    Owned(household_members, on_merge="unite", same=("household_id",), erase="delete"),
    Owned(household_members, "guardian_id", erase="delete"),
)
on_erase(EraseHook("households", erase_names, households_of))
