"""Vouchers at a checkout: validated, locked for it, redeemed for its order, rolled back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from crm_api.catalogue.service import ProductService
from crm_api.core.errors import Conflict, FieldError, Invalid, NotFound
from crm_api.core.ids import new_id
from crm_api.customers.service import CustomerService
from crm_api.db.uow import UnitOfWork
from crm_api.vouchers import checks, codes
from crm_api.vouchers.models import (
    RedemptionRollback,
    VoucherCart,
    VoucherLock,
    VoucherRedeem,
    VoucherRelease,
    VoucherRollback,
    VoucherValidate,
)
from crm_api.vouchers.reasons import REASONS
from crm_api.vouchers.repository import CampaignRepository, RedemptionRepository, VoucherRepository, is_eligible
from crm_api.vouchers.rules import Candidate, Cart, CartLine, Outcome, next_state, settle
from crm_api.vouchers.service import READ, WRITE

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Weighed:
    """Vouchers held against a cart.

    Attributes:
        cart: the cart.
        codes: as they were sent.
        vouchers: of each code, None when there is none.
        campaigns: by id.
        outcomes: of each code.

    """

    cart: Cart
    codes: Sequence[str]
    vouchers: Sequence[Row | None]
    campaigns: Mapping[UUID, Row]
    outcomes: Sequence[Outcome]


class VoucherCheckoutService:
    """Vouchers at a checkout. `repository` says in which order things are locked, and why counts are exact."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.uses = RedemptionRepository(unit)
        self.campaigns = CampaignRepository(unit)

    async def validate(self, data: VoucherValidate) -> dict[str, Any]:
        """Return what vouchers would do to a cart, as `VoucherValidation`; nothing is changed or set aside.

        Raises:
            NotFound: there is no such customer.

        """
        self.unit.actor.require(READ)
        if data.customer_id is not None:
            await CustomerService(self.unit).require_living(data.customer_id)
        return _told(await self._weigh(data.codes, data.customer_id, data.session_id, data.cart))

    async def lock(self, data: VoucherLock) -> list[UUID]:
        """Set vouchers aside for a checkout, all of them or none; returns the uses' ids.

        The same session extends its own locks, and what it does not name any more is free again.

        Raises:
            NotFound: there is no such customer.
            Conflict: not all of them are applicable; ``errors`` name each with its reason.

        """
        self.unit.actor.require(WRITE)
        if data.customer_id is not None:
            await CustomerService(self.unit).require_living(data.customer_id)
        await self.uses.hold("session", data.session_id)
        held = await self.uses.of_session(data.session_id)
        weighed = await self._weigh(data.codes, data.customer_id, data.session_id, data.cart, held=held)
        _require_applicable(weighed)
        until = self.unit.now() + timedelta(seconds=data.seconds)
        values = {"customer_id": data.customer_id, "session_id": data.session_id, "locked_until": until}
        ids = await self._write(weighed, held, "lock", values)
        for use_id, voucher, outcome in zip(ids, weighed.vouchers, weighed.outcomes, strict=True):
            self._tell("voucher.locked", use_id, voucher, outcome, {**values, "locked_until": until.isoformat()})
        return ids

    async def release(self, data: VoucherRelease) -> int:
        """Free what a checkout has locked; returns how many vouchers. Again, nothing happens."""
        self.unit.actor.require(WRITE)
        await self.uses.hold("session", data.session_id)
        held = await self.uses.of_session(data.session_id)
        await self._release(held)
        return len(held)

    async def redeem(self, data: VoucherRedeem) -> list[UUID]:
        """Use vouchers for an order, all of them or none; returns the uses' ids.

        The same order with the same vouchers has its effect once: the first uses are returned again.

        Raises:
            NotFound: there is no such customer.
            Invalid: without a cart only what the session has locked can be redeemed.
            Conflict: not all of them are applicable, one that the session has locked was taken back since, or the
                order has redeemed others.

        """
        self.unit.actor.require(WRITE)
        if data.customer_id is not None:
            await CustomerService(self.unit).require_living(data.customer_id)
        await self.uses.hold("order", data.order_ref)
        before = [each for each in await self.uses.of_order(data.order_ref) if each["state"] == "redeemed"]
        if before:
            return await self._redeemed_before(before, data.codes)
        held: list[Any] = []
        if data.session_id is not None:
            await self.uses.hold("session", data.session_id)
            held = await self.uses.of_session(data.session_id)
        values = {"session_id": data.session_id, "order_ref": data.order_ref, "redeemed_at": self.unit.now()}
        if data.cart is None:
            return await self._redeem_as_locked(data.codes, held, values)
        weighed = await self._weigh(data.codes, data.customer_id, data.session_id, data.cart, held=held)
        _require_applicable(weighed)
        ids = await self._write(weighed, held, "redeem", {**values, "customer_id": data.customer_id})
        await self._count([each for each in weighed.vouchers if each is not None], 1)
        told = {"customer_id": data.customer_id, "order_ref": data.order_ref}
        for use_id, voucher, outcome in zip(ids, weighed.vouchers, weighed.outcomes, strict=True):
            self._tell("voucher.redeemed", use_id, voucher, outcome, told)
        return ids

    async def roll_back_order(self, data: VoucherRollback) -> list[UUID]:
        """Give an order's vouchers back: their uses count no more. Again, nothing happens; returns the uses' ids.

        Raises:
            NotFound: the order has redeemed no voucher.

        """
        self.unit.actor.require(WRITE)
        await self.uses.hold("order", data.order_ref)
        rows = [each for each in await self.uses.of_order(data.order_ref) if each["state"] in _ONCE_REDEEMED]
        if not rows:
            raise NotFound("The order has redeemed no voucher", zh="该订单未使用优惠券")
        await self._roll_back([each for each in rows if each["state"] == "redeemed"], data.reason)
        return [each["id"] for each in rows]

    async def roll_back(self, redemption_id: UUID, data: RedemptionRollback | None = None) -> None:
        """Give one voucher of an order back. Again, nothing happens.

        Raises:
            NotFound: there is no such use.
            Conflict: it is a lock, which is released and not rolled back.

        """
        self.unit.actor.require(WRITE)
        seen = await self.uses.get(redemption_id)
        if seen["state"] not in _ONCE_REDEEMED:
            raise Conflict(
                "It was not redeemed: release the session's locks with POST /v1/vouchers/locks/release",
                zh="该优惠券尚未核销：请通过 POST /v1/vouchers/locks/release 释放",
                code="not_redeemed",
            )
        await self.uses.hold("order", seen["order_ref"])
        now = dict(await self.uses.get(redemption_id))
        if now["state"] == "redeemed":
            await self._roll_back([now], data.reason if data is not None else None)

    # -- weighing ------------------------------------------------------------------------------------------------------

    async def _weigh(
        self,
        sent: Sequence[str],
        customer_id: UUID | None,
        session: str | None,
        data: VoucherCart,
        *,
        held: Sequence[Row] | None = None,
    ) -> _Weighed:
        """Hold vouchers against a cart; with what the session ``held`` the campaigns are locked first."""
        plain = [codes.canonical(each) for each in sent]
        possible = [each for each in plain if codes.is_possible(each)]
        campaigns: Mapping[UUID, Row] = {}
        standing: Mapping[str, Row] = {}
        if possible:
            ids = {*await self.campaigns.of_codes(possible), *(each["campaign_id"] for each in held or ())}
            # Only what is read while the campaigns are held is sure to stand when this commits.
            campaigns = await self.campaigns.by_ids(sorted(ids), lock=held is not None)
            standing = await self.uses.standing(possible, self.unit.now(), session, customer_id)
        cart = await self._cart(data, campaigns.values())
        candidates = [
            await self._candidate(code, standing.get(code), campaigns, customer_id, is_possible=code in possible)
            for code in plain
        ]
        return _Weighed(cart, sent, [standing.get(code) for code in plain], campaigns, settle(cart, candidates))

    async def _candidate(
        self,
        code: str,
        voucher: Row | None,
        campaigns: Mapping[UUID, Row],
        customer_id: UUID | None,
        *,
        is_possible: bool,
    ) -> Candidate:
        if voucher is None or voucher["campaign_id"] not in campaigns:
            return Candidate(code, None, "not_found" if is_possible else "malformed")
        campaign = campaigns[voucher["campaign_id"]]
        refused = checks.refusal(voucher, campaign, customer_id, self.unit.now())
        if refused is None and campaign["rule"] is not None and customer_id is not None:
            refused = await self._refused_by_rule(campaign["rule"], customer_id)
        return checks.candidate(code, voucher, campaign, refused)

    async def _refused_by_rule(self, rule: Mapping[str, Any], customer_id: UUID) -> str | None:
        try:
            return None if await is_eligible(self.unit, rule, customer_id) else "customer_not_eligible"
        except Invalid:
            return "rule_broken"

    async def _cart(self, data: VoucherCart, campaigns: Any) -> Cart:
        """Return the cart, with the categories of known products where campaigns ask for them."""
        known: Mapping[str, Any] = {}
        unsaid = [item.sku for item in data.items if item.category is None]
        if unsaid and any(each["categories"] or each["excluded_categories"] for each in campaigns):
            products = await ProductService(self.unit).by_skus(unsaid)
            known = {sku: product.category for sku, product in products.items()}
        lines = (
            CartLine(item.sku, item.quantity, item.unit_price, item.category or known.get(item.sku))
            for item in data.items
        )
        return Cart(data.currency, tuple(lines), data.shipping)

    # -- writing -------------------------------------------------------------------------------------------------------

    async def _write(
        self, weighed: _Weighed, held: Sequence[Row], step: Literal["lock", "redeem"], values: Mapping[str, Any]
    ) -> list[UUID]:
        """Write uses, on the session's own locks where there are any, and free its other locks; returns their ids."""
        mine = {each["voucher_id"]: each for each in held}
        fresh, ids = [], []
        for voucher, outcome in zip(weighed.vouchers, weighed.outcomes, strict=True):
            assert voucher is not None  # noqa: S101 - all are applicable
            lock = mine.pop(voucher["id"], None)
            row = {
                **values,
                "state": next_state(None if lock is None else lock["state"], step),
                "position": outcome.position,
                "currency": weighed.cart.currency,
                "discount_amount": outcome.discount,
                "shipping_discount": outcome.shipping_discount,
                "line_discounts": list(outcome.line_discounts),
            }
            if lock is not None:
                await self.uses.change(lock["id"], row)
                ids.append(lock["id"])
                continue
            ids.append(new_id())
            fresh.append({"id": ids[-1], "campaign_id": voucher["campaign_id"], "voucher_id": voucher["id"], **row})
        if fresh:
            await self.uses.insert_many(fresh)
        await self._release(list(mine.values()))
        return ids

    async def _redeem_as_locked(self, sent: Sequence[str], held: Sequence[Row], values: Row) -> list[UUID]:
        await self.campaigns.by_ids(sorted({each["campaign_id"] for each in held}), lock=True)
        # The time is looked at only now: while this waited, a lock may have lapsed and somebody else come first.
        now = self.unit.now()
        live = {each["code"]: each for each in held if each["locked_until"] > now}
        wanted = [codes.canonical(each) for each in sent]
        if set(wanted) != live.keys():
            raise _CART_REQUIRED
        # The terms are the lock's, but what was taken back since is nobody's any more.
        _refuse(["void" if live[code]["voucher_state"] == "void" else None for code in wanted])
        rows = [live[code] for code in dict.fromkeys(wanted)]
        for each in rows:
            await self.uses.change(each["id"], {**values, "state": next_state(each["state"], "redeem")})
        await self._count([{"id": each["voucher_id"], "campaign_id": each["campaign_id"]} for each in rows], 1)
        await self._release([each for each in held if each["code"] not in live])
        for each in rows:
            self._tell_of(each, "voucher.redeemed", values["order_ref"])
        return [each["id"] for each in rows]

    async def _redeemed_before(self, before: Sequence[Row], sent: Sequence[str]) -> list[UUID]:
        plain = {codes.canonical(each) for each in sent}
        vouchers = await VoucherRepository(self.unit).ids_of(sorted(plain))
        if vouchers != {each["voucher_id"] for each in before}:
            raise Conflict(
                "The order has redeemed other vouchers: roll them back first (POST /v1/vouchers/redemptions/rollback)",
                zh="该订单已核销其他优惠券：请先回滚（POST /v1/vouchers/redemptions/rollback）",
                code="order_redeemed",
            )
        return [each["id"] for each in before]

    async def _roll_back(self, rows: Sequence[Row], reason: str | None) -> None:
        if not rows:
            return
        await self.campaigns.by_ids(sorted({each["campaign_id"] for each in rows}), lock=True)
        for each in rows:
            changes = {"state": next_state(each["state"], "roll_back"), "ended_at": self.unit.now(), "reason": reason}
            await self.uses.change(each["id"], changes)
        await self._count([{"id": each["voucher_id"], "campaign_id": each["campaign_id"]} for each in rows], -1)
        for each in rows:
            self._tell_of(each, "voucher.rolled_back", each["order_ref"])

    async def _release(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        now: datetime = self.unit.now()
        await self.uses.release([each["id"] for each in rows], now)
        for each in rows:
            self._tell_of(each, "voucher.released", None)

    async def _count(self, vouchers: Sequence[Row], change: int) -> None:
        by_campaign: dict[UUID, int] = {}
        for each in vouchers:
            by_campaign[each["campaign_id"]] = by_campaign.get(each["campaign_id"], 0) + change
        await VoucherRepository(self.unit).count({each["id"]: change for each in vouchers})
        await self.campaigns.count(by_campaign)

    # -- telling -------------------------------------------------------------------------------------------------------

    def _tell(self, what: str, use_id: UUID, voucher: Row | None, outcome: Outcome, values: Row) -> None:
        assert voucher is not None  # noqa: S101 - only of applicable vouchers
        self._emit(what, use_id, {**voucher, "voucher_id": voucher["id"], **values, "discount": outcome.discount})

    def _tell_of(self, row: Row, what: str, order_ref: str | None) -> None:
        self._emit(what, row["id"], {**row, "order_ref": order_ref, "discount": row["discount_amount"]})

    def _emit(self, what: str, use_id: UUID, about: Row) -> None:
        told = {
            "redemption_id": str(use_id),
            "campaign_id": str(about["campaign_id"]),
            "customer_id": None if about["customer_id"] is None else str(about["customer_id"]),
            "order_ref": about.get("order_ref"),
            "discount": about["discount"],
        }
        self.unit.emit(what, about["voucher_id"], told)
        self.unit.audit(what, "Voucher", about["voucher_id"], after=told)


_ONCE_REDEEMED: Final = frozenset({"redeemed", "rolled_back"})
_CART_REQUIRED: Final = Invalid.field(
    "/cart",
    "required",
    "Send the cart: the session has not locked exactly these vouchers, or its time is over",
    "请提供 cart：该会话未锁定这些优惠券，或锁定已过期",
)


def _require_applicable(weighed: _Weighed) -> None:
    _refuse([each.reason for each in weighed.outcomes])


def _refuse(reasons: Sequence[str | None]) -> None:
    """Raise if there is a reason against any of the codes sent, in their order."""
    errors = [
        FieldError(f"/codes/{index}", reason, REASONS[reason].en, REASONS[reason].zh)
        for index, reason in enumerate(reasons)
        if reason is not None
    ]
    if errors:
        raise Conflict(
            "Not all of the vouchers can be used: `errors` says why. Nothing was done",
            zh="部分优惠券无法使用，原因见 errors。未作任何更改",
            code="voucher_inapplicable",
            errors=errors,
        )


def _told(weighed: _Weighed) -> dict[str, Any]:
    """Return what was found as `VoucherValidation`."""
    discount = sum(each.discount for each in weighed.outcomes)
    return {
        "currency": weighed.cart.currency,
        "subtotal": weighed.cart.subtotal,
        "shipping": weighed.cart.shipping,
        "discount": discount,
        "total": weighed.cart.total - discount,
        "vouchers": [
            _verdict(code, voucher, weighed, outcome)
            for code, voucher, outcome in zip(weighed.codes, weighed.vouchers, weighed.outcomes, strict=True)
        ],
    }


def _verdict(code: str, voucher: Row | None, weighed: _Weighed, outcome: Outcome) -> dict[str, Any]:
    campaign = None if voucher is None else weighed.campaigns.get(voucher["campaign_id"])
    gift = None
    if campaign is not None and campaign["kind"] == "gift":
        gift = {"sku": campaign["gift_sku"], "quantity": campaign["gift_quantity"]}
    return {
        "code": code,
        "verdict": outcome.verdict,
        "reason": None if outcome.reason is None else {"code": outcome.reason, **REASONS[outcome.reason]._asdict()},
        "voucher_id": None if voucher is None else str(voucher["id"]),
        "campaign_id": None if campaign is None else str(campaign["id"]),
        "kind": None if campaign is None else campaign["kind"],
        "position": outcome.position or None,
        "discount": outcome.discount,
        "shipping_discount": outcome.shipping_discount,
        "line_discounts": list(outcome.line_discounts) or [0] * len(weighed.cart.lines),
        "gift": gift,
    }
