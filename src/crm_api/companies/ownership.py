"""What becomes of companies' contacts in a merge, an export and an erasure."""

from crm_api.companies.tables import company_contacts
from crm_api.db.ownership import Owned, own

own(
    Owned(company_contacts, on_merge="unite", same=("company_id",), erase="delete"),
    Owned(company_contacts, "company_id", on_merge="unite", same=("customer_id",), erase="delete"),
)
