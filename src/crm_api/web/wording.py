"""Texts of the documentation that follow from what a projection declares; the same on REST and in GraphQL."""

from collections.abc import Mapping
from typing import Final

from crm_api.db.projections import Filter, Projection

COMMON: Final[Mapping[str, str]] = {
    "contact_point_id": "Which of the customer's contact points.",
    "count": "Customers the rule selects.",
    "customers": "The customers of this page.",
    "deleted": "true when the customer is gone.",
    "entries": "The entries of this page, newest first.",
    "expected_version": "Refuse when the version is another.",
    "external_id": "The order's id on its platform, without white space.",
    "entry": "What was booked.",
    "has_more": "Whether rows follow this page.",
    "identity_id": "Which of the customer's identities.",
    "interaction_id": "Which interaction.",
    "next": "Pass as `after` for the next page; null on the last.",
    "platform": "Lower-case name of the platform, such as taobao.",
    "previous": "Pass as `before` for the previous page; null on the first.",
    "sample": "Up to 20 of them, the newest.",
    "tag": "The label itself, without commas.",
    "total": "Rows on all pages; only when asked to count.",
    "verdict": "created, updated, unchanged, or stale (older than what is known).",
}
"""What GraphQL operations take and give beside models, by name: these names mean the same wherever they stand."""


def filter_text(projection: Projection, name: str, how: Filter) -> str:
    """Return what a filter does: its own words, or those of the field it is named after; "" if there are none."""
    field = projection.model.model_fields.get(name)
    if how.description or field is None or not field.description:
        return how.description
    return f"Only with this value. {field.description}"
