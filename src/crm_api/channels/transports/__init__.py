"""How messages leave: one plug-in for each kind of channel, all behind one interface."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from crm_api.channels.models import ChannelKind, SmsSettings, SmtpSettings
from crm_api.channels.transports.base import DeliveryError, Outgoing, Transport
from crm_api.channels.transports.sms import SmsTransport
from crm_api.channels.transports.smtp import SmtpTransport

MAKERS: Final[Mapping[ChannelKind, Callable[[Mapping[str, Any], str | None, bool], Transport]]] = {
    "smtp": lambda settings, secret, private: SmtpTransport(SmtpSettings(**settings), secret, private=private),
    "sms": lambda settings, secret, private: SmsTransport(SmsSettings(**settings), secret, private=private),
}
"""Kind → (settings, secret, whether private hosts may be reached) → plug-in. ``local`` has none: what is stored has
arrived."""

__all__ = ["MAKERS", "DeliveryError", "Outgoing", "Transport"]
