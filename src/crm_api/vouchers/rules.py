"""What vouchers take off a cart, and through which states a use goes: pure arithmetic, all amounts in minor units.

Vouchers of one cart apply one after another: by priority (smallest first), then free goods before amounts before
percentages before shipping, then by campaign and code. The order of the request plays no part. Each works on what those
before it have left, of the lines it is for, so no line, and so no cart, ever becomes negative. A voucher's discount is
spread over its lines in proportion to what is left of them, with cumulative rounding: the parts sum to the whole.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["amount", "percent", "gift", "free_shipping"]
Verdict = Literal["applicable", "inapplicable", "skipped"]
UseState = Literal["locked", "redeemed", "rolled_back", "released", "lapsed"]
Step = Literal["lock", "redeem", "release", "lapse", "roll_back"]

KINDS: Final[tuple[Kind, ...]] = ("gift", "amount", "percent", "free_shipping")
"""In the order in which they apply at the same priority."""

WHOLE: Final = 10_000
"""Basis points of 100 %."""

STEPS: Final[Mapping[tuple[UseState | None, Step], UseState]] = {
    (None, "lock"): "locked",
    (None, "redeem"): "redeemed",
    ("locked", "lock"): "locked",
    ("locked", "redeem"): "redeemed",
    ("locked", "release"): "released",
    ("locked", "lapse"): "lapsed",
    ("redeemed", "roll_back"): "rolled_back",
}
"""From a use's state (None: there is none yet) by a step to its next state; every other pair is refused."""

TAKES_USE: Final[frozenset[UseState]] = frozenset({"locked", "redeemed"})
"""States in which a use counts against the limits; a lock only until its time is over."""


def next_state(state: UseState | None, step: Step) -> UseState | None:
    """Return the state after a step, or None when the step is not possible."""
    return STEPS.get((state, step))


def room(limit: int | None, taken: int) -> int | None:
    """Return how many more uses a limit allows: None without a limit, never below 0."""
    return None if limit is None else max(0, limit - taken)


# -- carts -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CartLine:
    """A line of a cart.

    Attributes:
        sku: what.
        quantity: how many, 1 or more.
        unit_price: of one piece, 0 or more.
        category: path such as ``海鲜/虾``, None when unknown.

    """

    sku: str
    quantity: int
    unit_price: int
    category: str | None = None

    @property
    def amount(self) -> int:
        """What the line costs."""
        return self.quantity * self.unit_price


@dataclass(frozen=True, slots=True)
class Cart:
    """What somebody is about to buy.

    Attributes:
        currency: ISO 4217.
        lines: what is in it.
        shipping: freight; None when it is not known yet.

    """

    currency: str
    lines: tuple[CartLine, ...]
    shipping: int | None = None

    @property
    def subtotal(self) -> int:
        """What all lines cost."""
        return sum(line.amount for line in self.lines)

    @property
    def total(self) -> int:
        """Lines and freight."""
        return self.subtotal + (self.shipping or 0)


@dataclass(frozen=True, slots=True)
class Offer:
    """What the vouchers of a campaign give, and for which carts.

    Attributes:
        campaign: the campaign's id as text; breaks ties of the order.
        kind: what is given.
        currency: of the amounts here; None when there are none.
        amount_off: for ``amount``.
        basis_points: for ``percent``: 10000 is 100 %.
        max_discount: at most so much, whatever the kind.
        gift_sku: for ``gift``.
        gift_quantity: how many pieces of it are free.
        skus: only lines with these; empty for any.
        categories: only lines in or below these; empty for any. With ``skus``: either will do.
        excluded_skus: never lines with these.
        excluded_categories: never lines in or below these.
        min_amount: what the lines it is for must cost at least, before any discount.
        min_quantity: how many pieces they must be at least.
        priority: smallest first.
        exclusive: never together with another voucher.
        group: of vouchers with the same one only the first applies.

    """

    campaign: str
    kind: Kind
    currency: str | None = None
    amount_off: int = 0
    basis_points: int = 0
    max_discount: int | None = None
    gift_sku: str | None = None
    gift_quantity: int = 1
    skus: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    excluded_skus: frozenset[str] = frozenset()
    excluded_categories: frozenset[str] = frozenset()
    min_amount: int | None = None
    min_quantity: int | None = None
    priority: int = 100
    exclusive: bool = False
    group: str | None = None

    def covers(self, line: CartLine) -> bool:
        """Tell whether the offer is for a line."""
        if line.sku in self.excluded_skus or _below_any(line.category, self.excluded_categories):
            return False
        if not self.skus and not self.categories:
            return True
        return line.sku in self.skus or _below_any(line.category, self.categories)

    def refuses(self, cart: Cart) -> str | None:
        """Return why a cart as such does not qualify (a code of `reasons`), None when it does."""
        if self.currency is not None and self.currency != cart.currency:
            return "wrong_currency"
        covered = [line for line in cart.lines if self.covers(line)]
        if not covered and (self.skus or self.categories or self.excluded_skus or self.excluded_categories):
            return "no_matching_items"
        if self.min_amount is not None and sum(line.amount for line in covered) < self.min_amount:
            return "below_minimum_amount"
        if self.min_quantity is not None and sum(line.quantity for line in covered) < self.min_quantity:
            return "below_minimum_quantity"
        return None


def _below_any(category: str | None, wanted: frozenset[str]) -> bool:
    """Tell whether a category is one of these, or below one: ``海鲜/虾`` is below ``海鲜``."""
    if category is None or not wanted:
        return False
    steps = category.split("/")
    return any("/".join(steps[:depth]) in wanted for depth in range(1, len(steps) + 1))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A voucher somebody wants to use.

    Attributes:
        code: canonical.
        offer: what it gives; None when the code means nothing.
        refused: why it cannot be used whatever the cart is (a code of `reasons`); None when it can.
        total_room: how many more uses its campaign has; None for any number.
        customer_room: how many more this customer has in the campaign; None for any number.

    """

    code: str
    offer: Offer | None
    refused: str | None = None
    total_room: int | None = None
    customer_room: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of one voucher in a cart.

    Attributes:
        verdict: ``applicable``; ``inapplicable``: not in this cart, by itself; ``skipped``: because of another voucher.
        reason: a code of `reasons`, None when it is applicable.
        position: in which place it applies, from 1; 0 when it does not.
        line_discounts: what comes off each line, in the order of the cart.
        shipping_discount: what comes off the freight.

    """

    verdict: Verdict
    reason: str | None = None
    position: int = 0
    line_discounts: tuple[int, ...] = ()
    shipping_discount: int = 0

    @property
    def discount(self) -> int:
        """What comes off in all."""
        return sum(self.line_discounts) + self.shipping_discount


def order_of(candidate: Candidate) -> tuple[int, int, str, str]:
    """Return the key by which vouchers apply."""
    offer = candidate.offer
    if offer is None:
        return (0, 0, "", candidate.code)
    return (offer.priority, KINDS.index(offer.kind), offer.campaign, candidate.code)


def settle(cart: Cart, candidates: Sequence[Candidate]) -> list[Outcome]:
    """Return what becomes of each voucher, in the order given."""
    bench = _Bench(cart)
    outcomes: dict[int, Outcome] = {}
    for index in sorted(range(len(candidates)), key=lambda index: (order_of(candidates[index]), index)):
        outcomes[index] = bench.take(candidates[index])
    return [outcomes[index] for index in range(len(candidates))]


class _Bench:
    """A cart while vouchers apply to it one after another."""

    def __init__(self, cart: Cart) -> None:
        self.cart = cart
        self.left = [line.amount for line in cart.lines]
        self.shipping_left = cart.shipping or 0
        self.applied: list[Offer] = []
        self.codes: set[str] = set()

    def take(self, candidate: Candidate) -> Outcome:
        """Apply one, if it can be."""
        if candidate.code in self.codes:
            return Outcome("skipped", "repeated")
        self.codes.add(candidate.code)
        offer = candidate.offer
        if candidate.refused is not None or offer is None:
            return Outcome("inapplicable", candidate.refused or "not_found")
        unfit = offer.refuses(self.cart) or self._used_up(candidate, offer)
        if unfit is not None:
            return Outcome("inapplicable", unfit)
        skipped = self._in_the_way(offer)
        return Outcome("skipped", skipped) if skipped is not None else self._apply(offer)

    def _used_up(self, candidate: Candidate, offer: Offer) -> str | None:
        # Several vouchers of one campaign in one cart take from the same limits.
        taken = sum(each.campaign == offer.campaign for each in self.applied)
        if candidate.total_room is not None and taken >= candidate.total_room:
            return "campaign_used_up"
        if candidate.customer_room is not None and taken >= candidate.customer_room:
            return "customer_used_up"
        return None

    def _in_the_way(self, offer: Offer) -> str | None:
        if any(each.exclusive for each in self.applied):
            return "exclusive_applied"
        if offer.exclusive and self.applied:
            return "must_be_alone"
        if offer.group is not None and any(each.group == offer.group for each in self.applied):
            return "group_taken"
        return None

    def _apply(self, offer: Offer) -> Outcome:
        off, shipping = self._worth(offer)
        if sum(off) + shipping == 0 and not self._promises(offer):
            return Outcome("skipped", "nothing_left")
        self.left = [left - taken for left, taken in zip(self.left, off, strict=True)]
        self.shipping_left -= shipping
        self.applied.append(offer)
        return Outcome("applicable", None, len(self.applied), tuple(off), shipping)

    def _promises(self, offer: Offer) -> bool:
        """Tell whether an offer is worth something that the cart does not show yet."""
        if offer.kind == "gift":
            return all(line.sku != offer.gift_sku for line in self.cart.lines)
        return offer.kind == "free_shipping" and self.cart.shipping is None

    def _worth(self, offer: Offer) -> tuple[list[int], int]:
        """Return what comes off each line, and off the freight."""
        if offer.kind == "free_shipping":
            return [0] * len(self.left), _capped(self.shipping_left, offer)
        bases = self._free_goods(offer) if offer.kind == "gift" else self._covered(offer)
        base = sum(bases)
        match offer.kind:
            case "amount":
                wanted = min(offer.amount_off, base)
            case "percent":
                wanted = base * offer.basis_points // WHOLE
            case _:
                wanted = base
        return spread(_capped(wanted, offer), bases), 0

    def _covered(self, offer: Offer) -> list[int]:
        return [left if offer.covers(line) else 0 for line, left in zip(self.cart.lines, self.left, strict=True)]

    def _free_goods(self, offer: Offer) -> list[int]:
        pieces, bases = offer.gift_quantity, []
        for line, left in zip(self.cart.lines, self.left, strict=True):
            free = min(pieces, line.quantity) if line.sku == offer.gift_sku else 0
            pieces -= free
            bases.append(min(free * line.unit_price, left))
        return bases


def _capped(amount: int, offer: Offer) -> int:
    return amount if offer.max_discount is None else min(amount, offer.max_discount)


def spread(amount: int, bases: Iterable[int]) -> list[int]:
    """Spread an amount over bases in proportion, by cumulative rounding down.

    Args:
        amount: 0 up to the sum of the bases.
        bases: none negative.

    Returns:
        A part for each base, at most as large as it; the parts sum to ``amount``.

    """
    bases = list(bases)
    total, so_far, given, parts = sum(bases), 0, 0, []
    for base in bases:
        so_far += base
        upto = amount * so_far // total if total else 0
        parts.append(upto - given)
        given = upto
    return parts
