"""E-mail over SMTP."""

import asyncio
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import Final

import aiosmtplib

from crm_api.channels.models import SmtpSettings
from crm_api.channels.transports.base import SECONDS, DeliveryError, Outgoing
from crm_api.web.outbound import ForbiddenAddressError, UnknownHostError, connect

_PERMANENT: Final = 500
"""SMTP answers from here on will be the same next time (RFC 5321, 4.2.1)."""


class SmtpTransport:
    """One mail server."""

    def __init__(self, settings: SmtpSettings, secret: str | None, *, private: bool) -> None:
        """Take the settings and the password."""
        self._settings = settings
        self._secret = secret
        self._private = private

    async def deliver(self, message: Outgoing) -> str | None:
        """Hand the message over; see ``Transport``. Returns the server's last word, which names its queue id."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self._send(self._letter(message))
        except ForbiddenAddressError as error:
            raise DeliveryError(str(error), permanent=True) from error
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _refused(error.recipients[0]) from error
        except aiosmtplib.SMTPResponseException as error:
            raise _refused(error) from error
        except (aiosmtplib.SMTPException, UnknownHostError, OSError, ValueError) as error:
            raise DeliveryError(str(error) or type(error).__name__, permanent=False) from error

    async def _send(self, letter: EmailMessage) -> str:
        how = self._settings
        socket = await connect(how.host, how.port, private=self._private, seconds=SECONDS)
        client = aiosmtplib.SMTP(
            hostname=how.host,  # the name on the certificate; the connection is the checked one
            sock=socket,
            timeout=SECONDS,
            use_tls=how.security == "tls",
            start_tls=how.security == "starttls",
            username=how.username,
            password=self._secret if how.username else None,
        )
        async with client:
            _, last = await client.send_message(letter)
        return last[:200]

    def _letter(self, message: Outgoing) -> EmailMessage:
        how = self._settings
        letter = EmailMessage(SMTP_POLICY)
        letter["From"] = Address(how.from_name or "", addr_spec=how.from_address)
        letter["To"] = message.to
        letter["Subject"] = message.subject or " ".join(message.body.split())[:80]
        letter["Date"] = format_datetime(datetime.now(UTC))
        # The same with every attempt: a mail server or reader that sees it twice knows.
        letter["Message-ID"] = f"<{message.id}@{how.from_address.rpartition('@')[2]}>"
        letter["Auto-Submitted"] = "auto-generated"
        letter.set_content(message.body)
        return letter


def _refused(error: aiosmtplib.SMTPResponseException) -> DeliveryError:
    return DeliveryError(f"{error.code} {error.message}", permanent=error.code >= _PERMANENT)
