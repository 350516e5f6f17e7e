"""What of messages becomes of a merge, an export and an erasure."""

from crm_api.channels.tables import channel_messages
from crm_api.db.ownership import Owned, own

own(
    Owned(
        channel_messages,
        erase="blank",
        blank={"recipient": "", **dict.fromkeys(("subject", "body", "params", "error", "provider_id"))},
    )
)
