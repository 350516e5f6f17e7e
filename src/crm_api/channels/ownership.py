"""What of messages becomes of a merge, an export and an erasure."""

from crm_api.channels.repository import MessageRepository
from crm_api.channels.tables import channel_messages
from crm_api.db.ownership import Erased, EraseHook, Owned, on_erase, own
from crm_api.db.uow import UnitOfWork

own(
    Owned(
        channel_messages,
        erase="blank",
        # Providers repeat the address in their errors, and know by their number whose it was.
        blank={"recipient": "", **dict.fromkeys(("subject", "body", "params", "error", "provider_id"))},
    )
)


async def _erase(unit: UnitOfWork, erased: Erased) -> int:
    addresses = [trace.decode("utf-8", "replace") for trace in erased.traces]
    return await MessageRepository(unit).forget_recipients(addresses)


# Test messages are nobody's, but one may have gone to this customer's phone.
on_erase(EraseHook("channel_messages of nobody", _erase))
