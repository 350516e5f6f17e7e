"""Following a customer's points: what the GraphQL subscription `balanceChanged` tells."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import orjson

from crm_api.core.errors import NotFound
from crm_api.core.messages import Message
from crm_api.db.plans import read_one
from crm_api.loyalty.repository import LOYALTY_ACCOUNT
from crm_api.web.graphql.parts import Call, Subscription

_BALANCES: Final = ("available", "pending", "held", "debt")


class BalanceFollower:
    """Tells an account as it stands, and again whenever a balance of it has changed."""

    behind = False

    def __init__(self) -> None:
        """Nothing has been looked at yet."""
        self._known: dict[str, Any] | None = None

    async def first(self, call: Call) -> Sequence[Any]:
        """Return the account as it stands."""
        return await self._look(call)

    async def next(self, call: Call, _messages: Sequence[Message]) -> Sequence[Any]:
        """Return it as it stands now, if that is news."""
        return await self._look(call)

    async def ended(self, _call: Call) -> bool:
        """Say no: there is always more to come."""
        return False

    async def _look(self, call: Call) -> Sequence[Any]:
        found = await read_one(call.unit, LOYALTY_ACCOUNT, call.id, _BALANCES)
        if found is None:
            raise NotFound
        shown = orjson.loads(found.json)
        if shown == self._known:
            return ()
        self._known = shown
        return (call.id,)


def _concerns(message: Message, customer_id: UUID) -> bool:
    return message.subject_id == customer_id and message.type.startswith("points.")


BALANCE_CHANGED: Final = Subscription(
    BalanceFollower,
    _concerns,
    target="Customer",
    argument="customer_id",
    returns="LoyaltyAccount",
    description="A customer's points as they stand, then whenever a balance changes; of a burst, the last.",
)
