"""What of imported rows becomes of an erasure."""

from crm_api.db.ownership import EraseHook, on_erase
from crm_api.exchange.repository.erasure import erase_rows

on_erase(EraseHook("import_rows", erase_rows))
