"""One-time codes: making, hashing, wording. Pure rules.

A code has six digits, so whoever holds its hash can try all million. Two things stand against that. Hashing is slow
(scrypt with N = 2^14, r = 8: about 50 ms and 16 MiB a guess, so a million take a core 14 hours, and the code dies
after five minutes), and a pepper that is not in the database (``CRM_CODE_PEPPER``) makes the hash worthless to whoever
has the database alone. A salt of its own keeps equal codes apart.
"""

import hashlib
import hmac
import math
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from crm_api.consent.models import SendChannel
from crm_api.customers.models import ContactKind
from crm_api.verification.models import Language

DIGITS: Final = 6
TRIES: Final = 5
LIFE: Final = timedelta(minutes=5)
DAY: Final = timedelta(hours=24)
SALT_BYTES: Final = 16

SEND_CHANNELS: Final[dict[ContactKind, SendChannel]] = {
    "mobile": "sms",
    "landline": "call",
    "email": "email",
    "wechat_openid": "wechat",
    "wechat_unionid": "wechat",
    "wecom_external_userid": "wechat",
    "taobao_buyer": "social",
    "douyin_open_id": "social",
    "weibo": "social",
}
"""Kind of contact point → channel in the sense of the consent ledger."""


def new_code(below: Callable[[int], int] = secrets.randbelow) -> str:
    """Return six random digits, leading zeros among them."""
    return f"{below(10**DIGITS):0{DIGITS}d}"


def new_salt() -> bytes:
    """Return a salt."""
    return secrets.token_bytes(SALT_BYTES)


def hashed(code: str, salt: bytes, pepper: str) -> bytes:
    """Return what is stored of a code: scrypt (RFC 7914) over an HMAC-SHA256 of it under the pepper. Takes 50 ms."""
    keyed = hmac.digest(pepper.encode(), code.encode(), hashlib.sha256)
    return hashlib.scrypt(keyed, salt=salt, n=2**14, r=8, p=1, dklen=32, maxmem=2**26)


def same(one: bytes, other: bytes) -> bool:
    """Compare in a time that does not depend on where they differ."""
    return hmac.compare_digest(one, other)


def wording(code: str, language: Language, shop: str) -> tuple[str, str]:
    """Return subject and text of the message."""
    minutes = int(LIFE.total_seconds()) // 60
    if language == "zh":
        return f"{shop} 验证码", f"【{shop}】您的验证码是 {code}，{minutes} 分钟内有效。请勿告诉他人。"
    text = f"{shop}: your verification code is {code}. It is valid for {minutes} minutes. Do not share it."
    return f"{shop} verification code", text


def pause(seconds: int) -> timedelta:
    """Return the least time between two codes."""
    return timedelta(seconds=seconds)


def seconds_until(moment: datetime, now: datetime) -> int:
    """Return whole seconds to wait, at least one."""
    return max(1, math.ceil((moment - now).total_seconds()))
