"""What can go wrong with channels."""

from collections.abc import Mapping
from typing import ClassVar

from crm_api.core.errors import Conflict, Locale


class NoChannel(Conflict):
    """Nothing is set up to reach this kind of address."""

    code = "no_channel"
    title: ClassVar[Mapping[Locale, str]] = {"en": "There is no channel for this", "zh": "没有可用的发送渠道"}
