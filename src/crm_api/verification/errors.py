"""What can go wrong with one-time codes.

::

    Conflict
    ├── NoCode [409]          none was sent, or it was used
    ├── CodeExpired [409]
    ├── TooManyTries [409]    its guesses are used up
    └── Refused [409]         nothing may be sent to this customer
    Invalid
    └── CodeWrong [422]       counted, though it is an error
    TooManyRequests
    ├── TooSoon [429]
    └── DailyLimit [429]
"""

from collections.abc import Mapping
from typing import ClassVar

from crm_api.core.errors import Conflict, FieldError, Invalid, Locale, TooManyRequests


class NoCode(Conflict):
    """There is no code to check."""

    code = "no_code"
    title: ClassVar[Mapping[Locale, str]] = {
        "en": "No code is open for this contact point: send one",
        "zh": "此联系方式没有待验证的验证码：请先发送",
    }


class CodeExpired(Conflict):
    """It came too late."""

    code = "code_expired"
    title: ClassVar[Mapping[Locale, str]] = {
        "en": "The code has expired: send a new one",
        "zh": "验证码已过期：请重新发送",
    }


class TooManyTries(Conflict):
    """No guess is left."""

    code = "too_many_tries"
    title: ClassVar[Mapping[Locale, str]] = {
        "en": "The code was tried too often: send a new one",
        "zh": "验证码尝试次数过多：请重新发送",
    }


class Refused(Conflict):
    """Nothing may be sent."""

    code = "sending_refused"
    title: ClassVar[Mapping[Locale, str]] = {
        "en": "Nothing may be sent to this customer",
        "zh": "不得向此客户发送消息",
    }


class CodeWrong(Invalid):
    """Not the code. The guess has been counted: the transaction commits although this is raised."""

    code = "code_wrong"
    title: ClassVar[Mapping[Locale, str]] = {"en": "The code is wrong", "zh": "验证码错误"}
    keeps_work = True

    def __init__(self, tries_left: int) -> None:
        """Say how many guesses are left."""
        text = f"The code is wrong; {tries_left} tries left" if tries_left else "The code is wrong: send a new one"
        zh = f"验证码错误，还可尝试 {tries_left} 次" if tries_left else "验证码错误：请重新发送"
        super().__init__(
            text, zh=zh, errors=[FieldError("/code", "code_wrong", text, zh)], extra={"tries_left": tries_left}
        )


class TooSoon(TooManyRequests):
    """The last code was sent a moment ago."""

    code = "too_soon"
    title: ClassVar[Mapping[Locale, str]] = {"en": "A code was sent a moment ago", "zh": "刚刚已发送验证码"}


class DailyLimit(TooManyRequests):
    """As many codes as may be sent in a day were sent."""

    code = "daily_limit"
    title: ClassVar[Mapping[Locale, str]] = {
        "en": "As many codes as allowed were sent in the last 24 hours",
        "zh": "24 小时内发送的验证码已达上限",
    }
