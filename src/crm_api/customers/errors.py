"""What can go wrong with customers."""

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

from crm_api.core.errors import Conflict, FieldError, Locale


class GuardianConsentRequired(Conflict):
    """The birthday is that of a child under 14 whose guardian has not agreed to its being stored."""

    code = "guardian_consent_required"

    def __init__(self, customer_id: UUID | None) -> None:
        """Say what to do first; ``customer_id`` is None when the customer does not exist yet."""
        who = "{id}" if customer_id is None else str(customer_id)
        call = f"POST /v1/customers/{who}/consents"
        first, zh_first = ("", "") if customer_id else ("create the customer without it, ", "先创建不含生日的客户，")
        message = (
            f"The birthday of a customer under 14 takes a guardian's consent: {first}record the consent ({call} with "
            "purpose 'guardian'), then store the birthday"
        )
        zh = f"保存未满 14 周岁客户的生日须先取得监护人同意：{zh_first}通过 {call} 记录用途 guardian 的同意，再保存生日"
        super().__init__(
            message,
            zh=zh,
            errors=[FieldError("/birthday", self.code, message, zh)],
            extra={} if customer_id is None else {"customer_id": who},
        )


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
