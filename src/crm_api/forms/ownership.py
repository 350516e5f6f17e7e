"""What becomes of submissions in a merge, an export and an erasure."""

from crm_api.db.ownership import Owned, own
from crm_api.forms.tables import form_submissions

own(Owned(form_submissions, erase="blank", blank={"answers": {}, "visitor": ""}))
