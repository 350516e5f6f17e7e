"""What of codes becomes of a merge, an export and an erasure."""

from crm_api.db.ownership import Owned, own
from crm_api.verification.tables import contact_verifications

own(Owned(contact_verifications, erase="delete", secret=("code_hash", "salt")))
