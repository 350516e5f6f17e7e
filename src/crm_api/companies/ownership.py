"""What becomes of companies' contacts in a merge, an export and an erasure."""

from crm_api.companies.tables import company_contacts
from crm_api.db.ownership import Owned, own

# Of two contacts of today one stays unseen with the merged; those that have ended are history of their own, and move.
own(
    Owned(company_contacts, on_merge="unite", same=("company_id", "until"), erase="delete"),
    Owned(company_contacts, "company_id", on_merge="unite", same=("customer_id", "until"), erase="delete"),
)
