"""What can go wrong with customers."""

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

from crm_api.core.errors import Conflict, Locale


class ContactPointTaken(Conflict):
    """Another living customer has proved this contact point."""

    code = "contact_point_taken"
    title: ClassVar[Mapping[Locale, str]] = {
        "en": "Another customer has verified this contact point",
        "zh": "此联系方式已由其他客户验证",
    }

    def __init__(self, owner_id: UUID | None) -> None:
        """Name the other customer, unless it has just gone."""
        known = None if owner_id is None else str(owner_id)
        super().__init__(
            f"Customer {known} has verified this contact point: merge the two, or remove it there" if known else None,
            zh=f"客户 {known} 已验证此联系方式：请合并客户，或先在该客户处移除" if known else None,
            extra={"customer_id": known},
        )


class AlreadyVerified(Conflict):
    """This customer has proved it already."""

    code = "already_verified"
    title: ClassVar[Mapping[Locale, str]] = {
        "en": "This contact point is verified already",
        "zh": "此联系方式已验证",
    }


class NotVerifiable(Conflict):
    """A masked account is many people's."""

    code = "not_verifiable"
    title: ClassVar[Mapping[Locale, str]] = {
        "en": "A masked account cannot be verified: many people share it",
        "zh": "脱敏账号无法验证：可能由多人共用",
    }
