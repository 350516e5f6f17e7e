"""Which channel serves what, templates of providers, and when to try again: pure rules."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from crm_api.channels.models import AddressKind, ChannelKind, SmsSettings, SmtpSettings
from crm_api.core.errors import FieldError, Invalid

SERVES: Final[Mapping[ChannelKind, tuple[AddressKind, ...]]] = {
    "smtp": ("email",),
    "sms": ("mobile",),
    "local": (
        "mobile",
        "landline",
        "email",
        "wechat_openid",
        "wechat_unionid",
        "wecom_external_userid",
        "taobao_buyer",
        "douyin_open_id",
        "weibo",
    ),
}
"""Kind of channel → kinds of addresses it reaches."""

PAUSES: Final = (10, 30, 120, 600, 1_800)
"""Seconds before each further attempt; after the last one the message has failed."""

ATTEMPTS: Final = len(PAUSES) + 1

PLACES: Final = frozenset({"to", "to_digits", "to_national", "body", "code", "message_id", "secret"})
"""What a provider's template may hold; ``{code}`` is empty in messages without one."""

_PLACE = re.compile(r"\{([a-z_]+)\}")
_MAX_LEAVES = 200


def leaves(template: Any) -> list[str]:
    """Return all texts in a template, names of members included."""
    if isinstance(template, str):
        return [template]
    if isinstance(template, Mapping):
        return [text for name, each in template.items() for text in (name, *leaves(each))]
    if isinstance(template, list):
        return [text for each in template for text in leaves(each)]
    return []


def filled(template: Any, values: Mapping[str, str]) -> Any:
    """Return the template with values in its places; only texts are looked at, so no value can change the shape."""
    if isinstance(template, str):
        return _PLACE.sub(lambda found: values.get(found[1], found[0]), template)
    if isinstance(template, Mapping):
        return {name: filled(each, values) for name, each in template.items()}
    if isinstance(template, list):
        return [filled(each, values) for each in template]
    return template


def carries_text(kind: ChannelKind, settings: Mapping[str, Any]) -> bool:
    """Tell whether a channel carries any text: a provider's template without ``{body}`` is for one-time codes."""
    return kind != "sms" or any("{body}" in each for each in leaves(settings["body"]))


def check_settings(kind: ChannelKind, smtp: SmtpSettings | None, sms: SmsSettings | None, *, has_secret: bool) -> None:
    """Refuse settings that do not fit the kind, or that need a secret there is none of.

    Raises:
        Invalid: names each part.

    """
    errors = []
    for name, given in (("smtp", smtp), ("sms", sms)):
        if kind == name and given is None:
            errors.append(
                FieldError(f"/{name}", "required", f"A channel of this kind needs {name}", f"此类渠道必须提供 {name}")
            )
        if kind != name and given is not None:
            errors.append(
                FieldError(
                    f"/{name}", "not_this_kind", f"Only channels of kind {name} have it", f"仅 {name} 类渠道可用"
                )
            )
    if smtp is not None and kind == "smtp":
        errors += _smtp_errors(smtp, has_secret=has_secret)
    if sms is not None and kind == "sms":
        errors += _sms_errors(sms, has_secret=has_secret)
    if errors:
        raise Invalid(errors=errors)


_NO_SECRET = FieldError("/secret", "required", "These settings need the secret", "此配置需要提供密钥")


def _smtp_errors(smtp: SmtpSettings, *, has_secret: bool) -> list[FieldError]:
    errors = []
    if smtp.username is not None and not has_secret:
        errors.append(_NO_SECRET)
    if smtp.username is not None and smtp.security == "none":
        text = "A password is only sent encrypted: use starttls or tls"
        errors.append(FieldError("/smtp/security", "not_encrypted", text, "密码只能加密发送：请使用 starttls 或 tls"))
    return errors


def _sms_errors(sms: SmsSettings, *, has_secret: bool) -> list[FieldError]:
    errors = []
    texts = [*leaves(sms.body), *sms.headers.values()]
    if len(texts) > _MAX_LEAVES:
        errors.append(FieldError("/sms/body", "too_many", f"At most {_MAX_LEAVES} texts", f"文本最多 {_MAX_LEAVES} 个"))
    used = {name for text in texts for name in _PLACE.findall(text)}
    for name in sorted(used - PLACES):
        text = f"There is no place {{{name}}}; there are {', '.join(sorted(PLACES))}"
        errors.append(FieldError("/sms/body", "unknown_place", text, f"未知占位符 {{{name}}}"))
    if sms.encoding == "form" and any(not isinstance(each, str) for each in sms.body.values()):
        errors.append(FieldError("/sms/body", "wrong_type", "A form holds texts only", "表单只能包含文本"))
    if sms.success_pointer is not None and not sms.success_values:
        errors.append(
            FieldError("/sms/success_values", "required", "Say which values mean success", "请提供表示成功的值")
        )
    if ("secret" in used or sms.basic_user or sms.signature != "none") and not has_secret:
        errors.append(_NO_SECRET)
    return errors


def check_defaults(kind: ChannelKind, wanted: list[AddressKind]) -> None:
    """Raise Invalid when a channel shall be taken for what it cannot reach."""
    errors = [
        FieldError(
            f"/default_for/{index}",
            "not_served",
            f"A channel of kind {kind} does not reach {each}",
            f"{kind} 类渠道无法送达 {each}",
        )
        for index, each in enumerate(wanted)
        if each not in SERVES[kind]
    ]
    if errors:
        raise Invalid(errors=errors)


def address_to_try(kind: ChannelKind, to: str) -> tuple[AddressKind, str]:
    """Return kind and normal form of the address of a test message.

    Raises:
        Invalid: the channel cannot reach it.

    """
    if kind == "smtp" or (kind == "local" and "@" in to):
        try:
            return "email", validate_email(to, check_deliverability=False).normalized.lower()
        except EmailNotValidError as error:
            raise Invalid.field("/to", "invalid_email", str(error), "这不是有效的邮箱地址") from None
    try:
        number = phonenumbers.parse(to, "CN")
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_valid_number(number):
        raise Invalid.field("/to", "invalid_phone", "This is not a valid phone number", "这不是有效的电话号码")
    return "mobile", phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def phone_places(to: str) -> dict[str, str]:
    """Return the forms of a number that providers ask for; any other address stays as it is."""
    try:
        number = phonenumbers.parse(to, None)
    except phonenumbers.NumberParseException:
        return {"to": to, "to_digits": to, "to_national": to}
    national = str(phonenumbers.national_significant_number(number))
    return {"to": to, "to_digits": to.removeprefix("+"), "to_national": national}


def at_pointer(document: Any, pointer: str) -> Any:
    """Return what a JSON pointer (RFC 6901) leads to, None when there is nothing."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, Mapping):
            document = document.get(name)
        elif isinstance(document, list) and name.isdecimal() and int(name) < len(document):
            document = document[int(name)]
        else:
            return None
    return document


def pause_before(attempts: int, spread: Callable[[float, float], float]) -> float | None:
    """Return the seconds until the next attempt after so many, a fifth more or less; None when it was the last."""
    if attempts > len(PAUSES):
        return None
    return PAUSES[attempts - 1] * spread(0.8, 1.2)
