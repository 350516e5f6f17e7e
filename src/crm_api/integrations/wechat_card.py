"""WeChat's member card (微信会员卡): the balance shown on the card follows the ledger.

The card shows a balance that the merchant sends. This module makes the request of WeChat Pay's "同步积分余额"
(``POST /v3/brand/partner/card-member/user-points/sync``: ``out_request_no``, ``brand_id``, ``card_id``, ``openid``,
``user_card_code``, ``point_balance``); signing and sending it is for an adapter outside that hears `DUE`. The absolute
balance is sent, so a lost request is mended by the next one, and ``out_request_no`` is made of the ledger's transaction
and the card: sent again it is the same request, and no two changes share one. The shape is that of the public
description; nothing here was tried against WeChat itself.

A customer has a card when they have an identity of platform ``wechat_card`` whose outside id is
``card_id:user_card_code:openid``.
"""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid5

PLATFORM: Final = "wechat_card"
METHOD: Final = "POST"
PATH: Final = "/v3/brand/partner/card-member/user-points/sync"
DUE: Final = "wechat_card.update_due"
"""Type of the message that carries the request; the subject is the customer."""

_PARTS: Final = 3


@dataclass(frozen=True, slots=True)
class Card:
    """A customer's card, as WeChat names it."""

    card_id: str
    user_card_code: str
    openid: str


def card_of(external_id: str) -> Card | None:
    """Return the card an outside id names; None when it does not name one."""
    parts = external_id.split(":")
    return Card(*parts) if len(parts) == _PARTS and all(parts) else None


def update(card: Card, transaction_id: UUID, balance: int) -> dict[str, Any]:
    """Return the request that shows a balance on a card: ``{"method", "path", "body"}``, without the ``brand_id``.

    Args:
        card: the customer's.
        transaction_id: what changed the balance.
        balance: points available after it, 0 or more.

    """
    body = {
        "out_request_no": uuid5(transaction_id, f"{card.card_id}:{card.user_card_code}").hex,
        "card_id": card.card_id,
        "openid": card.openid,
        "user_card_code": card.user_card_code,
        "point_balance": balance,
    }
    return {"method": METHOD, "path": PATH, "body": body}
