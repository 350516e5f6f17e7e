"""What of deliveries becomes of an erasure."""

from crm_api.db.ownership import EraseHook, on_erase
from crm_api.integrations.repository.erasure import erase_deliveries

on_erase(EraseHook("inbound_deliveries", erase_deliveries))
