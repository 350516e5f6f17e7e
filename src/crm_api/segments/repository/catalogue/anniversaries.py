"""The yearly return of a day: of dates that rules can name."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Date, Integer, Text, case, cast, func

from crm_api.core.rules import AsOf, RuleField, RuleType
from crm_api.db.rule_values import bind
from crm_api.db.rules import Side, SqlField
from crm_api.orders.tables import customer_purchase_facts
from crm_api.segments.repository.catalogue.parts import CUSTOMERS, ORDERS, Entries, beside

_PREFIX: Final = "anniversaries."


def next_anniversary(day: ColumnElement[Any], as_of: AsOf) -> ColumnElement[Any]:
    """Return the first yearly return of a date from today on, at least a year after it.

    29 February is kept on 28 February in common years, like birthdays: so PostgreSQL adds years to a date.
    """
    today = as_of.today()
    years = func.greatest(bind(today.year, Integer()) - cast(func.extract("year", day), Integer), 1)
    this, following = (cast(day + func.make_interval(count), Date) for count in (years, years + 1))
    return case((this >= bind(today, Date()), this), else_=following)


def _business_day(instant: ColumnElement[Any], as_of: AsOf) -> ColumnElement[Any]:
    return cast(func.timezone(bind(as_of.zone.key, Text()), instant), Date)


def anniversary_field(base: RuleField) -> RuleField:
    """Return the field of a date's next anniversary, in words for the date's own."""
    return RuleField(
        _PREFIX + base.name,
        RuleType.DATE,
        f"Next anniversary of {base.description}",
        f"{base.description_zh or base.description}的下次周年日",
        scope=base.scope,
        archived=base.archived,
    )


def _anniversary(name: str, en: str, zh: str, column: str, scope: str, side: Side | None = None) -> SqlField:
    """Name the next anniversary of an instant: of its business day in the tenant's zone."""
    return SqlField(
        anniversary_field(RuleField(name, RuleType.DATE, en, zh, scope=scope)),
        lambda row: row.c[column],
        side=side,
        dated=lambda row, as_of, _tenant: next_anniversary(_business_day(row.c[column], as_of), as_of),
    )


ANNIVERSARIES: Final[Entries] = (
    _anniversary("created", "the day the customer was entered", "建档", "created_at", CUSTOMERS),
    _anniversary(
        "first_order", "the first purchase", "首次购买", "first_order_at", ORDERS, beside(customer_purchase_facts)
    ),
)
