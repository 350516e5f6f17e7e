"""The kinds of things that can be imported, one declaration each."""

from collections.abc import Mapping
from typing import Final

from crm_api.exchange.kinds.base import Kind, Options, Setting, Written
from crm_api.exchange.kinds.customers import COMPANIES, CUSTOMERS
from crm_api.exchange.kinds.orders import ORDERS, REFUNDS
from crm_api.exchange.kinds.others import EVENTS, INTERACTIONS, OPENING_BALANCES, PRODUCTS
from crm_api.exchange.models import ImportKind

KINDS: Final[Mapping[ImportKind, Kind]] = {
    kind.name: kind
    for kind in (CUSTOMERS, COMPANIES, PRODUCTS, ORDERS, REFUNDS, INTERACTIONS, EVENTS, OPENING_BALANCES)
}

__all__ = ["KINDS", "Kind", "Options", "Setting", "Written"]
