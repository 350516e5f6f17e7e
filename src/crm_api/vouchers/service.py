"""What can be done with vouchers one by one: given to customers, changed, found by their code."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from crm_api.core.errors import Conflict, NotFound
from crm_api.core.ids import new_id
from crm_api.customers.service import CustomerService
from crm_api.db.uow import UnitOfWork
from crm_api.vouchers import codes
from crm_api.vouchers.models import VoucherIssue, VoucherLookup, VoucherUpdate
from crm_api.vouchers.reasons import REASONS
from crm_api.vouchers.repository import CampaignRepository, RedemptionRepository, VoucherRepository
from crm_api.vouchers.rules import room

READ = "vouchers:read"
WRITE = "vouchers:write"
BATCH: Final = 500
"""Rows seen to in one unit of the worker's."""

_ISSUED: Final = (
    "id",
    "campaign_id",
    "customer_id",
    "code",
    "expires_at",
    "issued_at",
    "issue_key",
    "occasion",
    "reason",
)


class VoucherService:
    """Vouchers one by one."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = VoucherRepository(unit)
        self.campaigns = CampaignRepository(unit)

    async def give(self, campaign_id: UUID, data: VoucherIssue) -> UUID:
        """Give a customer a voucher; returns its id. Raises as `issue`."""
        self.unit.actor.require(WRITE)
        return await self.issue(campaign_id, data.customer_id, key=data.key, reason=data.reason)

    async def issue(
        self, campaign_id: UUID, customer_id: UUID, *, key: str | None = None, reason: str | None = None
    ) -> UUID:
        """Give a customer a voucher of a campaign: for other domains too, inside their own operations.

        Args:
            campaign_id: of which campaign.
            customer_id: to whom; only they can use it.
            key: the same key gives one voucher, however often.
            reason: for the customer and for the record.

        Raises:
            NotFound: no such campaign or customer.
            Conflict: the campaign has one shared code, is archived or over, or the key was used for another voucher.

        """
        known = None
        if key is not None:
            # Who else came with it at the same moment is waited for, and what they were given is found.
            await RedemptionRepository(self.unit).hold("key", key)
            known = await self.repository.by_issue_key(key)
        if known is not None:
            if (known["campaign_id"], known["customer_id"]) != (campaign_id, customer_id):
                raise _KEY_REUSED
            found: UUID = known["id"]
            return found
        campaign = dict(await self.campaigns.get(campaign_id))
        self._require_giving(campaign)
        await CustomerService(self.unit).require_living(customer_id)
        [voucher_id] = await self._give(campaign, [customer_id], keys=[key], reason=reason)
        return voucher_id

    async def issue_for_occasion(self, campaign_id: UUID, customer_ids: Sequence[UUID], occasion: str) -> None:
        """Give customers who have none for the occasion a voucher each: for birthdays."""
        campaign = dict(await self.campaigns.get(campaign_id))
        keys = [f"{occasion}:{campaign_id}:{customer_id}" for customer_id in customer_ids]
        await self._give(campaign, customer_ids, keys=keys, occasion=occasion)

    async def change(self, voucher_id: UUID, data: VoucherUpdate, *, expected_version: int | None = None) -> None:
        """Take a voucher back, or change when it ends.

        Raises:
            NotFound: there is no such voucher.
            PreconditionFailed: its version is not the expected one.

        """
        self.unit.actor.require(WRITE)
        before = await self.repository.get(voucher_id, lock=True, expected_version=expected_version)
        changes = data.model_dump(include=data.model_fields_set)
        told: dict[str, Any] = {"expiry_told": False} if "expires_at" in changes else {}
        await self.repository.change(voucher_id, {**changes, **told})
        was = {name: str(before[name]) for name in changes}
        after = data.model_dump(mode="json", include=data.model_fields_set)
        self.unit.audit("voucher.updated", "Voucher", voucher_id, before=was, after=after)
        self.unit.emit("voucher.updated", voucher_id, _whose(dict(before)))

    async def find(self, data: VoucherLookup) -> UUID:
        """Return the voucher with a code; a code that cannot exist is refused without asking the database.

        Raises:
            NotFound: ``malformed`` or ``not_found``.

        """
        self.unit.actor.require(READ)
        code = codes.canonical(data.code)
        if not codes.is_possible(code):
            raise _no_voucher("malformed")
        found = await self.repository.by_code(code)
        if found is None:
            raise _no_voucher("not_found")
        return found

    # -- by time -------------------------------------------------------------------------------------------------------

    async def settle_due(self, limit: int = BATCH) -> int:
        """Tell of customers' unused vouchers whose time is over, and write on lapsed locks that they are.

        Returns:
            How many it looked at, of the kind there were more of.

        """
        now = self.unit.now()
        expired = await self.repository.tell_expired(now, limit)
        campaigns = await self.campaigns.by_ids(sorted({each["campaign_id"] for each in expired}))
        for each in expired:
            is_used_up = room(campaigns[each["campaign_id"]]["uses_per_voucher"], each["redeemed"]) == 0
            if each["state"] == "active" and not is_used_up:
                told = {**_whose(each), "expired_at": each["expires_at"].isoformat(), "redeemed": each["redeemed"]}
                self.unit.emit("voucher.expired", each["id"], told)
        lapsed = await RedemptionRepository(self.unit).lapse(now, limit)
        return max(len(expired), lapsed)

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _require_giving(self, campaign: Mapping[str, Any]) -> None:
        if campaign["shared_code"] is not None:
            raise Conflict(
                "The campaign has one code for everybody, so there is nothing to give: tell the customer that code, or "
                "make a campaign without shared_code",
                zh="该活动使用共用券码，无需发放：请直接告知客户，或新建不含 shared_code 的活动",
                code="shared_code",
            )
        is_over = campaign["ends_at"] is not None and campaign["ends_at"] <= self.unit.now()
        if campaign["state"] == "archived" or is_over:
            raise Conflict(
                "The campaign is over: a voucher of it would never apply",
                zh="活动已结束，无法再发放优惠券",
                code="campaign_over",
            )

    async def _give(
        self,
        campaign: Mapping[str, Any],
        customer_ids: Sequence[UUID],
        *,
        keys: Sequence[str | None],
        occasion: str | None = None,
        reason: str | None = None,
    ) -> list[UUID]:
        now = self.unit.now()
        days = campaign["valid_days"]
        expires_at = None if days is None else now + timedelta(days=days)
        rows = [
            (
                new_id(),
                campaign["id"],
                customer_id,
                codes.generate(campaign["prefix"], campaign["code_length"]),
                expires_at,
                now,
                key,
                occasion,
                reason,
            )
            for customer_id, key in zip(customer_ids, keys, strict=True)
        ]
        await self.repository.issue(_ISSUED, rows)
        await self.campaigns.add_vouchers(campaign["id"], len(rows))
        for voucher_id, _, customer_id, *_ in rows:
            # Never the code: messages are read by many, and it is as good as money.
            told = {"campaign_id": str(campaign["id"]), "customer_id": str(customer_id), "occasion": occasion}
            self.unit.emit("voucher.issued", voucher_id, told)
            self.unit.audit("voucher.issued", "Voucher", voucher_id, after={**told, "reason": reason})
        return [row[0] for row in rows]


def _whose(row: Mapping[str, Any]) -> dict[str, Any]:
    customer_id = row["customer_id"]
    return {
        "campaign_id": str(row["campaign_id"]),
        "customer_id": None if customer_id is None else str(customer_id),
    }


def _no_voucher(reason: str) -> NotFound:
    return NotFound(REASONS[reason].en, zh=REASONS[reason].zh, code=reason)


_KEY_REUSED: Final = Conflict("The key was used for another voucher", zh="该键已用于其他优惠券", code="key_reused")
