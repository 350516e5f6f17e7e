"""What the log of referrals says of an erased customer: which steps there were stays, words and values go."""

from typing import Final

from crm_api.db.ownership import Erased
from crm_api.db.system_role import as_system
from crm_api.db.uow import UnitOfWork

_REFERRALS: Final = """
SELECT id FROM referrals
WHERE tenant_id = $1 AND (referrer_id = ANY ($2::uuid[]) OR friend_id = ANY ($2::uuid[]))
"""
_ERASE: Final = """
UPDATE referral_events SET note = NULL, data = '{}'
WHERE tenant_id = $1 AND referral_id = ANY ($2::uuid[]) AND (note IS NOT NULL OR data <> '{}')
"""


async def erase_words(unit: UnitOfWork, erased: Erased) -> int:
    """Overwrite reasons and values in the log of every referral they had a part in; returns how many entries."""
    rows = await unit.connection.fetch(_REFERRALS, unit.tenant_id, erased.customer_ids)
    ids = [row["id"] for row in rows]  # read before, as the application: the system role sees the log alone
    async with as_system(unit):
        status = await unit.connection.execute(_ERASE, unit.tenant_id, ids)
    return int(status.rpartition(" ")[2])
