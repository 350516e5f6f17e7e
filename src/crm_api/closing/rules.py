"""Letters, scores and steps: pure rules."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple
from uuid import UUID

from crm_api.channels.models import AddressKind
from crm_api.closing.models import (
    RATING_ID,
    TOKEN,
    ActionState,
    ActionStep,
    ClosingChannel,
    Suggestion,
    Way,
    What,
)
from crm_api.core.errors import Conflict

Language = Literal["en", "zh"]


def language_of(locale: str) -> Language:
    """Return the language in which a shop writes to its customers."""
    return "zh" if locale.startswith("zh") else "en"


# -- tokens ------------------------------------------------------------------------------------------------------------


def new_token() -> str:
    """Return a link's token: 256 random bits."""
    return secrets.token_urlsafe(32)


def hashed(token: str) -> bytes:
    """Return what is kept of it. So many random bits need no slow hash."""
    return hashlib.sha256(token.encode()).digest()


def fits(token: str, digest: bytes | None) -> bool:
    """Tell in constant time whether it is the token whose hash is kept."""
    return hmac.compare_digest(hashed(token), digest or b"")


def public_path(rating_id: UUID) -> str:
    """Return where a page loads the question and sends the answer."""
    return f"/v1/public/complaint-ratings/{rating_id}"


def link(page: str | None, rating_id: UUID, token: str) -> str | None:
    """Return the address of the shop's page for one question; None without such a page."""
    return None if page is None else page.replace(RATING_ID, str(rating_id)).replace(TOKEN, token)


# -- letters -----------------------------------------------------------------------------------------------------------

ADDRESSES: Final[Mapping[Way, AddressKind]] = {"email": "email", "sms": "mobile"}
"""Way → what it is addressed to."""
MAX_TEXT: Final = 500
"""Characters of a text message: eight parts of 67 on the customer's phone. What is longer is no text message."""


class _Wording(NamedTuple):
    subject: str
    letter: str
    text: str
    """Of a text message. Chinese ones begin with the sender in 【】. Few shops get answers: none is asked for."""


_TELLING: Final[Mapping[tuple[What, Language], _Wording]] = {
    ("decision", "en"): _Wording(
        "{shop}: our decision on “{subject}”",
        (
            "Hello,\n\nyou told us about “{subject}”. This is our decision:\n\n{text}\n\n"
            "If you do not agree, please answer this message.\n\n{shop}"
        ),
        '{shop}: our decision on "{subject}": {text} (If you do not agree, please contact us.)',
    ),
    ("decision", "zh"): _Wording(
        "{shop}：关于“{subject}”的处理决定",
        "您好：\n\n您反馈的“{subject}”，我们的处理决定如下：\n\n{text}\n\n如有异议，请直接回复本消息。\n\n{shop}",
        "【{shop}】您反馈的“{subject}”，处理决定如下：{text}（如有异议，请联系我们）",
    ),
    ("result", "en"): _Wording(
        "{shop}: what came of “{subject}”",
        (
            "Hello,\n\nyou told us about “{subject}”. It has been settled:\n\n{text}\n\n"
            "If anything is missing, please answer this message.\n\n{shop}"
        ),
        '{shop}: "{subject}" has been settled: {text} (If anything is missing, please contact us.)',
    ),
    ("result", "zh"): _Wording(
        "{shop}：关于“{subject}”的处理结果",
        "您好：\n\n您反馈的“{subject}”已处理完毕：\n\n{text}\n\n如仍有问题，请直接回复本消息。\n\n{shop}",
        "【{shop}】您反馈的“{subject}”已处理完毕：{text}（如仍有问题，请联系我们）",
    ),
}
_ASKING: Final[Mapping[Language, _Wording]] = {
    "en": _Wording(
        "{shop}: how did we handle “{subject}”?",
        (
            "Hello,\n\n“{subject}” has been settled. Two short questions, half a minute:\n\n{url}\n\n"
            "The link is for you alone and can be used once.\n\n{shop}"
        ),
        '{shop}: "{subject}" has been settled. Two short questions, for you alone: {url}',
    ),
    "zh": _Wording(
        "{shop}：请评价“{subject}”的处理",
        "您好：\n\n您反馈的“{subject}”已处理完毕，请用半分钟回答两个问题：\n\n{url}\n\n此链接仅供您本人使用一次。\n\n{shop}",
        "【{shop}】您反馈的“{subject}”已处理完毕，请用半分钟评价（链接仅供您本人使用一次）：{url}",
    ),
}
QUESTIONS: Final[Mapping[Language, tuple[str, str]]] = {
    "en": (
        "How content are you with the way we handled this?",
        "How far do you agree: it was easy to have my issue handled?",
    ),
    "zh": ("您对本次处理的满意程度如何？", "您是否同意：“问题的处理过程对我来说很轻松”？"),
}
"""What satisfaction (1–5) and effort (1–7, CES 2.0) are asked by."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a letter is made of.

    Attributes:
        language: of the letter.
        shop: its name.
        subject: of the case.

    """

    language: Language
    shop: str
    subject: str

    def telling(self, what: What, text: str, channel: ClosingChannel) -> tuple[str, str]:
        """Return subject and body of what tells a decision or a result; the shop has it as a letter."""
        return self._filled(_TELLING[what, self.language], channel, text=text)

    def asking(self, url: str, channel: ClosingChannel) -> tuple[str, str]:
        """Return subject and body of what asks for a rating."""
        return self._filled(_ASKING[self.language], channel, url=url)

    def _filled(self, wording: _Wording, channel: ClosingChannel, **more: str) -> tuple[str, str]:
        # In one pass over the template, so that what a customer wrote is never read as a place.
        known = {"shop": self.shop, "subject": self.subject, **more}
        subject = wording.subject.format_map(known)
        body = (wording.text if channel == "sms" else wording.letter).format_map(known)
        return " ".join(subject.split()), body  # a header is one line, whatever a platform's subject was


# -- scores ------------------------------------------------------------------------------------------------------------

WORST: Final = 1
GRAVE: Final = frozenset({"S1", "S2"})


@dataclass(frozen=True, slots=True)
class Limits:
    """Scores from which on a rating is low; 0 for none."""

    csat: int
    ces: int

    def is_low(self, csat: int, ces: int | None) -> bool:
        """Tell whether a rating is low: by either of its scores."""
        return csat <= self.csat or (ces is not None and ces <= self.ces)


def suggestion(csat: int, severity: str, *, can_reopen: bool) -> Suggestion:
    """Return what to do about a low rating.

    To reopen the case is suggested when that can be done and the customer is not content at all, or the case was
    grave; otherwise somebody should speak with them.
    """
    return "reopen" if can_reopen and (csat == WORST or severity in GRAVE) else "follow_up"


# -- corrective actions ------------------------------------------------------------------------------------------------

TRANSITIONS: Final[Mapping[tuple[ActionState, ActionStep], ActionState]] = {
    ("open", "start"): "in_progress",
    ("open", "finish"): "done",
    ("in_progress", "finish"): "done",
    ("done", "verify"): "verified",
    ("done", "return"): "in_progress",
    ("open", "cancel"): "cancelled",
    ("in_progress", "cancel"): "cancelled",
}
"""The one place that says what can follow what; docs/domains/closing-the-loop.md draws it."""

PENDING: Final[tuple[ActionState, ...]] = ("open", "in_progress")
"""States in which an action can be overdue."""


def after(state: ActionState, step: ActionStep) -> ActionState:
    """Return the state a step leads to.

    Raises:
        Conflict: it is not possible from this state; ``allowed`` in the answer names those that are.

    """
    target = TRANSITIONS.get((state, step))
    if target is not None:
        return target
    allowed = [each for source, each in TRANSITIONS if source == state]
    raise Conflict(
        f"'{step}' is not possible from '{state}'",
        zh=f"当前状态 “{state}” 不允许 “{step}”",
        code="transition_not_allowed",
        extra={"state": state, "allowed": allowed},
    )
