"""Short messages by a provider's HTTP interface, which the tenant describes."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

import httpx
from standardwebhooks import Webhook

from crm_api.channels.models import SmsSettings
from crm_api.channels.rules import at_pointer, filled, phone_places
from crm_api.channels.transports.base import SECONDS, DeliveryError, Outgoing
from crm_api.web.outbound import ForbiddenAddressError, HttpAnswer, UnknownHostError, post

_AGAIN: Final = frozenset({408, 425, 429})
_TYPES: Final = {"json": "application/json", "form": "application/x-www-form-urlencoded"}


class SmsTransport:
    """One provider."""

    def __init__(self, settings: SmsSettings, secret: str | None, *, private: bool) -> None:
        """Take the settings and the key."""
        self._settings = settings
        self._secret = secret or ""
        self._private = private

    async def deliver(self, message: Outgoing) -> str | None:
        """Post the message; see ``Transport``."""
        how = self._settings
        if not (self._private or how.url.startswith("https:")):
            raise DeliveryError("the provider's address must begin with https://", permanent=True)
        places = {
            "code": "",
            **message.params,
            **phone_places(message.to),
            "body": message.body,
            "message_id": str(message.id),
            "secret": self._secret,
        }
        content = self._content(filled(how.body, places))
        headers = {"content-type": _TYPES[how.encoding], **filled(how.headers, places)}
        headers |= self._signed(message, content)
        auth = (how.basic_user, self._secret) if how.basic_user else None
        try:
            answer = await post(how.url, headers, content, private=self._private, seconds=SECONDS, auth=auth)
        except ForbiddenAddressError as error:
            raise DeliveryError(str(error), permanent=True) from error
        except (UnknownHostError, TimeoutError, httpx.TransportError) as error:
            raise DeliveryError(str(error) or type(error).__name__, permanent=False) from error
        return self._judge(answer)

    def _content(self, body: Mapping[str, Any]) -> bytes:
        if self._settings.encoding == "form":
            return urlencode(body).encode()
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()

    def _signed(self, message: Outgoing, content: bytes) -> dict[str, str]:
        if self._settings.signature == "hmac_sha256":
            digest = hmac.digest(self._secret.encode(), content, hashlib.sha256).hex()
            return {self._settings.signature_header: digest}
        if self._settings.signature == "standard_webhooks":
            now = datetime.now(UTC)
            return {
                "webhook-id": str(message.id),
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": Webhook(self._secret).sign(str(message.id), now, content.decode()),
            }
        return {}

    def _judge(self, answer: HttpAnswer) -> str | None:
        """Return the provider's id of the message.

        What the provider said is not repeated in errors, because some send the request back, code and all.
        """
        how = self._settings
        if not 200 <= answer.status < 300:  # noqa: PLR2004
            again = answer.status in _AGAIN or answer.status >= 500  # noqa: PLR2004
            raise DeliveryError(f"the provider answered {answer.status}", permanent=not again)
        if how.success_pointer is None and how.id_pointer is None:
            return None
        try:
            document = json.loads(answer.body)
        except ValueError:
            raise DeliveryError("the provider's answer is not JSON", permanent=True) from None
        if how.success_pointer is not None:
            verdict = _text(at_pointer(document, how.success_pointer))
            if verdict not in how.success_values:
                shown = "nothing" if verdict is None else repr(verdict[:64])
                raise DeliveryError(f"the provider refused it: {shown} at {how.success_pointer}", permanent=True)
        return None if how.id_pointer is None else (_text(at_pointer(document, how.id_pointer)) or "")[:200] or None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
