"""Follow-up plans, tasks and the one call: inputs and wire shapes."""

from datetime import date
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from crm_api.complaints.models import Channel as ComplaintChannel
from crm_api.complaints.models import ComplaintCreate
from crm_api.consent.models import PURPOSE_TEXT
from crm_api.core.models import (
    CreatedAt,
    Day,
    Input,
    Instant,
    NearDay,
    NearInstant,
    ResourceId,
    UpdatedAt,
    Version,
    Wire,
    with_examples,
)
from crm_api.core.text import Caption, Line, Prose, Slug
from crm_api.interactions.models import MAX_ATTACHMENTS, MAX_DURATION, Attachment, Channel, InteractionCreate

PlanState = Literal["draft", "active", "paused", "archived"]
Trigger = Literal["cadence", "low_rating", "neglect"]
Dimension = Literal[
    "all", "tier", "frequency", "amount", "loyalty", "value", "activity", "grade", "lifecycle", "value_potential"
]
HolidayRule = Literal["next", "previous", "nearest", "none"]
AssignTo = Literal["owner", "assignee", "queue"]
TaskState = Literal["open", "done", "skipped", "cancelled", "held_out"]
TaskStatus = Literal["planned", "due", "overdue", "snoozed", "done", "skipped", "cancelled", "held_out"]
TaskSource = Literal["plan", "manual", "low_rating", "neglect"]
Result = Literal["reached", "message_left", "no_answer", "unreachable", "refused"]

MAX_CADENCES = 50
MAX_AHEAD = 92
MAX_HOLDOUT = 50

_LEVELS: Final = ("high", "mid", "low")
CLASSES: Final[dict[str, tuple[str, ...]]] = {
    "all": ("*",),
    "frequency": _LEVELS,
    "amount": ("large", "mid", "small"),
    "loyalty": ("loyal", "regular", "lost"),
    "value": _LEVELS,
    "activity": ("active", "dormant", "lost"),
    "grade": ("A", "B", "C", "D"),
    "lifecycle": ("prospect", "first_purchase", "repeat", "loyal", "dormant", "lost"),
    "value_potential": tuple(f"{value}_{potential}" for value in _LEVELS for potential in _LEVELS),
}
"""Dimension → its classes; a shop names its tiers itself."""

EveryDays = Annotated[int, Field(strict=True, ge=1, le=3650)]
Days = Annotated[int, Field(strict=True, ge=0, le=3650)]
Score = Annotated[int, Field(strict=True, ge=1, le=5)]


def _distinct(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("repeated_value", "Name each once")
    return values


class Cadence(Input):
    """How often customers of a class are contacted."""

    model_config = with_examples({"dimension": "grade", "class_name": "A", "every_days": 14})

    dimension: Dimension = Field(
        description="Of which classification; `all` is everybody, `tier` a tier of the default loyalty programme."
    )
    class_name: Caption = Field(
        default="*", description="Which class of it, such as `A` of `grade` or the code of a tier; `*` with `all`."
    )
    every_days: EveryDays = Field(description="A contact is due so many days after the last one.")

    @model_validator(mode="after")
    def _known(self) -> Self:
        known = CLASSES.get(self.dimension)
        if known is not None and self.class_name not in known:
            raise PydanticCustomError(
                "unknown_class", "This classification's classes are: {known}", {"known": ", ".join(known)}
            )
        return self


class CadenceShown(Wire):
    """How often customers of a class are contacted."""

    dimension: Dimension = Field(description="Of which classification.")
    class_name: str = Field(description="Which class of it; `*` with `all`.")
    every_days: int = Field(description="A contact is due so many days after the last one.")


_PLAN: Final = {
    "name": "What staff call it; unique in the tenant.",
    "trigger": "What makes tasks: `cadence` the calendar, `low_rating` a low rating after a complaint, `neglect` a "
    "customer nobody has spoken with in time (see contact standards). It stays as it is made.",
    "segment_id": "Only members of this segment; null is every customer.",
    "cadences": "How often, by class or tier; who meets several is contacted as often as the strictest asks, who meets "
    "none not at all. Only with the trigger `cadence`.",
    "first_after_days": "Days from joining (the plan's start, or entering the segment) to the first contact.",
    "spread": "Whether first contacts are spread over one cadence, so that staff do not get all at once; by customer, "
    "the same each time.",
    "due_working_days": "Working days in which a task of `low_rating` or `neglect` is due; 0 is the same day.",
    "counts_contacts": "Whether any interaction counts as a contact, or only what closed a task of this plan.",
    "channels": "Ways to contact, the best first; one is chosen that reaches the customer.",
    "by_preference": "Whether the channel comes first that the customer used most in the last 365 days.",
    "purpose": "Consent to ask for before a channel is chosen; who has given it for none of the channels gets no task. "
    "Null asks for none.",
    "subject": "What tasks are called, in one line.",
    "script": "What to say and to ask; the `instructions` of its tasks.",
    "assign_to": "`owner`: whoever looks after the customer, and whoever takes them over; else the assignee, else the "
    "queue. `assignee`: the plan's. `queue`: nobody yet.",
    "assignee_id": "The plan's assignee; null is nobody.",
    "calendar_id": "Whose holidays and make-up workdays count; null is the default calendar.",
    "holiday_rule": "Where a day off is moved to: the `next`, the `previous` or the `nearest` working day (of two the "
    "earlier), or `none`.",
    "days_ahead": "Tasks are made so many days ahead.",
    "holdout_percent": "Share of customers, drawn by lot, whose contacts are left out on purpose, so that the effect "
    "can be told from what would have happened anyway. 0 draws nobody.",
    "starts_on": "First day, in the calendar's zone; today if left out. A draft that is activated later starts then.",
}


class _PlanRules(Input):
    """What a plan says, beside its name."""

    segment_id: UUID | None = Field(default=None, description=_PLAN["segment_id"])
    cadences: Annotated[list[Cadence], Field(max_length=MAX_CADENCES)] = Field(
        default_factory=list, description=_PLAN["cadences"]
    )
    first_after_days: Days = Field(default=0, description=_PLAN["first_after_days"])
    spread: bool = Field(strict=True, default=False, description=_PLAN["spread"])
    due_working_days: Annotated[int, Field(strict=True, ge=0, le=60)] = Field(
        default=1, description=_PLAN["due_working_days"]
    )
    counts_contacts: bool = Field(strict=True, default=True, description=_PLAN["counts_contacts"])
    channels: Annotated[list[Channel], AfterValidator(_distinct), Field(max_length=9)] = Field(
        default_factory=list, description=_PLAN["channels"]
    )
    by_preference: bool = Field(strict=True, default=True, description=_PLAN["by_preference"])
    purpose: Slug | None = Field(default=None, description=f"{_PLAN['purpose']} {PURPOSE_TEXT}")
    subject: Line | None = Field(default=None, description=_PLAN["subject"])
    script: Prose | None = Field(default=None, description=_PLAN["script"])
    assign_to: AssignTo = Field(default="owner", description=_PLAN["assign_to"])
    assignee_id: UUID | None = Field(default=None, description=_PLAN["assignee_id"])
    calendar_id: UUID | None = Field(default=None, description=_PLAN["calendar_id"])
    holiday_rule: HolidayRule = Field(default="next", description=_PLAN["holiday_rule"])
    days_ahead: Annotated[int, Field(strict=True, ge=0, le=MAX_AHEAD)] = Field(
        default=14, description=_PLAN["days_ahead"]
    )
    holdout_percent: Annotated[int, Field(strict=True, ge=0, le=MAX_HOLDOUT)] = Field(
        default=0, description=_PLAN["holdout_percent"]
    )


class FollowUpPlanCreate(_PlanRules):
    """A new plan."""

    model_config = with_examples(
        {
            "name": "重要客户定期回访",
            "cadences": [
                {"dimension": "grade", "class_name": "A", "every_days": 14},
                {"dimension": "grade", "class_name": "B", "every_days": 30},
            ],
            "channels": ["visit", "call", "wechat"],
            "script": "问候；近期使用感受；有没有不满意的地方；下月需求",
            "holiday_rule": "next",
        },
        {"name": "低分回访", "trigger": "low_rating", "channels": ["call"], "due_working_days": 1, "state": "draft"},
    )

    name: Line = Field(description=_PLAN["name"])
    trigger: Trigger = Field(default="cadence", description=_PLAN["trigger"])
    starts_on: NearDay | None = Field(default=None, description=_PLAN["starts_on"])
    state: Literal["draft", "active"] = Field(default="active", description="`draft` makes no tasks yet.")


class FollowUpPlanUpdate(_PlanRules):
    """Fields to change; a field left out stays, null clears it. What was made already stays as it is."""

    model_config = with_examples({"holiday_rule": "nearest", "days_ahead": 21}, {"state": "paused"})

    name: Line = Field(default="", description=_PLAN["name"])
    starts_on: NearDay = Field(default=date(2000, 1, 1), description=_PLAN["starts_on"])
    state: Literal["active", "paused", "archived"] = Field(
        default="active",
        description="`paused` makes no new tasks; `archived` is the end: its open tasks are cancelled.",
    )


class FollowUpPlan(Wire):
    """Whom to contact, how often, by which way and with which words."""

    id: ResourceId
    name: str = Field(description=_PLAN["name"])
    state: PlanState = Field(description="Only an `active` plan makes tasks.")
    trigger: Trigger = Field(description=_PLAN["trigger"])
    number: int = Field(description="Counts the versions of what the plan says; tasks name the one they were made by.")
    segment_id: UUID | None = Field(description=_PLAN["segment_id"])
    cadences: list[CadenceShown] = Field(description=_PLAN["cadences"])
    first_after_days: int = Field(description=_PLAN["first_after_days"])
    spread: bool = Field(description=_PLAN["spread"])
    due_working_days: int = Field(description=_PLAN["due_working_days"])
    counts_contacts: bool = Field(description=_PLAN["counts_contacts"])
    channels: list[Channel] = Field(description=_PLAN["channels"])
    by_preference: bool = Field(description=_PLAN["by_preference"])
    purpose: str | None = Field(description=_PLAN["purpose"])
    subject: str | None = Field(description=_PLAN["subject"])
    script: str | None = Field(description=_PLAN["script"])
    assign_to: AssignTo = Field(description=_PLAN["assign_to"])
    assignee_id: UUID | None = Field(description=_PLAN["assignee_id"])
    calendar_id: UUID | None = Field(description=_PLAN["calendar_id"])
    holiday_rule: HolidayRule = Field(description=_PLAN["holiday_rule"])
    days_ahead: int = Field(description=_PLAN["days_ahead"])
    holdout_percent: int = Field(description=_PLAN["holdout_percent"])
    starts_on: Day = Field(description="First day, in the calendar's zone.")
    generated_to: Day | None = Field(description="Until which day all tasks were made; null before the first time.")
    generated_at: Instant | None = Field(description="When that was; null before the first time.")
    error: str | None = Field(description="Why tasks could not be made the last time; null when they were.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class FollowUpPlanVersion(Wire):
    """What a plan said at a time; never changed afterwards."""

    id: ResourceId
    plan_id: UUID = Field(description="Which plan.")
    number: int = Field(description="From 1.")
    rules: dict[str, Any] = Field(
        description="All that the plan said, by the names of its fields.", examples=[{"days_ahead": 14, "script": "…"}]
    )
    created_at: CreatedAt


# -- tasks -------------------------------------------------------------------------------------------------------------

_TASK: Final = {
    "customer_id": "Whom to contact.",
    "channel": "By which way; null when no way is known.",
    "subject": "What it is about, in one line.",
    "instructions": "What to say and to ask.",
    "assignee_id": "Who does it, or did it; null waits in the queue.",
    "follows_owner": "Whether it goes to whoever looks after the customer, also after a handover.",
    "due_on": "The day, in the calendar's zone; moved off days off by the calendar.",
    "order_id": "The order it is about.",
    "complaint_id": "The complaint it is about.",
}


class _TaskContent(Input):
    channel: Channel | None = Field(default=None, description=_TASK["channel"])
    subject: Line | None = Field(default=None, description=_TASK["subject"])
    instructions: Prose | None = Field(default=None, description=_TASK["instructions"])
    order_id: UUID | None = Field(default=None, description=_TASK["order_id"])
    complaint_id: UUID | None = Field(default=None, description=_TASK["complaint_id"])


class NextFollowUp(_TaskContent):
    """A further contact to make, with the same customer."""

    model_config = with_examples({"due_on": "2026-11-30", "channel": "call", "subject": "确认退款到账"})

    due_on: NearDay = Field(description=_TASK["due_on"])
    holiday_rule: HolidayRule = Field(default="next", description=_PLAN["holiday_rule"])
    calendar_id: UUID | None = Field(default=None, description=_PLAN["calendar_id"])
    assignee_id: UUID | None = Field(
        default=None, description="Who does it; left out or null: whoever looks after the customer, else the queue."
    )


class FollowUpCreate(NextFollowUp):
    """A contact to make, planned by hand."""

    model_config = with_examples(
        {
            "customer_id": "01981a6e-0000-7000-8000-000000000000",
            "due_on": "2026-11-30",
            "channel": "call",
            "subject": "询问护理后的感受",
        }
    )

    customer_id: UUID = Field(description=_TASK["customer_id"])


class FollowUpUpdate(_TaskContent):
    """Fields of an open task to change; a field left out stays, null clears it."""

    model_config = with_examples({"channel": "wechat"}, {"assignee_id": None})

    assignee_id: UUID | None = Field(
        default=None, description="Who does it from now on, whoever looks after the customer; null: the queue."
    )
    follows_owner: Literal[True] = Field(
        default=True, description="Gives it back to whoever looks after the customer, and to whoever takes them over."
    )
    due_on: NearDay = Field(default=date(2000, 1, 1), description=_TASK["due_on"])


class Closing(Input):
    """How a task ends."""

    result: Result = Field(
        description="`reached` and `message_left` count as contacted; what led nowhere closes the task all the same."
    )
    satisfaction: Score | None = Field(default=None, description="How content the customer is, 1 to 5; if they said.")


class FollowUpComplete(Closing):
    """What came of a task; it becomes an interaction."""

    model_config = with_examples(
        {
            "result": "reached",
            "satisfaction": 4,
            "feedback": "整体满意，希望周末送货",
            "problem": "上次缺一包冰袋",
            "solution": "下次补发",
            "duration_seconds": 240,
            "next": {"due_on": "2026-12-14", "channel": "call"},
        },
    )

    channel: Channel | None = Field(default=None, description="By which way; the task's own if left out.")
    staff_id: UUID | None = Field(default=None, description="Who did it; the assignee if left out.")
    store_id: UUID | None = Field(default=None, description="Where it happened.")
    feedback: Prose | None = Field(default=None, description="What the customer said.")
    problem: Prose | None = Field(default=None, description="The problem the customer raised.")
    solution: Prose | None = Field(default=None, description="The solution that was given.")
    outcome: Line | None = Field(default=None, description="How it ended, in one line.")
    next_step: Prose | None = Field(default=None, description="What the shop promised to do.")
    duration_seconds: int | None = Field(
        strict=True, default=None, ge=0, le=MAX_DURATION, description="How long it took, in seconds."
    )
    attachments: list[Attachment] = Field(
        default_factory=list, max_length=MAX_ATTACHMENTS, description="https:// addresses of files; at most 50."
    )
    occurred_at: NearInstant | None = Field(
        default=None, description="When it happened, not in the future; now if left out."
    )
    next: NextFollowUp | None = Field(default=None, description="A further contact to make.")


class FollowUpSkip(Input):
    """Why a task is not done."""

    model_config = with_examples({"reason": "客户昨日刚到店"})

    reason: Line = Field(description="Why; for the report and the next one.")


class FollowUpSnooze(Input):
    """When to be reminded again."""

    model_config = with_examples({"until": "2026-11-24T10:00:00+08:00", "reason": "客户开会，约定明天上午"})

    until: NearInstant = Field(description="Hidden from what is due until then, in the future, at most 366 days.")
    reason: Line | None = Field(default=None, description="Why.")


class FollowUp(Wire):
    """A contact to make, or what became of it."""

    id: ResourceId
    customer_id: UUID = Field(description=_TASK["customer_id"])
    plan_id: UUID | None = Field(description="The plan that made it; null when somebody did.")
    plan_number: int | None = Field(description="By which version of the plan.")
    source: TaskSource = Field(description="Why it was made.")
    state: TaskState = Field(description="`open` waits to be done; the others are final.")
    status: TaskStatus = Field(
        description="The same as of now: an open task is `planned` before its day, `snoozed`, `due`, or `overdue` "
        "after `due_at`. `held_out` was drawn not to be done (see `holdout_percent`)."
    )
    slot: Day | None = Field(description="The day the plan asks for, before it was moved off days off.")
    due_on: Day = Field(description=_TASK["due_on"])
    due_from: Instant = Field(description="When it becomes due: the day's beginning, or the end of the snooze.")
    due_at: Instant = Field(description="When work ends on that day; overdue afterwards.")
    snoozed_until: Instant | None = Field(description="Until when it was put off; null when never.")
    snoozes: int = Field(description="How often it was put off.")
    channel: Channel | None = Field(description=_TASK["channel"])
    subject: str | None = Field(description=_TASK["subject"])
    instructions: str | None = Field(description=_TASK["instructions"])
    assignee_id: UUID | None = Field(description=_TASK["assignee_id"])
    follows_owner: bool = Field(description=_TASK["follows_owner"])
    order_id: UUID | None = Field(description=_TASK["order_id"])
    complaint_id: UUID | None = Field(description=_TASK["complaint_id"])
    interaction_id: UUID | None = Field(description="What it became; null before it is done.")
    result: Result | None = Field(description="What came of it; null before it is done.")
    satisfaction: int | None = Field(description="How content the customer was, 1 to 5; null when not said.")
    reason: str | None = Field(
        description="Why it was put off or skipped in somebody's words; of cancelled ones `left_segment`, "
        "`customer_gone`, `plan_archived`."
    )
    closed_at: Instant | None = Field(description="When the customer was contacted, or the task skipped or cancelled.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


# -- the one call ------------------------------------------------------------------------------------------------------


class ContactFollowUp(Closing):
    """The task that the contact closes."""

    model_config = with_examples({"id": "01981a6e-0000-7000-8000-000000000000", "result": "reached"})

    id: UUID = Field(description="An open task of the same customer.")


class ContactComplaint(ComplaintCreate):
    """The case that the contact opens; what is left out is taken from the interaction."""

    model_config = with_examples({"subject": "收到的虾已变质", "severity": "S2"})

    customer_id: UUID | None = Field(  # type: ignore[assignment]
        default=None, description="The interaction's customer; another is refused."
    )
    channel: ComplaintChannel | None = Field(  # type: ignore[assignment]
        default=None, description="How it reached the shop; the interaction's channel if left out."
    )


class ContactCreate(Input):
    """A contact with all that comes of it: everything is stored, or nothing."""

    model_config = with_examples(
        {
            "interaction": {
                "customer_id": "01981a6e-0000-7000-8000-000000000000",
                "channel": "call",
                "direction": "outbound",
                "problem": "收到的虾已变质",
                "next_step": "两日内答复",
            },
            "complaint": {"subject": "收到的虾已变质", "severity": "S2"},
            "next": {"due_on": "2026-11-30", "subject": "告知处理结果"},
        }
    )

    interaction: InteractionCreate = Field(description="What was said or done.")
    follow_up: ContactFollowUp | None = Field(default=None, description="A task that this closes.")
    complaint: ContactComplaint | None = Field(default=None, description="A case to open; or give `complaint_id`.")
    complaint_id: UUID | None = Field(default=None, description="A case this was about; it is linked to it.")
    next: NextFollowUp | None = Field(default=None, description="A further contact to make.")

    @model_validator(mode="after")
    def _one_case(self) -> Self:
        if self.complaint is not None and self.complaint_id is not None:
            raise PydanticCustomError("one_case", "Open a case with `complaint` or name one with `complaint_id`")
        return self


class Contact(Wire):
    """All that one contact wrote."""

    interaction: dict[str, Any] = Field(description="The interaction, as `GET /v1/interactions/{id}` shows it.")
    follow_up: dict[str, Any] | None = Field(description="The task it closed, as it is now; null when none.")
    complaint: dict[str, Any] | None = Field(description="The case it opened or was linked to; null when none.")
    next: dict[str, Any] | None = Field(description="The next task; null when none.")


# -- the effect --------------------------------------------------------------------------------------------------------


class EffectQuery(Input):
    """Which tasks, and how long after them."""

    since: NearDay | None = Field(
        default=None, description="Tasks asked for from this day on; 180 days before `until`."
    )
    until: NearDay | None = Field(default=None, description="And before this day; tomorrow if left out.")
    within_days: Annotated[int, Field(strict=True, ge=1, le=365)] = Field(
        default=30, description="A purchase counts within so many days."
    )


class EffectGroup(Wire):
    """Customers by what became of their first task of the period."""

    group: Literal["contacted", "tried", "not_contacted", "held_out"] = Field(
        description="`tried`: done, but nobody was reached. `not_contacted`: skipped, cancelled or overdue."
    )
    customers: int = Field(description="Customers whose days are over.")
    waiting: int = Field(description="Customers whose days are not over yet; they count nowhere else.")
    bought: int = Field(description="Of `customers`: bought within the days.")
    share: float | None = Field(description="`bought` of `customers`, 0 to 1; null without any.")
    bought_before: int = Field(description="Of `customers`: bought within as many days before.")
    share_before: float | None = Field(description="The same before: what the groups differed in anyway.")


class EffectComparison(Wire):
    """Two groups side by side."""

    comparison: Literal["contacted_to_not_contacted", "offered_to_held_out"] = Field(description="Which groups.")
    randomised: bool = Field(description="Whether a lot decided who is in which: only then is a difference an effect.")
    difference: float | None = Field(description="Share of the first less share of the second; null if one is empty.")
    low: float | None = Field(description="Lower end of the 95 % confidence interval (Newcombe 1998, method 10).")
    high: float | None = Field(description="Upper end.")
    difference_before: float | None = Field(description="The same difference in the days before.")
    caution: str = Field(description="What it may be taken for, in English.")
    caution_zh: str = Field(description="The same in Chinese.")


class FollowUpEffect(Wire):
    """What came of a plan's contacts."""

    plan_id: UUID = Field(description="Which plan.")
    since: Day = Field(description="Tasks asked for from this day on.")
    until: Day = Field(description="And before this day.")
    within_days: int = Field(description="A purchase counts within so many days.")
    groups: list[EffectGroup] = Field(description="Each customer once, by their first task of the period.")
    comparisons: list[EffectComparison] = Field(description="What differs, and how sure that is.")
