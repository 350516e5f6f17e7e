"""Referrals: domain models and wire shapes."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.money import Money, PositiveMoney
from crm_api.core.text import Line

MAX_POINTS = 10**9
MAX_DAYS = 3650

State = Literal["signed_up", "qualified", "pending", "flagged", "approved", "rewarded", "voided"]
Action = Literal["qualify", "wait", "approve", "flag", "reward", "fail", "void", "claw_back", "reopen"]
Decision = Literal["approve", "void", "reopen"]
Check = Literal[
    "self",
    "existing_customer",
    "shared_phone",
    "shared_account",
    "shared_address",
    "shared_device",
    "shared_payment_account",
    "velocity",
    "cycle",
    "cap",
    "blacklisted",
]
Answer = Literal["off", "flag", "void"]
Signal = Literal["device", "payment_account"]
Period = Literal["day", "week", "month", "year", "life"]
VoidReason = Literal[
    "self",
    "existing_customer",
    "shared_phone",
    "shared_account",
    "shared_address",
    "shared_device",
    "shared_payment_account",
    "velocity",
    "cycle",
    "cap",
    "blacklisted",
    "already_referred",
    "below_minimum",
    "expired",
    "order_refunded",
    "order_cancelled",
    "order_withdrawn",
    "customer_gone",
    "rejected",
]

_SOMEBODY = "01981a6e-0000-7000-8000-000000000000"
_SOMETHING = "01981a6e-0000-7000-8000-000000000001"

CodeText = Annotated[
    str,
    StringConstraints(min_length=4, max_length=32, pattern=r"^[A-Za-z0-9-]+$", strip_whitespace=True, to_upper=True),
]
"""What a customer passes on: letters, digits and hyphens; upper and lower case are the same."""
Trait = Annotated[str, StringConstraints(min_length=4, max_length=200, pattern=r"^[^\s\x00]+$")]
"""An opaque name of a device or a payment account; only its hash is kept."""

_DEVICE = Field(
    default=None,
    description="The device it happened on, as the shop names devices. Only a hash is kept, to compare.",
    examples=["d41d8cd98f00b204"],
)
_PAYMENT = Field(
    default=None,
    description="The payment account, as the payment provider names it (a token, never a card number). Only a hash is "
    "kept, to compare.",
    examples=["alipay_2088101122136241"],
)


class ReferralReward(Input):
    """What one side gets: points, or a voucher."""

    model_config = with_examples({"points": 200}, {"voucher_campaign_id": _SOMETHING})

    points: int | None = Field(
        default=None, ge=1, le=MAX_POINTS, strict=True, description="Points of the default programme.", examples=[200]
    )
    voucher_campaign_id: UUID | None = Field(default=None, description="The campaign a voucher is issued of.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.points is None) == (self.voucher_campaign_id is None):
            raise PydanticCustomError(
                "one_of", "Give either {expected}", {"expected": "'points' or 'voucher_campaign_id'"}
            )
        return self


class ReferralChecks(Input):
    """What each check does with a referral it finds something against."""

    model_config = with_examples({"shared_address": "off", "cap": "void"})

    existing_customer: Answer = Field(default="void", description="The friend, or their phone, has bought before.")
    shared_phone: Answer = Field(default="flag", description="A phone in common.")
    shared_account: Answer = Field(default="flag", description="An e-mail or chat account in common.")
    shared_address: Answer = Field(default="flag", description="A delivery address in common.")
    shared_device: Answer = Field(default="flag", description="A device in common.")
    shared_payment_account: Answer = Field(default="flag", description="A payment account in common.")
    velocity: Answer = Field(default="flag", description="More sign-ups in a time than `velocity_limit`.")
    cycle: Answer = Field(default="flag", description="The friend brought the referrer, straight or over others.")
    cap: Answer = Field(default="flag", description="The referrer has had `cap_count` rewards in the period.")
    blacklisted: Answer = Field(default="flag", description="Either side is blacklisted.")


_TERMS = {
    "minimum_order": "What the friend's order must bring after refunds; null: any paid amount. An order in another "
    "currency does not reach it.",
    "qualifying_order": "`first`: only the friend's first paid order counts. `any`: the first that reaches the "
    "minimum.",
    "window_days": "The return window in days: only then are rewards given. 0–3650.",
    "window_from": "Whether the window begins with the order's payment or with its completion.",
    "claim_days": "Days after the sign-up in which the friend must order; null: for ever.",
    "referrer_reward": "What who brought the friend gets; null: nothing.",
    "friend_reward": "What the friend gets; null: nothing.",
}
_Days = Annotated[int, Field(ge=0, le=MAX_DAYS, strict=True, examples=[7])]
Link = Annotated[str, StringConstraints(max_length=500, pattern=r"^https?://\S*\{code\}\S*$")]


class ReferralProgrammeCreate(Input):
    """A programme to start."""

    model_config = with_examples(
        {
            "name": "老带新",
            "minimum_order": {"amount": 9900, "currency": "CNY"},
            "window_days": 7,
            "referrer_reward": {"points": 200},
            "friend_reward": {"points": 100},
            "link_template": "https://shop.example.com/?ref={code}",
            "cap_count": 10,
            "checks": {"shared_address": "off"},
        }
    )

    name: Annotated[Line, Field(examples=["老带新"])] = Field(description="Unique among the shop's programmes.")
    active: bool = Field(default=True, strict=True, description="Whether friends can sign up.")
    starts_at: Instant | None = Field(default=None, description="From when on friends can sign up; null: at once.")
    ends_at: Instant | None = Field(default=None, description="Until when friends can sign up; null: open end.")
    minimum_order: PositiveMoney | None = Field(default=None, description=_TERMS["minimum_order"])
    qualifying_order: Literal["first", "any"] = Field(default="first", description=_TERMS["qualifying_order"])
    window_days: _Days = Field(default=7, description=_TERMS["window_days"])
    window_from: Literal["paid", "completed"] = Field(default="paid", description=_TERMS["window_from"])
    claim_days: Annotated[int, Field(ge=1, le=MAX_DAYS, strict=True)] | None = Field(
        default=90, description=_TERMS["claim_days"], examples=[90]
    )
    referrer_reward: ReferralReward | None = Field(default=None, description=_TERMS["referrer_reward"])
    friend_reward: ReferralReward | None = Field(default=None, description=_TERMS["friend_reward"])
    link_template: Annotated[Link, Field(examples=["https://shop.example.com/?ref={code}"])] | None = Field(
        default=None, description="The link customers pass on, with `{code}` where the code goes."
    )
    checks: ReferralChecks = Field(
        default_factory=ReferralChecks, description="`off`, `flag` (for review) or `void`, for each check."
    )
    velocity_limit: int = Field(
        default=5, ge=1, le=10_000, strict=True, description="Most sign-ups of one referrer in `velocity_hours`."
    )
    velocity_hours: int = Field(default=24, ge=1, le=8760, strict=True, description="Hours `velocity_limit` is for.")
    cap_count: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = Field(
        default=None, description="Most rewarded referrals of one referrer in a period; null: no limit.", examples=[10]
    )
    cap_period: Period = Field(default="month", description="Period of `cap_count`, in the shop's time zone.")


class ReferralProgrammeUpdate(Input):
    """Fields to change; a field left out stays. Friends who signed up before keep the terms they were promised."""

    model_config = with_examples({"window_days": 14, "checks": {"cycle": "void"}})

    name: Annotated[Line, Field(examples=["老带新"])] = Field(default="", description="Cannot be cleared.")
    active: bool = Field(default=True, strict=True, description="Whether friends can sign up.")
    starts_at: Instant | None = Field(default=None, description="From when on friends can sign up; null: at once.")
    ends_at: Instant | None = Field(default=None, description="Until when friends can sign up; null: open end.")
    minimum_order: PositiveMoney | None = Field(default=None, description=_TERMS["minimum_order"])
    qualifying_order: Literal["first", "any"] = Field(default="first", description=_TERMS["qualifying_order"])
    window_days: _Days = Field(default=7, description=_TERMS["window_days"])
    window_from: Literal["paid", "completed"] = Field(default="paid", description=_TERMS["window_from"])
    claim_days: Annotated[int, Field(ge=1, le=MAX_DAYS, strict=True)] | None = Field(
        default=None, description=_TERMS["claim_days"], examples=[90]
    )
    referrer_reward: ReferralReward | None = Field(default=None, description=_TERMS["referrer_reward"])
    friend_reward: ReferralReward | None = Field(default=None, description=_TERMS["friend_reward"])
    link_template: Annotated[Link, Field(examples=["https://shop.example.com/?ref={code}"])] | None = Field(
        default=None, description="The link customers pass on, with `{code}` where the code goes."
    )
    checks: ReferralChecks = Field(default_factory=ReferralChecks, description="Only the checks named change.")
    velocity_limit: int = Field(
        default=5, ge=1, le=10_000, strict=True, description="Most sign-ups of one referrer in `velocity_hours`."
    )
    velocity_hours: int = Field(default=24, ge=1, le=8760, strict=True, description="Hours `velocity_limit` is for.")
    cap_count: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = Field(
        default=None, description="Most rewarded referrals of one referrer in a period; null: no limit.", examples=[10]
    )
    cap_period: Period = Field(default="month", description="Period of `cap_count`, in the shop's time zone.")


class ReferralCodeCreate(Input):
    """A code for a customer to pass on."""

    model_config = with_examples({"customer_id": _SOMEBODY, "code": "WANG-88"})

    customer_id: UUID = Field(description="Who will bring friends.")
    code: Annotated[CodeText, Field(examples=["WANG-88"])] | None = Field(
        default=None, description="A code of one's own; left out, one is made that nobody can guess."
    )
    device_id: Trait | None = _DEVICE
    payment_account: Trait | None = _PAYMENT


class ReferralSignUp(Input):
    """A friend comes with a code."""

    model_config = with_examples(
        {"code": "K7QM2XWD", "customer_id": _SOMEBODY, "device_id": "d41d8cd98f00b204"},
    )

    code: Annotated[CodeText, Field(examples=["K7QM2XWD"])] = Field(description="The code they came with.")
    customer_id: UUID = Field(description="The friend: a customer of the shop.")
    signed_up_at: Instant | None = Field(
        default=None,
        description="When it happened, if not now: at most 30 days ago. Orders placed before are not the referrer's "
        "merit; those placed since, but an hour or more before this is told, put the referral up for review.",
    )
    device_id: Trait | None = _DEVICE
    payment_account: Trait | None = _PAYMENT


class ReferralSignal(Input):
    """Something by which two customers who are one person can be told."""

    model_config = with_examples(
        {"customer_id": _SOMEBODY, "kind": "payment_account", "value": "alipay_2088101122136241"}
    )

    customer_id: UUID = Field(description="Whose.")
    kind: Signal = Field(description="What `value` names.")
    value: Annotated[Trait, Field(examples=["alipay_2088101122136241"])] = Field(
        description="As the shop or the payment provider names it; only a hash is kept, to compare."
    )


class ReferralTransition(Input):
    """What a person decides."""

    model_config = with_examples(
        {"action": "void", "reason": "同一人注册多个账号"}, {"action": "reopen", "reason": "同一家庭，已电话核实"}
    )

    action: Decision = Field(
        description="`approve` a flagged one, `void` any (rewards are taken back), `reopen` a voided one."
    )
    reason: Annotated[Line, Field(examples=["同一人注册多个账号"])] = Field(description="Why, for the log.")


# -- what is shown -----------------------------------------------------------------------------------------------------


class Finding(Wire):
    """Something a check found."""

    code: Check = Field(description="Which check.")
    customer_id: UUID | None = Field(default=None, description="Who else it is about; null when nobody.")
    seen: int | None = Field(default=None, description="The number that was too high; null when none was counted.")


class ReferralFinding(Finding):
    """Something a check found, in words."""

    answer: Answer = Field(description="What the programme did about it.")
    en: str = Field(description="In English.")
    zh: str = Field(description="In Chinese.")


class ReferralPromise(Wire):
    """What a side gets."""

    points: int | None = Field(description="Points; null for a voucher.")
    voucher_campaign_id: UUID | None = Field(description="The voucher's campaign; null for points.")


class ReferralBooking(Wire):
    """What a side got."""

    points: int | None = Field(default=None, description="Points; null for a voucher.")
    transaction_id: UUID | None = Field(default=None, description="The points' transaction; null for a voucher.")
    voucher_id: UUID | None = Field(default=None, description="The voucher; null for points.")


class ReferralFailure(Wire):
    """Why something could not be booked."""

    code: str = Field(description="Stable, for programs.", examples=["no_programme"])
    en: str = Field(description="In English.")
    zh: str = Field(description="In Chinese.")


class ReferralTerms(Wire):
    """What was promised when the friend signed up; later changes of the programme do not touch it."""

    minimum_amount: int = Field(description="Minor units the order must bring after refunds.")
    currency: str | None = Field(description="Of the minimum; null: any currency.")
    qualifying_order: Literal["first", "any"] = Field(description=_TERMS["qualifying_order"])
    window_days: int = Field(description=_TERMS["window_days"])
    window_from: Literal["paid", "completed"] = Field(description=_TERMS["window_from"])
    claim_days: int | None = Field(description=_TERMS["claim_days"])
    referrer_reward: ReferralPromise | None = Field(description=_TERMS["referrer_reward"])
    friend_reward: ReferralPromise | None = Field(description=_TERMS["friend_reward"])


class StoredFinding(Finding):
    """A finding as it is kept: with what the programme wanted done about it then."""

    answer: Answer = Field(description="What the programme did about it.")


class Case(Wire):
    """All of a referral that its events determine; the same fields as its row."""

    version: Version
    state: State = Field(description="Where it stands.")
    state_changed_at: Instant = Field(description="When it came into this state.")
    programme_id: UUID = Field(description="The programme.")
    referrer_id: UUID = Field(description="Who brought the friend.")
    friend_id: UUID = Field(description="Who came.")
    signed_up_at: Instant = Field(description="When the friend signed up.")
    terms: ReferralTerms = Field(description="What was promised.")
    findings: list[StoredFinding] = Field(description="What the checks found.")
    waived: list[Check] = Field(description="Checks that somebody decided not to mind.")
    order_id: UUID | None = Field(description="The qualifying order.")
    qualified_at: Instant | None = Field(description="When that order was paid; null before.")
    due_at: Instant | None = Field(
        description="When time moves it on: the end of the time to order while signed up, of the return window while "
        "pending, the next attempt while a reward or its return is still to be booked; null when time does nothing."
    )
    flagged_at: Instant | None = Field(description="When it was last put up for review; null if never.")
    approved_at: Instant | None = Field(description="When it was approved; null before.")
    rewarded_at: Instant | None = Field(description="When both sides were rewarded; null before.")
    voided_at: Instant | None = Field(description="When it was voided; null while it is not.")
    void_reason: VoidReason | None = Field(description="Why it was voided; null while it is not.")
    attempt: int = Field(description="How often it was approved: once, unless it was reopened.")
    referrer_booked: ReferralBooking | None = Field(description="What the referrer got; null before.")
    friend_booked: ReferralBooking | None = Field(description="What the friend got; null before.")
    clawed_back_at: Instant | None = Field(description="When the rewards were taken back; null if they were not.")
    failure: ReferralFailure | None = Field(description="Why the last attempt to book failed; null when none did.")


class ReferralStep(Wire):
    """What a person can decide now."""

    action: Decision = Field(description="What to do.")
    to: State = Field(description="The state it leads to.")


class Referral(Wire):
    """A friend somebody brought, and where that stands."""

    id: ResourceId
    version: Version
    state: State = Field(
        description="signed_up → qualified (the order is paid) → pending (return window) → approved or flagged (for "
        "review) → rewarded; voided ends it."
    )
    state_changed_at: Instant = Field(description="When it came into this state.")
    programme_id: UUID = Field(description="The programme.")
    referrer_id: UUID = Field(description="Who brought the friend.")
    friend_id: UUID = Field(description="Who came.")
    signed_up_at: Instant = Field(description="When the friend signed up.")
    terms: ReferralTerms = Field(description="What was promised then.")
    findings: list[ReferralFinding] = Field(description="What the checks found, in words.")
    order_id: UUID | None = Field(description="The qualifying order; null before.")
    qualified_at: Instant | None = Field(description="When that order was paid; null before.")
    due_at: Instant | None = Field(
        description="When time moves it on: the end of the time to order while signed up, of the return window while "
        "pending, the next attempt while a reward or its return is still to be booked; null when time does nothing."
    )
    flagged_at: Instant | None = Field(description="When it was last put up for review; null if never.")
    approved_at: Instant | None = Field(description="When it was approved; null before.")
    rewarded_at: Instant | None = Field(description="When both sides were rewarded; null before.")
    voided_at: Instant | None = Field(description="When it was voided; null while it is not.")
    void_reason: VoidReason | None = Field(description="Why it was voided; null while it is not.")
    void_reason_en: str | None = Field(description="The same in English.")
    void_reason_zh: str | None = Field(description="The same in Chinese.")
    referrer_booked: ReferralBooking | None = Field(description="What the referrer got; null before.")
    friend_booked: ReferralBooking | None = Field(description="What the friend got; null before.")
    clawed_back_at: Instant | None = Field(description="When the rewards were taken back; null if they were not.")
    failure: ReferralFailure | None = Field(description="Why the last attempt to book failed; null when none did.")
    steps: list[ReferralStep] = Field(description="What a person can decide now.")
    created_at: CreatedAt
    updated_at: UpdatedAt


class ReferralEvent(Wire):
    """Something that happened to a referral; never changed afterwards."""

    id: ResourceId
    referral_id: UUID = Field(description="The referral it belongs to.")
    number: int = Field(description="Counts the referral's events from 1; its version after this one.")
    at: Instant = Field(description="When it happened.")
    actor_kind: str = Field(description="`key` for an API key, `system` for the service itself.")
    actor_id: UUID = Field(description="The key, or the tenant for the service itself.")
    action: str = Field(description="A transition's action, or `sign_up`.", examples=["approve"])
    from_state: State | None = Field(description="Null for the first event.")
    to_state: State = Field(description="The state since.")
    note: str | None = Field(description="The reason a person gave.")
    data: dict[str, Any] = Field(description="The fields it set.")


class ReferralProgramme(Wire):
    """How friends are brought, what that brings, and what is looked at before."""

    id: ResourceId
    name: str = Field(description="Unique among the shop's programmes.")
    active: bool = Field(description="Whether friends can sign up.")
    starts_at: Instant | None = Field(description="From when on friends can sign up; null: at once.")
    ends_at: Instant | None = Field(description="Until when friends can sign up; null: open end.")
    minimum_order: Money | None = Field(description=_TERMS["minimum_order"])
    qualifying_order: Literal["first", "any"] = Field(description=_TERMS["qualifying_order"])
    window_days: int = Field(description=_TERMS["window_days"])
    window_from: Literal["paid", "completed"] = Field(description=_TERMS["window_from"])
    claim_days: int | None = Field(description=_TERMS["claim_days"])
    referrer_reward: ReferralPromise | None = Field(description=_TERMS["referrer_reward"])
    friend_reward: ReferralPromise | None = Field(description=_TERMS["friend_reward"])
    link_template: str | None = Field(description="The link customers pass on, with `{code}` where the code goes.")
    checks: ReferralChecks = Field(description="`off`, `flag` (for review) or `void`, for each check.")
    velocity_limit: int = Field(description="Most sign-ups of one referrer in `velocity_hours`.")
    velocity_hours: int = Field(description="Hours `velocity_limit` is for.")
    cap_count: int | None = Field(description="Most rewarded referrals of one referrer in a period; null: no limit.")
    cap_period: Period = Field(description="Period of `cap_count`, in the shop's time zone.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class ReferralCode(Wire):
    """A customer's code in a programme."""

    id: ResourceId
    programme_id: UUID = Field(description="The programme.")
    customer_id: UUID = Field(description="Whose code it is.")
    code: str = Field(description="What friends come with; upper and lower case are the same.", examples=["K7QM2XWD"])
    link: str | None = Field(description="The link to pass on; null when the programme has no `link_template`.")
    created_at: CreatedAt
