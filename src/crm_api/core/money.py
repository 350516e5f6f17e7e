"""Money: integer minor units and an ISO 4217 currency.

Minor digits per currency come from Unicode CLDR through Babel (JPY 0, CNY 2, KWD 3).
"""

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from functools import cache
from typing import Annotated

from babel.core import get_global
from babel.numbers import get_currency_precision
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

MAX_MINOR = 10**15
"""Largest amount accepted, in minor units: far above any order, far below bigint and 2^53."""


@cache
def currencies() -> frozenset[str]:
    """Return the codes that are legal tender somewhere today, by CLDR."""
    today: set[str] = set()
    for entries in get_global("territory_currencies").values():
        today |= {code for code, _start, end, tender in entries if tender and end is None}
    return frozenset(today)


def _known_currency(code: str) -> str:
    if code not in currencies():
        raise PydanticCustomError("unknown_currency", "'{code}' is not a currency in use (ISO 4217)", {"code": code})
    return code


Currency = Annotated[
    str,
    Field(min_length=3, max_length=3, pattern="^[A-Z]{3}$", examples=["CNY"], description="ISO 4217 code."),
    AfterValidator(_known_currency),
]


class Money(BaseModel):
    """An amount in minor units (fen, cents) and its currency."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    amount: int = Field(
        ge=-MAX_MINOR, le=MAX_MINOR, strict=True, examples=[1999], description="Minor units: 1999 is ¥19.99."
    )
    currency: Currency


class PositiveMoney(Money):
    """An amount that is not negative."""

    amount: int = Field(ge=0, le=MAX_MINOR, strict=True, examples=[1999], description="Minor units, 0 or more.")


def to_minor(text: str, currency: str) -> int:
    """Return the minor units of a decimal number in major units.

    Args:
        text: ``29.33``; digits beyond the currency's own are rounded half to even.
        currency: ISO 4217 code.

    Raises:
        ValueError: not a finite decimal number, or too large.

    """
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        msg = f"'{text}' is not a number"
        raise ValueError(msg) from None
    if not value.is_finite() or abs(value) > MAX_MINOR:
        msg = f"'{text}' is not a usable amount"
        raise ValueError(msg)
    scaled = value.scaleb(get_currency_precision(currency))
    minor = int(scaled.to_integral_value(rounding=ROUND_HALF_EVEN))
    if abs(minor) > MAX_MINOR:
        msg = f"'{text}' is too large"
        raise ValueError(msg)
    return minor


def format_money(amount: int, currency: str) -> str:
    """Return the amount in major units with the currency's digits, e.g. ``19.99``."""
    digits = get_currency_precision(currency)
    return f"{Decimal(amount).scaleb(-digits):.{digits}f}"


def minor_per_major(currency: str) -> int:
    """Return how many minor units a major one has: 100 fen to the yuan, 1 to the yen."""
    return int(10 ** get_currency_precision(currency))
