"""What a shop decides about patterns: pure rules."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from crm_api.core.errors import FieldError, Invalid
from crm_api.patterns.models import PatternSettingsUpdate

BOUGHT: Final = ("paid", "shipped", "completed")
"""Statuses of a purchase, as for purchase facts."""
MAX_FAVOURITES: Final = 5
MAX_INTERESTS: Final = 10
CART_WEIGHT: Final = 5
"""Looks that putting something into the cart counts as."""
MAX_BASKET: Final = 200
"""Different things in a basket; a larger one (a wholesaler's) says little of any pair and would be 19,900 of them."""


@dataclass(frozen=True, slots=True)
class PatternSettings:
    """Thresholds and windows; see the wire model for what each means.

    Attributes:
        half_life_days: of a purchase's weight.
        min_purchase_days: days with a purchase from which on cycle and sensitivity are told.
        coverage_percent: wanted of the interval of the next purchase.
        medium_percent: share of spend on discount from which sensitivity is medium.
        high_percent: share from which it is high.
        interest_days: how long a look counts.
        basket_days: how far back things bought together are looked for.
        min_baskets: baskets a pair must be in.
        min_support: share of all baskets a pair must be in.

    """

    half_life_days: int = 180
    min_purchase_days: int = 3
    coverage_percent: int = 80
    medium_percent: int = 30
    high_percent: int = 60
    interest_days: int = 90
    basket_days: int = 365
    min_baskets: int = 5
    min_support: float = 0.0001

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "PatternSettings":
        """Make them from a row or a preset; what is missing is as by default."""
        return cls(**{each.name: values[each.name] for each in fields(cls) if each.name in values})

    def changed(self, data: PatternSettingsUpdate) -> "PatternSettings":
        """Return them with the fields that were given.

        Raises:
            Invalid: the thresholds of sensitivity would not rise.

        """
        made = replace(self, **data.model_dump(include=data.model_fields_set))
        if made.medium_percent >= made.high_percent:
            raise Invalid(errors=[_NOT_RISING])
        return made

    def of_customers(self) -> tuple[float, ...]:
        """Return what customers' own patterns depend on."""
        return (
            self.half_life_days,
            self.min_purchase_days,
            self.coverage_percent,
            self.medium_percent,
            self.high_percent,
            self.interest_days,
        )

    def told(self) -> dict[str, Any]:
        """Return them as plain JSON."""
        return asdict(self)


DEFAULTS: Final = PatternSettings()

_NOT_RISING = FieldError(
    "/high_percent",
    "out_of_order",
    "`high_percent` must be greater than `medium_percent`: send both when you move one beyond the other",
    "high_percent 必须大于 medium_percent：若一个越过另一个，请同时提交两者",
)
