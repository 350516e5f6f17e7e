"""What the checks look at, read from all that is known of both sides.

Every statement takes the tenant as ``$1``.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from crm_api.core.text import is_masked_id
from crm_api.db.uow import UnitOfWork
from crm_api.referrals.checks import MAX_CYCLE, SIBLINGS, Evidence, Trait, address_key, digest, period_start, phone_key
from crm_api.referrals.decisions import PAID
from crm_api.referrals.models import Case, Check

PROMPT: Final = timedelta(hours=1)
"""A sign-up told within this time is taken at its word: queues and repeated calls take a while."""

_SIBLINGS: Final = """
SELECT friend_id FROM referrals
WHERE tenant_id = $1 AND referrer_id = $2 AND friend_id <> $3
ORDER BY signed_up_at DESC, id DESC
LIMIT $4
"""
_CONTACTS: Final = """
SELECT customer_id, kind, value FROM contact_points WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])
"""
_ADDRESSES: Final = """
SELECT customer_id, province, city, district, street, phone FROM customer_addresses
WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])
UNION ALL
SELECT id, region, city, NULL, address, NULL FROM customers
WHERE tenant_id = $1 AND id = ANY ($2::uuid[]) AND address IS NOT NULL
"""
_DEVICES: Final = """
SELECT DISTINCT customer_id, device_id FROM identifications
WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])
"""
_SIGNALS: Final = """
SELECT customer_id, kind, digest FROM referral_signals WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])
"""
# Before the sign-up if there is such, else before it was told; the friend first, then whoever has the friend's mobile
# number: an account of before under another name.
_BOUGHT: Final = """
SELECT o.customer_id, o.placed_at >= $3 AS since FROM orders o
WHERE o.tenant_id = $1
  AND o.customer_id = ANY (ARRAY(
    SELECT $2::uuid
    UNION
    SELECT other.customer_id
    FROM contact_points mine
    JOIN contact_points other
      ON other.tenant_id = mine.tenant_id AND other.kind = mine.kind AND other.value = mine.value
    WHERE mine.tenant_id = $1 AND mine.customer_id = $2 AND mine.kind = 'mobile'
  ))
  AND o.placed_at < $5 AND o.paid_amount > 0 AND o.status = ANY ($4::text[])
ORDER BY (o.placed_at >= $3), (o.customer_id <> $2), o.placed_at
LIMIT 1
"""
_TOLD: Final = "SELECT at FROM referral_events WHERE tenant_id = $1 AND referral_id = $2 AND number = 1"
# This one and those before it: of sign-ups at one moment the earlier id came first.
_SIGN_UPS: Final = """
SELECT count(*) + 1 FROM referrals
WHERE tenant_id = $1 AND programme_id = $2 AND referrer_id = $3
  AND signed_up_at > $4 AND (signed_up_at, id) < ($5, $6)
"""
_CIRCLE: Final = """
WITH RECURSIVE up AS (
  SELECT r.referrer_id, 2 AS length
  FROM referrals r WHERE r.tenant_id = $1 AND r.friend_id = $2 AND r.state <> 'voided'
  UNION
  SELECT r.referrer_id, up.length + 1
  FROM up JOIN referrals r ON r.tenant_id = $1 AND r.friend_id = up.referrer_id AND r.state <> 'voided'
  WHERE up.length < $4
)
SELECT min(length) FROM up WHERE referrer_id = $3
"""
_APPROVALS: Final = """
SELECT count(*) FROM referrals
WHERE tenant_id = $1 AND programme_id = $2 AND referrer_id = $3 AND id <> $4
  AND state IN ('approved', 'rewarded') AND ($5::timestamptz IS NULL OR approved_at >= $5)
"""
_BLACKLISTED: Final = """
SELECT id FROM customers WHERE tenant_id = $1 AND id = ANY ($2::uuid[]) AND blacklisted ORDER BY id LIMIT 1
"""
_ZONE: Final = "SELECT time_zone FROM tenants WHERE tenant_id = $1"

_PHONES: Final = frozenset({"mobile", "landline"})


class EvidenceReader:
    """Reads what is known of one referral's two sides."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit

    async def read(self, referral_id: UUID, case: Case, programme: Mapping[str, Any]) -> Evidence:
        """Return all evidence for and against a referral; for an exact cap the referrer's code is locked before."""
        about, whose = (case.referrer_id, case.friend_id), (case.programme_id, case.referrer_id)
        since = case.signed_up_at - timedelta(hours=programme["velocity_hours"])
        sure = await self._sure(referral_id, case)
        bought = await self._rows(_BOUGHT, case.friend_id, case.signed_up_at, list(PAID), sure)
        return Evidence(
            traits=await self._traits(case),
            bought_by=bought[0]["customer_id"] if bought else None,
            bought_since=bool(bought) and bought[0]["since"],
            sign_ups=await self._value(_SIGN_UPS, *whose, since, case.signed_up_at, referral_id),
            circle=await self._value(_CIRCLE, *about, MAX_CYCLE),
            approvals=await self._approvals(referral_id, case, programme),
            blacklisted=await self._value(_BLACKLISTED, list(about)),
        )

    async def _sure(self, referral_id: UUID, case: Case) -> datetime:
        """Return until when what was bought may have been bought before the sign-up."""
        # A referral that is just being told has no event yet.
        told_at: datetime = await self._value(_TOLD, referral_id) or self.unit.now()
        return max(case.signed_up_at, told_at - PROMPT)

    async def _value(self, sql: str, *values: Any) -> Any:
        return await self.unit.connection.fetchval(sql, self.unit.tenant_id, *values)

    async def _rows(self, sql: str, *values: Any) -> list[Any]:
        return await self.unit.connection.fetch(sql, self.unit.tenant_id, *values)

    async def _approvals(self, referral_id: UUID, case: Case, programme: Mapping[str, Any]) -> int:
        if programme["cap_count"] is None:
            return 0
        zone: str = await self._value(_ZONE)
        since: datetime | None = period_start(self.unit.now(), programme["cap_period"], zone)
        count: int = await self._value(_APPROVALS, case.programme_id, case.referrer_id, referral_id, since)
        return count

    async def _traits(self, case: Case) -> dict[UUID, frozenset[Trait]]:
        """Return what can be compared, of the friend, the referrer, and the referrer's other friends, in this order."""
        siblings = await self._rows(_SIBLINGS, case.referrer_id, case.friend_id, SIBLINGS)
        people = list(dict.fromkeys([case.friend_id, case.referrer_id, *(row["friend_id"] for row in siblings)]))
        found: dict[UUID, set[Trait]] = defaultdict(set)
        for row in await self._rows(_CONTACTS, people):
            if not is_masked_id(row["value"]):
                name: Check = "shared_phone" if row["kind"] in _PHONES else "shared_account"
                # The same text may be one person's account here and another's there: kinds are kept apart.
                own = phone_key(row["value"]) if name == "shared_phone" else f"{row['kind']}:{row['value']}"
                found[row["customer_id"]].add((name, own))
        await self._places(people, found)
        await self._devices(people, found)
        return {each: frozenset(found[each]) for each in people}

    async def _places(self, people: Sequence[UUID], found: dict[UUID, set[Trait]]) -> None:
        for row in await self._rows(_ADDRESSES, people):
            key = address_key(row["province"], row["city"], row["district"], row["street"])
            if key is not None:
                found[row["customer_id"]].add(("shared_address", key))
            if row["phone"] is not None and not is_masked_id(row["phone"]):
                found[row["customer_id"]].add(("shared_phone", phone_key(row["phone"])))

    async def _devices(self, people: Sequence[UUID], found: dict[UUID, set[Trait]]) -> None:
        for row in await self._rows(_DEVICES, people):
            mark = digest(self.unit.tenant_id, "device", row["device_id"])
            found[row["customer_id"]].add(("shared_device", mark.hex()))
        for row in await self._rows(_SIGNALS, people):
            name: Check = "shared_device" if row["kind"] == "device" else "shared_payment_account"
            found[row["customer_id"]].add((name, row["digest"].hex()))
