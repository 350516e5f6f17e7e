"""Purchase patterns: inputs and wire shapes."""

from datetime import date
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.money import Money

Sensitivity = Literal["low", "medium", "high"]
InterestKind = Literal["product", "category"]
RunKind = Literal["customers", "bought_together"]
RunState = Literal["queued", "running", "completed", "failed"]
Basis = Literal["order", "customer"]

_HALF_LIFE = "Days after which a purchase weighs half as much for favourite categories."
_MIN_DAYS = "Days with a purchase from which on cycle, next purchase and price sensitivity are told."
_COVERAGE = "How sure the interval of the next purchase should be, in percent; few purchases allow less."
_MEDIUM = "Percent of spend on discount from which price sensitivity is medium."
_HIGH = "Percent of spend on discount from which price sensitivity is high."
_INTEREST = "Days a look counts as an interest."
_BASKET = "Days back that are searched for what is bought together."
_MIN_BASKETS = "Baskets two things must be in together to be shown."
_MIN_SUPPORT = "Share of all baskets two things must be in together to be shown, 0–1."


class PatternSettings(Wire):
    """Thresholds and windows of purchase patterns."""

    half_life_days: int = Field(description=_HALF_LIFE, examples=[180])
    min_purchase_days: int = Field(description=_MIN_DAYS, examples=[3])
    coverage_percent: int = Field(description=_COVERAGE, examples=[80])
    medium_percent: int = Field(description=_MEDIUM, examples=[30])
    high_percent: int = Field(description=_HIGH, examples=[60])
    interest_days: int = Field(description=_INTEREST, examples=[90])
    basket_days: int = Field(description=_BASKET, examples=[365])
    min_baskets: int = Field(description=_MIN_BASKETS, examples=[5])
    min_support: float = Field(description=_MIN_SUPPORT, examples=[0.0001])


class PatternSettingsUpdate(Input):
    """Fields to change; a field left out stays. Patterns that depend on them are made anew in the background."""

    model_config = with_examples({"medium_percent": 25, "high_percent": 50})

    half_life_days: int = Field(default=180, ge=7, le=3650, strict=True, description=_HALF_LIFE)
    min_purchase_days: int = Field(default=3, ge=3, le=50, strict=True, description=_MIN_DAYS)
    coverage_percent: int = Field(default=80, ge=50, le=95, strict=True, description=_COVERAGE)
    medium_percent: int = Field(default=30, ge=1, le=99, strict=True, description=_MEDIUM)
    high_percent: int = Field(default=60, ge=2, le=100, strict=True, description=_HIGH)
    interest_days: int = Field(default=90, ge=1, le=400, strict=True, description=_INTEREST)
    basket_days: int = Field(default=365, ge=1, le=3650, strict=True, description=_BASKET)
    min_baskets: int = Field(default=5, ge=2, le=1_000_000, strict=True, description=_MIN_BASKETS)
    min_support: float = Field(default=0.0001, ge=0, le=1, strict=True, description=_MIN_SUPPORT)


class FavouriteCategory(Wire):
    """A category a customer tends to buy."""

    category: str = Field(description="Path from the root of the category tree.", examples=["海鲜/虾"])
    score: float = Field(description="Mean of both shares, 0–1; the list is by it, largest first.", examples=[0.62])
    line_share: float = Field(
        description="Share of the customer's order lines, each weighted by its age.", examples=[0.58]
    )
    spend_share: float | None = Field(
        description="Share of what these lines cost, weighted likewise; null when nothing was paid.", examples=[0.66]
    )
    lines: int = Field(description="Order lines in this category, unweighted.")


class Interest(Wire):
    """Something a customer looked at and has not bought since."""

    kind: InterestKind = Field(description="Whether it is about a product or a category.")
    sku: str | None = Field(description="The product; null for a category.")
    product_id: UUID | None = Field(description="The product, if the catalogue has it; null for a category.")
    category: str | None = Field(description="The category, or that of the product; null when not known.")
    looks: int = Field(description="Looks since the last purchase of it, within the shop's window.")
    cart_adds: int = Field(description="How often it was put into the cart in that time.")
    strength: int = Field(description="Looks, and five for each time it was put into the cart.")
    last_looked_at: Instant = Field(description="When last.")


class CustomerPatterns(Wire):
    """What a customer tends to buy, how much, how often, at what price, and what they look at without buying."""

    customer_id: UUID = Field(description="Whose.")
    purchases: int = Field(description="Orders that are paid, shipped or completed.")
    purchase_days: int = Field(description="Days with a purchase, in the shop's time zone.")
    favourite_categories: list[FavouriteCategory] = Field(description="Up to five, the favourite first.")
    usual_order_value: Money | None = Field(
        description="Median of what purchases brought after refunds, in the customer's main currency."
    )
    usual_order_value_low: Money | None = Field(description="First quartile: a quarter of purchases brought less.")
    usual_order_value_high: Money | None = Field(description="Third quartile: a quarter of purchases brought more.")
    cycle_days: float | None = Field(
        description="Median days from one day with a purchase to the next; null with too few, see `reason`.",
        examples=[28.0],
    )
    cycle_low_days: float | None = Field(description="First quartile of these gaps.", examples=[21.5])
    cycle_high_days: float | None = Field(description="Third quartile of these gaps.", examples=[33.0])
    cycle_dispersion: float | None = Field(
        description="How irregular they are: (third − first quartile) / (third + first); 0 is clockwork.",
        examples=[0.21],
    )
    next_purchase_expected: date | None = Field(
        description="Last day with a purchase plus the median gap; null with too few, see `reason`."
    )
    next_purchase_from: date | None = Field(
        description="Begin of the interval: the last purchase plus one of the customer's own shortest gaps."
    )
    next_purchase_to: date | None = Field(
        description="End of the interval: the last purchase plus one of the customer's own longest gaps."
    )
    next_purchase_coverage: float | None = Field(
        description="Probability that the next purchase falls between both if gaps go on as they were (n gaps, "
        "j left out on either side: (n + 1 − 2j) / (n + 1)).",
        examples=[0.8],
    )
    next_purchase_overdue: bool | None = Field(description="Whether the interval has passed without a purchase.")
    discounted_line_share: float | None = Field(
        description="Share of order lines bought on discount, 0–1; null without any.", examples=[0.4]
    )
    discounted_spend_share: float | None = Field(
        description="Share of spend on lines bought on discount, 0–1; null when nothing was paid.", examples=[0.35]
    )
    price_sensitivity: Sensitivity | None = Field(
        description="By the share of spend and the shop's thresholds; null with too few purchases, see `reason`."
    )
    interests: list[Interest] = Field(
        description="Up to ten products and ten categories looked at and not bought since, strongest first."
    )
    reason: dict[str, Any] | None = Field(
        description="Why there is no cycle, no next purchase and no sensitivity (`code`, `en`, `zh`); null otherwise.",
        examples=[{"code": "too_few_purchases", "en": "…", "zh": "…"}],
    )
    updated_at: Instant | None = Field(description="When these figures last changed; null when there never were any.")

    @classmethod
    def nothing(cls, customer_id: UUID, reason: dict[str, Any]) -> "CustomerPatterns":
        """Return the patterns of somebody who never bought nor looked."""
        empty: dict[str, Any] = dict.fromkeys(cls.model_fields)
        known = {"customer_id": customer_id, "purchases": 0, "purchase_days": 0, "reason": reason}
        return cls(**empty | known | {"favourite_categories": [], "interests": []})


class PatternRunCreate(Input):
    """Something to make anew."""

    model_config = with_examples({"kind": "bought_together"}, {"kind": "customers"})

    kind: RunKind = Field(
        description="`bought_together`: pairs of products and categories; `customers`: everybody's own patterns. Both "
        "are made nightly by themselves."
    )


class PatternRun(Wire):
    """A job that makes patterns anew."""

    id: ResourceId
    kind: RunKind = Field(description="What it makes.")
    state: RunState = Field(description="How far it has come.")
    everyone: bool = Field(description="false: only customers whose patterns time or new settings have changed.")
    as_of: Instant | None = Field(description="What is made holds for this moment; null until it has begun.")
    settings: dict[str, Any] | None = Field(
        description="The shop's settings it goes by; null until it has begun.", examples=[{"basket_days": 365}]
    )
    total: int = Field(description="Customers to look at, or passes over the baskets (4).")
    processed: int = Field(description="Of these, done.")
    figures: dict[str, Any] | None = Field(
        description="What came out. `customers`: `changed`. `bought_together`: for each basis and kind the `baskets`, "
        "the `pairs` stored, and `skipped` baskets of more than 200 different things.",
        examples=[{"order_product": {"baskets": 1000, "pairs": 84, "skipped": 0}}],
    )
    error: str | None = Field(description="Why it failed; null otherwise.")
    started_at: Instant | None = Field(description="Null while it is queued.")
    finished_at: Instant | None = Field(description="Null until it has ended.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class BoughtTogether(Wire):
    """Two products or two categories that are bought together, seen from one of them."""

    id: ResourceId
    basis: Basis = Field(
        description="What a basket is: one order, or all that one customer bought within the shop's window."
    )
    product_id: UUID | None = Field(description="The product it is seen from; null for categories.")
    with_product_id: UUID | None = Field(description="The product bought with it; null for categories.")
    category: str | None = Field(description="The category it is seen from; null for products.")
    with_category: str | None = Field(description="The category bought with it; null for products.")
    baskets: int = Field(description="All baskets with a known product (or category).")
    item_baskets: int = Field(description="Baskets with the first.")
    with_baskets: int = Field(description="Baskets with the second.")
    both_baskets: int = Field(description="Baskets with both.")
    support: float = Field(description="both_baskets / baskets.", examples=[0.012])
    confidence: float = Field(
        description="both_baskets / item_baskets: of those who buy the first, how many buy the second.", examples=[0.31]
    )
    lift: float = Field(
        description="confidence / (with_baskets / baskets): how many times more often than by chance.", examples=[2.4]
    )
    as_of: Instant = Field(description="Counted are orders of the shop's window before this moment.")
