"""Points on platforms: changes they ask for, and balances they show."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from crm_api.core.errors import Conflict, Invalid, NotFound
from crm_api.core.messages import Message
from crm_api.db.uow import UnitOfWork
from crm_api.integrations import tmall, wechat_card
from crm_api.integrations.commands import ChangePoints
from crm_api.integrations.repository import MemberRepository
from crm_api.loyalty.models import RedemptionCreate
from crm_api.loyalty.service import LoyaltyService, Source

POINTS_CHANGED: Final = frozenset(
    f"points.{what}"
    for what in (
        "granted",
        "released",
        "redeemed",
        "restored",
        "reversed",
        "adjusted",
        "expired",
        "held",
        "posted",  # in part: the others are available again
        "unheld",
        "transferred",
        "merged",
        "unmerged",
    )
)
"""Types of messages after which a customer may have another balance."""


class PointChanges:
    """Changes that a platform asks for."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.members = MemberRepository(unit)

    async def book(self, asked: ChangePoints) -> dict[str, Any]:
        """Book a change once, however often it is asked for, and return the answer to call the platform with.

        What is given is a grant, what is taken a redemption: both can be undone. Too few points, nobody with this
        identity, a record told with other points before, or whatever else the ledger refuses, is an answer too: the
        platform waits for one.
        """
        customer_id = await self.members.customer_of(asked.platform, asked.external_id)
        if customer_id is None:
            return tmall.answer(asked, 0, "E01")
        try:
            async with self.unit.savepoint():
                await self._book(customer_id, asked)
        except (Conflict, Invalid, NotFound):
            return tmall.answer(asked, await self.members.balance(customer_id), "E05")
        return tmall.answer(asked, await self.members.balance(customer_id))

    async def _book(self, customer_id: UUID, asked: ChangePoints) -> None:
        ledger, key = LoyaltyService(self.unit), f"{asked.platform}:{asked.record_id}"
        reason = asked.reason or asked.platform
        if asked.points > 0:
            source = Source("platform")
            await ledger.grant(customer_id, asked.points, key=key, source=source, reason=reason)
        else:
            data = RedemptionCreate(points=-asked.points, reason=reason)
            await ledger.redeem(customer_id, data, key=key)


class MemberCards:
    """Cards that show a balance."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.members = MemberRepository(unit)

    async def follow(self, messages: Sequence[Message]) -> None:
        """Tell what is due to be sent for customers with a card: the last change of each, with the balance now."""
        latest = {
            each.subject_id: UUID(each.payload["transaction_id"])
            for each in messages
            if each.payload.get("kind", "spendable") == "spendable"
        }
        cards = await self.members.identities(wechat_card.PLATFORM, list(latest)) if latest else {}
        for customer_id, external_ids in sorted(cards.items()):
            balance = await self.members.balance(customer_id)
            for card in filter(None, map(wechat_card.card_of, external_ids)):
                request = wechat_card.update(card, latest[customer_id], balance)
                self.unit.emit(wechat_card.DUE, customer_id, request)
