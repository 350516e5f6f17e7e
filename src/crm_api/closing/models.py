"""Closing the loop: domain models and wire shapes."""

from typing import Annotated, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from crm_api.complaints.models import CauseText, Happened
from crm_api.core.models import (
    CreatedAt,
    Day,
    Input,
    Instant,
    NearDay,
    ResourceId,
    UpdatedAt,
    Version,
    Wire,
    with_examples,
)
from crm_api.core.text import Line, Prose, storable

What = Literal["decision", "result"]
Way = Literal["email", "sms"]
"""How the shop's words reach a customer by themselves."""
ClosingChannel = Literal["shop", "email", "sms"]
"""By a way, or by somebody of the shop."""
TellingState = Literal["to_tell", "queued", "told", "superseded"]
RatingState = Literal["planned", "asked", "answered", "expired", "dropped"]
Reason = Literal["asked", "no_address", "no_channel", "not_allowed", "too_long", "no_page", "not_delivered"]
Suggestion = Literal["follow_up", "reopen"]
ActionState = Literal["open", "in_progress", "done", "verified", "cancelled"]
ActionStep = Literal["start", "finish", "verify", "return", "cancel"]

MAX_LINKED: Final = 100
RATING_ID, TOKEN = "{rating_id}", "{token}"

_ID: Final = "01981a6e-0000-7000-8000-000000000000"
_REASON: Final = (
    "Why it is the shop's: `asked` for; or why the preferred way does not work: `no_address` of the customer's, "
    "`no_channel` for it, `not_allowed` (no consent, or the customer is gone), `too_long` for a text message; "
    "`no_page` to rate on; `not_delivered`. Null when it goes by itself."
)


def _page(text: str) -> str:
    if not text.startswith("https://") or RATING_ID not in text or TOKEN not in text:
        raise PydanticCustomError(
            "bad_rating_page", "Write an https:// address with {rating_id} and {token} where they belong"
        )
    return text


RatingPage = Annotated[
    str,
    StringConstraints(max_length=500, pattern=r"^\S+$"),
    AfterValidator(storable),
    AfterValidator(_page),
    Field(examples=["https://shop.example.com/rate?case={rating_id}#{token}"]),
]


def _distinct(ways: list[Way]) -> list[Way]:
    if len(set(ways)) < len(ways):
        raise PydanticCustomError("repeated_value", "Name each once")
    return ways


Ways = Annotated[list[Way], Field(min_length=1, examples=[["sms", "email"]]), AfterValidator(_distinct)]
Csat = Annotated[int, Field(ge=1, le=5, strict=True)]
Ces = Annotated[int, Field(ge=1, le=7, strict=True)]

# -- settings ----------------------------------------------------------------------------------------------------------

_SETTINGS: Final = {
    "tell_decision": "Whether a decision is told by itself once it is proposed, or the case rejected.",
    "tell_result": "Whether the result is told by itself once the case is resolved.",
    "ask_rating": "Whether the customer is asked by themselves, once for each case.",
    "ask_after_hours": "So many hours after the resolution; 0 asks at once.",
    "answer_days": "So many days the question can be answered.",
    "tell_by": "By which ways customers are told and asked, the preferred one first; the first that works is taken. "
    "`sms` needs a provider that carries any text, not only those it has approved.",
    "rating_page": "Your page on which customers rate; `{rating_id}` and `{token}` are put in. It loads and sends "
    "`/v1/public/complaint-ratings/{rating_id}`. Null: there is none, and questions are for the shop to ask.",
    "low_csat": "A satisfaction of so much or less is low; 0 for none.",
    "low_ces": "An ease of so much or less is low; 0 for none.",
}


class ClosingSettingsUpdate(Input):
    """Settings to change; one left out stays."""

    model_config = with_examples(
        {"ask_after_hours": 48, "rating_page": "https://shop.example.com/rate?case={rating_id}#{token}"}
    )

    tell_decision: bool = Field(strict=True, default=True, description=_SETTINGS["tell_decision"])
    tell_result: bool = Field(strict=True, default=True, description=_SETTINGS["tell_result"])
    ask_rating: bool = Field(strict=True, default=True, description=_SETTINGS["ask_rating"])
    ask_after_hours: int = Field(strict=True, default=24, ge=0, le=720, description=_SETTINGS["ask_after_hours"])
    answer_days: int = Field(strict=True, default=7, ge=1, le=90, description=_SETTINGS["answer_days"])
    tell_by: Ways = Field(default=["email"], description=_SETTINGS["tell_by"])
    rating_page: RatingPage | None = Field(default=None, description=_SETTINGS["rating_page"])
    low_csat: int = Field(strict=True, default=2, ge=0, le=4, description=_SETTINGS["low_csat"])
    low_ces: int = Field(strict=True, default=3, ge=0, le=6, description=_SETTINGS["low_ces"])


class ClosingSettings(Wire):
    """How the shop closes its cases."""

    tell_decision: bool = Field(description=_SETTINGS["tell_decision"])
    tell_result: bool = Field(description=_SETTINGS["tell_result"])
    ask_rating: bool = Field(description=_SETTINGS["ask_rating"])
    ask_after_hours: int = Field(description=_SETTINGS["ask_after_hours"])
    answer_days: int = Field(description=_SETTINGS["answer_days"])
    tell_by: list[Way] = Field(description=_SETTINGS["tell_by"])
    rating_page: str | None = Field(description=_SETTINGS["rating_page"])
    low_csat: int = Field(description=_SETTINGS["low_csat"])
    low_ces: int = Field(description=_SETTINGS["low_ces"])
    version: Version
    updated_at: UpdatedAt


# -- telling -----------------------------------------------------------------------------------------------------------


class TellingCreate(Input):
    """Tell the customer what was decided, or what came of it."""

    model_config = with_examples({"what": "decision", "text": "全额退款，并补发同规格大虾一份"})

    what: What = Field(description="`decision`: what the shop will do. `result`: that it is done.")
    text: Annotated[str, StringConstraints(min_length=1, max_length=20_000), AfterValidator(storable)] | None = Field(
        default=None, description="In your words; the decision as the case has it, if left out."
    )
    channel: ClosingChannel | None = Field(
        default=None,
        description="`email` or `sms` tries this way only, `shop` leaves it to you; left out, the ways of the settings "
        "are tried.",
    )


class TellingConfirm(Input):
    """Note that somebody of the shop has told the customer."""

    model_config = with_examples({"note": "电话告知，客户接受"})

    staff_id: UUID | None = Field(default=None, description="Who told them.")
    at: Happened | None = Field(default=None, description="When; now if left out.")
    note: Prose | None = Field(default=None, description="How, and what they said.")


class ComplaintTelling(Wire):
    """A decision or a result on its way to the customer."""

    id: ResourceId
    complaint_id: UUID = Field(description="Of which case.")
    what: What = Field(description="`decision`: what the shop will do. `result`: that it is done.")
    cycle: int = Field(description="How often it was decided, rejected or reopened by then; each decision is told.")
    state: TellingState = Field(
        description="`to_tell`: the shop has to do it. `queued`: on its way. `told`: mail server or provider took it, "
        "or the shop confirmed it. `superseded`: another decision came before anybody had told it."
    )
    channel: ClosingChannel = Field(description="`email`, `sms`, or by the `shop` itself.")
    reason: Reason | None = Field(description=_REASON)
    subject: str = Field(description="Of the e-mail; a text message goes without.")
    body: str = Field(description="What the customer reads.")
    message_id: UUID | None = Field(description="Which of `/v1/channel-messages` it is.")
    told_at: Instant | None = Field(description="When the customer was told; null before.")
    told_by: UUID | None = Field(description="Who of the shop told them; null when it went by itself.")
    note: str | None = Field(description="What was noted when it was confirmed.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


# -- ratings -----------------------------------------------------------------------------------------------------------

_CSAT: Final = "How content they are with how the case was handled: 1 (not at all) to 5 (very)."
_CES: Final = "“It was easy to have my issue handled”: 1 (not at all true) to 7 (wholly true)."


class _Answer(Input):
    csat: Csat = Field(description=_CSAT)
    ces: Ces | None = Field(default=None, description=_CES)
    comment: Annotated[str, StringConstraints(max_length=2000), AfterValidator(storable)] | None = Field(
        default=None, description="In the customer's words."
    )


class RatingAnswer(_Answer):
    """What the customer said, entered by staff."""

    model_config = with_examples({"csat": 4, "ces": 6, "comment": "处理很快", "staff_id": None})

    staff_id: UUID | None = Field(default=None, description="Who entered it.")


class PublicRatingAnswer(_Answer):
    """What the customer says."""

    model_config = with_examples({"token": "9x3…", "csat": 5, "ces": 7})

    token: Annotated[str, Field(min_length=1, max_length=100)] = Field(description="As it stands in the link.")


class ComplaintRating(Wire):
    """What a customer thinks of how a case went."""

    id: ResourceId
    complaint_id: UUID = Field(description="Of which case; each has one at most.")
    customer_id: UUID = Field(description="Whom it is about asking.")
    staff_id: UUID | None = Field(description="Who handled the case when the question was asked.")
    state: RatingState = Field(
        description="`planned`, `asked`, and then `answered`, `expired`, or `dropped`: nobody could be asked any more."
    )
    ask_at: Instant = Field(description="When it is asked, if the case is still resolved then.")
    channel: ClosingChannel | None = Field(
        description="`email`, `sms`, or by the `shop` itself; null before it is asked."
    )
    reason: Reason | None = Field(description=_REASON)
    message_id: UUID | None = Field(description="Which of `/v1/channel-messages` it is.")
    asked_at: Instant | None = Field(description="When it was asked.")
    expires_at: Instant | None = Field(description="Until when it can be answered.")
    answered_at: Instant | None = Field(description="When it was answered.")
    answered_by: UUID | None = Field(description="Who of the shop entered the answer; null when the customer did.")
    csat: int | None = Field(description=_CSAT)
    ces: int | None = Field(description=_CES)
    comment: str | None = Field(description="In the customer's words.")
    low: bool | None = Field(description="Whether it was low by the settings of then.")
    suggestion: Suggestion | None = Field(
        description="What to do about a low one: speak with the customer, or reopen the case."
    )
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class RatingLink(Wire):
    """A way for the customer to answer, to be sent by a channel of yours."""

    rating_id: UUID = Field(description="Which question.")
    token: str = Field(description="Proves that it is the customer; shown only now, kept as a hash.", examples=["9x3…"])
    path: str = Field(description="Where a page loads the question (GET) and sends the answer (POST), without a key.")
    url: str | None = Field(description="The shop's `rating_page` with both put in; null without such a page.")
    expires_at: Instant = Field(description="Until when it can be answered.")


class PublicRating(Wire):
    """A question as the customer's page shows it."""

    shop: str = Field(description="Who asks.")
    subject: str = Field(description="What the case was about.")
    state: Literal["asked", "answered", "expired"] = Field(description="Only what is `asked` can be answered.")
    csat_question: str = Field(description="To be answered by 1 to 5.")
    ces_question: str = Field(description="To be answered by 1 to 7.")
    expires_at: Instant = Field(description="Until when it can be answered.")


class RatingReceived(Wire):
    """The answer was taken."""

    rating_id: UUID = Field(description="To which question.")
    answered_at: Instant = Field(description="When.")


# -- corrective actions ------------------------------------------------------------------------------------------------

_ACTION: Final = {
    "title": "What is to be done, in one line.",
    "description": "In full.",
    "cause": "Which cause shall go: a path as of `root_cause`.",
    "owner_id": "Who sees to it.",
    "due_on": "The last day for it, in the shop's zone.",
}
ComplaintIds = Annotated[list[UUID], Field(max_length=MAX_LINKED)]


class CorrectiveActionCreate(Input):
    """Something to do so that a cause brings no more complaints."""

    model_config = with_examples(
        {"title": "夏季改用双层冰袋", "cause": "quality/cold_chain", "owner_id": _ID, "due_on": "2026-12-15"}
    )

    title: Annotated[Line, Field(examples=["夏季改用双层冰袋"])] = Field(description=_ACTION["title"])
    description: Prose | None = Field(default=None, description=_ACTION["description"])
    cause: CauseText = Field(description=_ACTION["cause"])
    owner_id: UUID = Field(description=_ACTION["owner_id"])
    due_on: NearDay = Field(description=_ACTION["due_on"])
    complaint_ids: ComplaintIds = Field(default_factory=list, description="The cases it is about.")


class CorrectiveActionUpdate(Input):
    """Fields to change; a field left out stays, null clears it. The state changes by transitions only."""

    model_config = with_examples({"due_on": "2026-12-31"})

    title: Line = Field(default="", description=_ACTION["title"])
    description: Prose | None = Field(default=None, description=_ACTION["description"])
    cause: CauseText = Field(default="", description=_ACTION["cause"])
    owner_id: UUID = Field(default=UUID(int=0), description=_ACTION["owner_id"])
    due_on: NearDay = Field(default=None, description=_ACTION["due_on"])  # type: ignore[assignment]


class ActionTransition(Input):
    """A step of a corrective action."""

    model_config = with_examples({"action": "start"}, {"action": "finish", "note": "已更换冰袋，抽检 20 单均低于 4 ℃"})

    action: ActionStep = Field(
        description="`start`, `finish`, then `verify` or `return` by another than who did it; `cancel` while open."
    )
    staff_id: UUID | None = Field(
        default=None, description="Who does it; needed to `verify`. The owner, to `finish`, if left out."
    )
    note: Annotated[str, StringConstraints(min_length=1, max_length=20_000), AfterValidator(storable)] | None = Field(
        default=None,
        description="What was done (`finish`), how that was checked (`verify`), what is missing (`return`), or why it "
        "is given up (`cancel`); needed for the last two.",
    )

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if self.action in {"return", "cancel"} and self.note is None:
            raise PydanticCustomError("note_required", "Say in 'note' why")
        return self


class CorrectiveAction(Wire):
    """Something done so that a cause brings no more complaints."""

    id: ResourceId
    title: str = Field(description=_ACTION["title"])
    description: str | None = Field(description=_ACTION["description"])
    cause: str = Field(description=_ACTION["cause"])
    owner_id: UUID = Field(description=_ACTION["owner_id"])
    due_on: Day = Field(description=_ACTION["due_on"])
    overdue: bool = Field(description="Whether that day has passed and it is not done.")
    state: ActionState = Field(description="`done` is what its owner says, `verified` what another has checked.")
    done_at: Instant | None = Field(description="When it was done.")
    done_by: UUID | None = Field(description="Who did it.")
    outcome: str | None = Field(description="What was done.")
    verified_at: Instant | None = Field(description="When it was checked and found to work.")
    verified_by: UUID | None = Field(description="Who checked it: neither its owner nor who did it.")
    verification: str | None = Field(description="How it was checked, or what was missing.")
    cancelled_at: Instant | None = Field(description="When it was given up.")
    reason: str | None = Field(description="Why it was given up.")
    complaint_count: int = Field(description="How many cases it is about.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt
