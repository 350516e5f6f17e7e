"""Whether a voucher can be used at all: by its own state, its campaign's, the time, and what is left of the limits."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from crm_api.vouchers.rules import Candidate, Offer, room

Row = Mapping[str, Any]

_CLOSED = {"paused": "campaign_paused", "archived": "campaign_archived"}


def refusal(voucher: Row, campaign: Row, customer_id: UUID | None, now: datetime) -> str | None:
    """Return why a voucher cannot be used now, whatever the cart is (a code of `reasons`); None when it can.

    The campaign's rule is not asked here.
    """
    return (
        _CLOSED.get(campaign["state"])
        or _out_of_time(voucher, campaign, now)
        or _used_up(voucher, campaign)
        or _not_theirs(voucher, campaign, customer_id)
    )


def _out_of_time(voucher: Row, campaign: Row, now: datetime) -> str | None:
    if voucher["state"] == "void":
        return "void"
    if campaign["starts_at"] is not None and now < campaign["starts_at"]:
        return "not_started"
    if campaign["ends_at"] is not None and campaign["ends_at"] <= now:
        return "ended"
    return "expired" if voucher["expires_at"] is not None and voucher["expires_at"] <= now else None


def _used_up(voucher: Row, campaign: Row) -> str | None:
    limit = campaign["uses_per_voucher"]
    if room(limit, voucher["redeemed"]) == 0:
        return "used"
    return "locked" if room(limit, voucher["redeemed"] + voucher["locked"]) == 0 else None


def _not_theirs(voucher: Row, campaign: Row, customer_id: UUID | None) -> str | None:
    owner = voucher["customer_id"]
    depends = (owner, campaign["uses_per_customer"], campaign["rule"])
    if customer_id is None:
        return "customer_required" if any(each is not None for each in depends) else None
    return "not_yours" if owner is not None and owner != customer_id else None


def candidate(code: str, voucher: Row, campaign: Row, refused: str | None) -> Candidate:
    """Return a voucher as the arithmetic sees it."""
    return Candidate(
        code,
        offer_of(campaign),
        refused,
        total_room=room(campaign["uses_total"], campaign["redeemed"] + voucher["campaign_locked"]),
        customer_room=room(campaign["uses_per_customer"], voucher["customer_used"]),
    )


def offer_of(campaign: Row) -> Offer:
    """Return what a campaign's vouchers give."""
    return Offer(
        campaign=str(campaign["id"]),
        kind=campaign["kind"],
        currency=campaign["currency"],
        amount_off=campaign["amount_off"] or 0,
        basis_points=campaign["basis_points"] or 0,
        max_discount=campaign["max_discount"],
        gift_sku=campaign["gift_sku"],
        gift_quantity=campaign["gift_quantity"] or 1,
        skus=frozenset(campaign["skus"]),
        categories=frozenset(campaign["categories"]),
        excluded_skus=frozenset(campaign["excluded_skus"]),
        excluded_categories=frozenset(campaign["excluded_categories"]),
        min_amount=campaign["min_amount"],
        min_quantity=campaign["min_quantity"],
        priority=campaign["priority"],
        exclusive=campaign["exclusive"],
        group=campaign["stacking_group"],
    )
