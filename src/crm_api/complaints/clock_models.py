"""Policies of clocks, the clocks of a case, what they announced, and who gets a case: wire shapes."""

from base64 import b64decode
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from crm_api.complaints.models import Channel, Happened, Kind, Severity, State
from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.service_clocks import Clock, ClockState
from crm_api.core.text import Line, Prose, storable
from crm_api.staff.models import Obstacle

TargetSeverity = Literal["S1", "S2", "S3", "S4", "default"]
OpenState = Literal[
    "received",
    "acknowledged",
    "assessed",
    "in_progress",
    "waiting_customer",
    "waiting_third_party",
    "proposed",
    "escalated_external",
]
StepAt = Literal["warn", "breach"]
StepAction = Literal["notify", "raise", "reassign", "webhook"]
Addressee = Literal["assignee", "team_lead"]
What = Literal["warned", "breached", "escalated"]
Outcome = Literal["told", "pending", "done", "not_needed", "failed"]
Mark = Literal["return_received", "refunded"]
PresetName = Literal["shop", "wechat_shop", "odr", "refund"]
AssignCause = Literal["opened", "asked", "off", "escalated", "queue", "reopened"]

MAX_MINUTES: Final = 525_600
"""A year of minutes."""
MAX_STEPS: Final = 20
_ID: Final = "01981a6e-0000-7000-8000-000000000000"


def _once(values: list[Any]) -> list[Any]:
    if len({*values}) != len(values):
        raise PydanticCustomError("repeated_value", "Give each only once")
    return values


def _signs(secret: str) -> str:
    """Refuse what Standard Webhooks cannot sign with."""
    try:
        key = b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not (secret.startswith("whsec_") and 24 <= len(key) <= 64):  # noqa: PLR2004 - as the specification says
        raise PydanticCustomError("bad_secret", "A secret is whsec_ and 24 to 64 bytes in base64")
    return secret


Minutes = Annotated[int, Field(ge=1, le=MAX_MINUTES, strict=True)]
Url = Annotated[
    str, StringConstraints(min_length=1, max_length=2000, pattern=r"^https?://[^\s/]+\S*$"), AfterValidator(storable)
]
CausePrefix = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00/]+(/[^\x00/]+)*$"), AfterValidator(storable)
]

# -- policies ----------------------------------------------------------------------------------------------------------

_TARGET: Final = {
    "severity": "Of which severity; `default` is for those that are not named.",
    "minutes": "Minutes of business time of the policy's calendar. Give minutes or working_days.",
    "working_days": "Full working days after that of the start: due when work ends on the last.",
    "natural": "Whether minutes count around the clock, as platforms and laws count hours.",
}


class ClockTarget(Input):
    """How long something may take for cases of a severity."""

    model_config = with_examples({"severity": "S1", "minutes": 240}, {"severity": "default", "working_days": 10})

    severity: TargetSeverity = Field(default="default", description=_TARGET["severity"])
    minutes: Minutes | None = Field(default=None, description=_TARGET["minutes"])
    working_days: Annotated[int, Field(ge=1, le=366, strict=True)] | None = Field(
        default=None, description=_TARGET["working_days"]
    )
    natural: bool = Field(default=False, strict=True, description=_TARGET["natural"])

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.minutes is None) == (self.working_days is None):
            raise PydanticCustomError("one_of", "Give either {expected}", {"expected": "'minutes' or 'working_days'"})
        return self


class ClockTargetShown(Wire):
    """How long something may take for cases of a severity."""

    severity: TargetSeverity = Field(description=_TARGET["severity"])
    minutes: int | None = Field(description=_TARGET["minutes"])
    working_days: int | None = Field(description=_TARGET["working_days"])
    natural: bool = Field(description=_TARGET["natural"])


_TERMS: Final = {
    "clock": "Which clock. `next_response` runs from the first customer message nobody has answered; `refund` from the "
    "mark `return_received`.",
    "targets": "Limits by severity; none for a severity: the clock only measures.",
    "paused_in": "States of the case in which it stands still.",
    "warn_percent": "Warn when so much of the limit is used up; null never warns.",
}


def _each_severity_once(targets: list[ClockTarget]) -> list[ClockTarget]:
    _once([each.severity for each in targets])
    return targets


class ClockTerms(Input):
    """What holds for one clock."""

    model_config = with_examples(
        {"clock": "resolution", "targets": [{"severity": "S1", "minutes": 720}], "paused_in": ["waiting_customer"]}
    )

    clock: Clock = Field(description=_TERMS["clock"])
    targets: Annotated[list[ClockTarget], Field(min_length=1, max_length=5), AfterValidator(_each_severity_once)] = (
        Field(description=_TERMS["targets"], examples=[[{"severity": "S1", "minutes": 720}]])
    )
    paused_in: Annotated[list[OpenState], Field(max_length=8), AfterValidator(_once)] = Field(
        default_factory=list, description=_TERMS["paused_in"]
    )
    warn_percent: Annotated[int, Field(ge=1, le=99, strict=True)] | None = Field(
        default=80, description=_TERMS["warn_percent"]
    )


class ClockTermsShown(Wire):
    """What holds for one clock."""

    clock: Clock = Field(description=_TERMS["clock"])
    targets: list[ClockTargetShown] = Field(description=_TERMS["targets"])
    paused_in: list[State] = Field(description=_TERMS["paused_in"])
    warn_percent: int | None = Field(description=_TERMS["warn_percent"])


_STEP: Final = {
    "at": "After the warning, or after the limit was missed.",
    "clock": "Of which clock; null is any of the policy's.",
    "after_minutes": "So many minutes later: business time, natural where the limit is natural. Not taken if the clock "
    "has stopped by then.",
    "action": "`notify`: the message `complaint.escalated` names whom to tell; `raise`: one severity graver; "
    "`reassign`: to `staff_id`, or to somebody else by the rules of assignment; `webhook`: a signed POST to `url`.",
    "to": "Whom to tell.",
    "staff_ids": "Whom to tell besides.",
    "staff_id": "Who gets the case; null asks the rules of assignment.",
    "url": "Where to; public addresses only.",
}


class EscalationStep(Input):
    """What is done when a clock warns or is missed, once for each run of it."""

    model_config = with_examples(
        {"at": "breach", "after_minutes": 60, "action": "notify", "to": ["assignee", "team_lead"]},
        {"at": "breach", "after_minutes": 240, "action": "raise"},
    )

    at: StepAt = Field(description=_STEP["at"])
    clock: Clock | None = Field(default=None, description=_STEP["clock"])
    after_minutes: Annotated[int, Field(ge=0, le=MAX_MINUTES, strict=True)] = Field(
        default=0, description=_STEP["after_minutes"]
    )
    action: StepAction = Field(description=_STEP["action"])
    to: Annotated[list[Addressee], Field(max_length=2), AfterValidator(_once)] = Field(
        default_factory=list, description=_STEP["to"]
    )
    staff_ids: Annotated[list[UUID], Field(max_length=50), AfterValidator(_once)] = Field(
        default_factory=list, description=_STEP["staff_ids"]
    )
    staff_id: UUID | None = Field(default=None, description=_STEP["staff_id"])
    url: Url | None = Field(default=None, description=_STEP["url"], examples=["https://shop.example/hooks/sla"])

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.action == "webhook") != (self.url is not None):
            raise PydanticCustomError("step_url", "A webhook, and only a webhook, has a url")
        if self.action == "notify" and not (self.to or self.staff_ids):
            raise PydanticCustomError("step_nobody", "Say whom to notify: to or staff_ids")
        if (self.action != "notify" and (self.to or self.staff_ids)) or (self.action != "reassign" and self.staff_id):
            raise PydanticCustomError("step_strays", "to and staff_ids belong to notify, staff_id to reassign")
        return self

    @property
    def key(self) -> str:
        """Return what makes the step the same one when the policy is changed around it."""
        return step_key(self.at, self.clock, self.after_minutes, self.action)


def step_key(at: str, clock: str | None, after_minutes: int, action: str) -> str:
    """Return what identifies a step within its policy."""
    return f"{at}+{after_minutes}:{action}" + (f"@{clock}" if clock else "")


def _each_step_once(steps: list[EscalationStep]) -> list[EscalationStep]:
    _once([each.key for each in steps])
    return steps


class EscalationStepShown(Wire):
    """What is done when a clock warns or is missed, once for each run of it."""

    at: StepAt = Field(description=_STEP["at"])
    clock: Clock | None = Field(description=_STEP["clock"])
    after_minutes: int = Field(description=_STEP["after_minutes"])
    action: StepAction = Field(description=_STEP["action"])
    to: list[Addressee] = Field(description=_STEP["to"])
    staff_ids: list[UUID] = Field(description=_STEP["staff_ids"])
    staff_id: UUID | None = Field(description=_STEP["staff_id"])
    url: str | None = Field(description=_STEP["url"])


class ClockConditions(Input):
    """For which cases a policy is; what is left out does not matter."""

    model_config = with_examples({"channel": ["regulator"]}, {"category": ["quality/cold_chain"], "severity": ["S1"]})

    kind: Annotated[list[Kind], Field(min_length=1, max_length=10), AfterValidator(_once)] | None = Field(
        default=None, description="Any of these kinds."
    )
    channel: Annotated[list[Channel], Field(min_length=1, max_length=20), AfterValidator(_once)] | None = Field(
        default=None, description="Reached the shop by any of these."
    )
    category: Annotated[list[CausePrefix], Field(min_length=1, max_length=50), AfterValidator(_once)] | None = Field(
        default=None,
        description="In any of these categories or below: `quality` is also `quality/cold_chain`.",
        examples=[["quality/cold_chain"]],
    )
    severity: Annotated[list[Severity], Field(min_length=1, max_length=4), AfterValidator(_once)] | None = Field(
        default=None, description="Of any of these severities."
    )


class ClockConditionsShown(Wire):
    """For which cases a policy is."""

    kind: list[Kind] | None = Field(description="Any of these kinds; null is all.")
    channel: list[Channel] | None = Field(description="Reached the shop by any of these; null is all.")
    category: list[str] | None = Field(description="In any of these categories or below; null is all.")
    severity: list[Severity] | None = Field(description="Of any of these severities; null is all.")


def _each_clock_once(clocks: list[ClockTerms]) -> list[ClockTerms]:
    _once([each.clock for each in clocks])
    return clocks


_POLICY: Final = {
    "name": "What it is called; unique in the tenant.",
    "position": "The lowest is asked first. Each clock of a case follows the first policy that is for the case and has "
    "that clock.",
    "active": "false: it is passed over.",
    "conditions": "For which cases it is.",
    "calendar_id": "Whose business time counts; null is the default calendar.",
    "clocks": "Limits, pauses and warnings by clock.",
    "escalations": "What is done at warnings and missed limits, each step once for each run of a clock.",
    "note": "Where the limits come from.",
    "secret": "Signs webhooks as Standard Webhooks says (`whsec_…`, base64); never shown.",
}
Position = Annotated[int, Field(ge=0, le=100_000, strict=True)]
Clocks = Annotated[list[ClockTerms], Field(min_length=1, max_length=6), AfterValidator(_each_clock_once)]
Steps = Annotated[list[EscalationStep], Field(max_length=MAX_STEPS), AfterValidator(_each_step_once)]
Secret = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_signs)]
_SAMPLE: Final[dict[str, Any]] = {
    "name": "冷链投诉",
    "position": 10,
    "conditions": {"category": ["quality/cold_chain"]},
    "clocks": [
        {"clock": "first_response", "targets": [{"severity": "default", "minutes": 60}]},
        {
            "clock": "resolution",
            "targets": [{"severity": "S1", "minutes": 480}, {"severity": "default", "minutes": 960}],
            "paused_in": ["waiting_customer"],
            "warn_percent": 80,
        },
    ],
    "escalations": [
        {"at": "warn", "action": "notify", "to": ["assignee"]},
        {"at": "breach", "after_minutes": 60, "action": "raise"},
    ],
}


class ClockPolicyCreate(Input):
    """Limits for cases."""

    model_config = with_examples(_SAMPLE)

    name: Annotated[Line, Field(examples=["冷链投诉"])] = Field(description=_POLICY["name"])
    position: Position = Field(default=100, description=_POLICY["position"])
    active: bool = Field(default=True, strict=True, description=_POLICY["active"])
    conditions: ClockConditions = Field(default_factory=ClockConditions, description=_POLICY["conditions"])
    calendar_id: UUID | None = Field(default=None, description=_POLICY["calendar_id"])
    clocks: Clocks = Field(description=_POLICY["clocks"], examples=[_SAMPLE["clocks"]])
    escalations: Steps = Field(
        default_factory=list, description=_POLICY["escalations"], examples=[_SAMPLE["escalations"]]
    )
    note: Prose | None = Field(default=None, description=_POLICY["note"])
    secret: Secret | None = Field(default=None, description=_POLICY["secret"])


class ClockPolicyUpdate(Input):
    """Fields to change; a field left out stays, null clears it. Open cases are clocked anew, in the background."""

    model_config = with_examples({"active": False}, {"clocks": _SAMPLE["clocks"]})

    name: Line = Field(default="", description=_POLICY["name"])
    position: Position = Field(default=100, description=_POLICY["position"])
    active: bool = Field(default=True, strict=True, description=_POLICY["active"])
    conditions: ClockConditions = Field(
        default_factory=ClockConditions, description=f"Replaces all. {_POLICY['conditions']}"
    )
    calendar_id: UUID | None = Field(default=None, description=_POLICY["calendar_id"])
    clocks: Clocks = Field(
        default_factory=list, description=f"Replaces all. {_POLICY['clocks']}", examples=[_SAMPLE["clocks"]]
    )
    escalations: Steps = Field(
        default_factory=list,
        description=f"Replaces all. {_POLICY['escalations']}",
        examples=[_SAMPLE["escalations"]],
    )
    note: Prose | None = Field(default=None, description=_POLICY["note"])
    secret: Secret | None = Field(default=None, description=_POLICY["secret"])


class ClockPolicyAdopt(Input):
    """A ready-made policy to begin with."""

    model_config = with_examples({"preset": "wechat_shop"})

    preset: PresetName = Field(description="Which; see `GET /v1/clock-presets` for what they hold and their sources.")


class ClockPolicy(Wire):
    """Limits for cases."""

    id: ResourceId
    name: str = Field(description=_POLICY["name"])
    position: int = Field(description=_POLICY["position"])
    active: bool = Field(description=_POLICY["active"])
    conditions: ClockConditionsShown = Field(description=_POLICY["conditions"])
    calendar_id: UUID | None = Field(description=_POLICY["calendar_id"])
    clocks: list[ClockTermsShown] = Field(description=_POLICY["clocks"])
    escalations: list[EscalationStepShown] = Field(description=_POLICY["escalations"])
    preset: PresetName | None = Field(description="The preset it was made of.")
    note: str | None = Field(description=_POLICY["note"])
    has_secret: bool = Field(description="Whether a secret is stored; it is never shown.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class ClockPreset(Wire):
    """A ready-made policy."""

    name: PresetName = Field(description="What to adopt it by.")
    clocks: list[ClockTermsShown] = Field(description=_POLICY["clocks"])
    note: dict[str, str] = Field(description="Where its limits come from, by language.", examples=[{"en": "…"}])


class ClockPresets(Wire):
    """Ready-made policies."""

    presets: list[ClockPreset] = Field(description="All there are.")


class ReclockingProgress(Wire):
    """How far a change of policies or calendars has reached."""

    waiting: int = Field(description="Cases that are still clocked by the policies and calendars of before.")
    total: int = Field(description="Cases with clocks that can still run.")


# -- clocks of a case --------------------------------------------------------------------------------------------------


class ComplaintClock(Wire):
    """One run of a clock of a case: what is due until when, as of now."""

    id: ResourceId
    complaint_id: UUID = Field(description="Whose.")
    policy_id: UUID = Field(description="The policy it follows.")
    clock: Clock = Field(description="Which clock.")
    cycle: int = Field(description="Counts its runs from 1; only `next_response` and `refund` run more than once.")
    state: ClockState = Field(description="`breached` also after it has stopped, if that was too late.")
    started_at: Instant = Field(description="When it started.")
    due_at: Instant | None = Field(description="Until when it must stop; null while it stands still, without a limit.")
    warn_at: Instant | None = Field(description="When it warns; null likewise, and if the policy never warns.")
    warned_at: Instant | None = Field(description="When it warned.")
    breached_at: Instant | None = Field(description="The limit that was missed; nothing takes it back.")
    stopped_at: Instant | None = Field(description="When what it waits for happened, or when it was cancelled.")
    natural: bool = Field(description="Whether it counts around the clock.")
    spent_seconds: int = Field(
        description="Time used up as of `measured_at`: business time, or natural where the limit is."
    )
    measured_at: Instant = Field(description="As of when `spent_seconds` is; final once it has stopped.")


class ComplaintClockAlert(Wire):
    """What a clock announced: a warning, a missed limit, or a step of escalation. Each once."""

    id: ResourceId
    complaint_id: UUID = Field(description="Of which case.")
    complaint_clock_id: UUID = Field(description="Of which run of which clock.")
    clock: Clock = Field(description="Which clock.")
    cycle: int = Field(description="Which run of it.")
    what: What = Field(description="What was announced.")
    step: str | None = Field(description="Which step of the policy; null for warnings and missed limits.")
    action: StepAction | None = Field(description="What the step does.")
    at: Instant = Field(description="The moment it was due, whenever it was noticed.")
    told_at: Instant = Field(description="When it was noticed and told.")
    outcome: Outcome = Field(
        description="`told`: there is nothing more to do; `pending`: the step is being done; `not_needed`: the case "
        "had moved on; `failed`: see reason."
    )
    reason: str | None = Field(description="Why it failed, or was not needed.")


class ClockMark(Input):
    """Something that moves a clock and is no step of the case."""

    model_config = with_examples({"what": "return_received", "at": "2026-11-11T03:20:00+00:00"})

    what: Mark = Field(description="`return_received` starts the clock `refund`; `refunded` stops it.")
    at: Happened | None = Field(default=None, description="When it happened; now when left out, not in the future.")


# -- assignment --------------------------------------------------------------------------------------------------------


class ComplaintAssign(Input):
    """Whom to give a case to."""

    model_config = with_examples({}, {"staff_id": _ID})

    staff_id: UUID | None = Field(default=None, description="Who handles it from now on; left out: ask the rules.")
    note: Line | None = Field(default=None, description="For the log.")


class ComplaintAssignment(Wire):
    """What came of asking the rules."""

    staff_id: UUID | None = Field(description="Who handles the case now; null when nobody could be found.")
    rule_id: UUID | None = Field(description="The rule that decided, or was for the case; null when none was.")
    reason: Obstacle | None = Field(description="What was lacking, when nobody could be found.")


class ComplaintQueueEntry(Wire):
    """A case that no rule has found anybody for yet."""

    id: ResourceId
    complaint_id: UUID = Field(description="Which case.")
    rule_id: UUID = Field(description="The rule that was for it.")
    reason: Obstacle = Field(description="What was lacking.")
    since: Instant = Field(description="Since when it has been waiting.")


COMPLAINT_FIELDS: Final[dict[str, Any]] = {
    "due_at": (
        Instant | None,
        Field(
            description="Until when the first clock that has not stopped must stop; in the past if it is missed. Null "
            "when none runs."
        ),
    ),
    "breached": (bool, Field(description="Whether any limit was missed.")),
}
"""What clocks add to every case."""
