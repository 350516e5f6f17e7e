"""The one list of domains, low to high: only this module knows them all."""

from crm_api.accounts import tables as _accounts
from crm_api.customers import tables as _customers
from crm_api.db import tables as _db

TABLES = (_db, _accounts, _customers)
