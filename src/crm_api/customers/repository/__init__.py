"""Access to customers and what identifies them."""

from crm_api.customers.repository.bulk import CustomerBulkRepository
from crm_api.customers.repository.claims import ContactClaimRepository
from crm_api.customers.repository.matches import MatchRepository, Owner
from crm_api.customers.repository.owners import Handover, OwnerRepository
from crm_api.customers.repository.projections import CONTACT_POINT, CUSTOMER, IDENTITY
from crm_api.customers.repository.searching import SearchKeyRepository, search_by
from crm_api.customers.repository.single import CustomerRepository

__all__ = [
    "CONTACT_POINT",
    "CUSTOMER",
    "IDENTITY",
    "ContactClaimRepository",
    "CustomerBulkRepository",
    "CustomerRepository",
    "Handover",
    "MatchRepository",
    "Owner",
    "OwnerRepository",
    "SearchKeyRepository",
    "search_by",
]
