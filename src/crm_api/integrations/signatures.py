"""Proving that a delivery comes from who holds the source's secret: always over the raw bytes, before any parsing."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from standardwebhooks import Webhook, WebhookVerificationError

from crm_api.core.errors import FieldError, Invalid, Unauthenticated
from crm_api.integrations.models import Platform

STANDARD_PREFIX = "whsec_"


class BadSignature(Unauthenticated):
    """The signature is missing, stale or wrong; which of these is not told."""

    code = "bad_signature"
    title = {  # noqa: RUF012 - as in core/errors.py
        "en": "The signature does not match: check the source's secret and sign the raw body",
        "zh": "签名不匹配：请检查密钥，并对原始正文签名",
    }


def verify(platform: Platform, secret: str, headers: Mapping[str, str], body: bytes) -> None:
    """Raise unless the signature is right.

    Args:
        platform: whose way of signing.
        secret: of the source.
        headers: lower-case names.
        body: exactly as received.

    Raises:
        BadSignature: it is not.

    """
    if platform == "shopify":
        _verify_shopify(secret, headers, body)
    else:
        _verify_standard(secret, headers, body)


def _verify_shopify(secret: str, headers: Mapping[str, str], body: bytes) -> None:
    """Check X-Shopify-Hmac-SHA256: base64 of HMAC-SHA256 over the body (Shopify, "Verify a webhook")."""
    given = headers.get("x-shopify-hmac-sha256", "")
    expected = base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()
    if not hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode()):
        raise BadSignature


def _verify_standard(secret: str, headers: Mapping[str, str], body: bytes) -> None:
    """Check webhook-signature by the Standard Webhooks library: id.timestamp.body, at most five minutes old."""
    try:
        Webhook(secret).verify(body, {name: value for name, value in headers.items() if name.startswith("webhook-")})
    except (WebhookVerificationError, ValueError):
        raise BadSignature from None


def check_secret(platform: Platform, secret: str) -> None:
    """Raise Invalid when the secret cannot be one of that platform."""
    if platform != "standard":
        return
    try:
        usable = len(base64.b64decode(secret.removeprefix(STANDARD_PREFIX), validate=True)) >= 16  # noqa: PLR2004
    except (binascii.Error, ValueError):
        usable = False
    if not usable:
        raise Invalid(
            errors=[
                FieldError(
                    "/secret",
                    "bad_secret",
                    "A Standard Webhooks secret is 'whsec_' and at least 16 bytes in base64",
                    "Standard Webhooks 密钥应为 whsec_ 加至少 16 字节的 base64",
                )
            ]
        )
