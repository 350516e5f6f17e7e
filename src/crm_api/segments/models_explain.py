"""Why somebody is in a segment or not, and what a rule would select: inputs and wire shapes."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, JsonValue
from pydantic_core import PydanticCustomError

from crm_api.core.models import Input, Instant, Wire, with_examples
from crm_api.core.rules import RuleTree
from crm_api.segments.models import EXAMPLE_RULE, RuleSentence, SegmentLogEntry

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""Rules reckon windows before and after a moment: around these there is room for them in every calendar."""

_NODE = "/rule/where/all/1"
_CUSTOMER = "01981a6e-0000-7000-8000-000000000000"


def _of_our_times(value: datetime) -> datetime:
    if not EARLIEST <= value < LATEST:
        raise PydanticCustomError("beyond_calendar", "Give a time from 1970 to 2099")
    return value


AsOfTime = Annotated[Instant, AfterValidator(_of_our_times)]
AS_OF: Final = (
    "The time that windows and relative times of the rule are relative to, 1970–2099; now, if left out. What is "
    "stored counts as it is today."
)

NodeKind = Literal["all", "any", "not", "field", "aggregate", "bucket", "sequence", "step"]


class Preview(Input):
    """A rule to try out; nothing is stored."""

    model_config = with_examples({"rule": EXAMPLE_RULE, "as_of": "2026-11-11T00:00:00+08:00"}, {"rule": EXAMPLE_RULE})

    rule: RuleTree = Field(
        examples=[EXAMPLE_RULE], description="Who to count; `GET /v1/rule-fields` lists what it can name."
    )
    as_of: AsOfTime | None = Field(default=None, description=AS_OF)
    funnel: bool = Field(
        default=True,
        strict=True,
        description="Whether to count each leaf by itself, too: that asks every leaf about every customer. false "
        "answers sooner, with `funnel` null.",
    )


class RuleExplain(Input):
    """A rule that need not be anybody's, and a customer to ask it about."""

    model_config = with_examples({"rule": EXAMPLE_RULE, "customer_id": _CUSTOMER})

    rule: RuleTree = Field(
        examples=[EXAMPLE_RULE], description="The rule; `GET /v1/rule-fields` lists what it can name."
    )
    customer_id: UUID = Field(description="Whom to ask it about.")
    as_of: AsOfTime | None = Field(default=None, description=AS_OF)


class NodeVerdict(Wire):
    """One node of a rule, and what came of it for one customer."""

    pointer: str = Field(description="JSON pointer of the node in the answer, whose `rule` it is.", examples=[_NODE])
    kind: NodeKind = Field(description="What the node is; `step`: one step of a sequence.")
    sentence: RuleSentence = Field(description="The node in words.")
    holds: bool | None = Field(
        description="Whether it holds for the customer. Null inside `where`, where nodes are about rows: there `rows` "
        "says for how many of `looked_at` it holds."
    )
    op: str | None = Field(description="The leaf's operator; null for other nodes.", examples=["gte"])
    asked: JsonValue | None = Field(
        description="What the leaf compares with, relative times settled; null when with nothing.", examples=[3]
    )
    found: JsonValue | None = Field(
        description="The value the leaf found: a figure, a text, money, the members (of many, 100, those asked for "
        "first) …; null when there is none.",
        examples=[2],
    )
    window: dict[str, JsonValue] | None = Field(
        description="The settled edges of an aggregate's window, `[from, to)`; null without one.",
        examples=[{"from": "2026-08-13T03:20:00+00:00", "to": "2026-11-11T03:20:00+00:00"}],
    )
    rows: int | None = Field(
        description="Of an aggregate the rows that counted; inside `where` those the node holds for; null otherwise.",
        examples=[2],
    )
    looked_at: int | None = Field(
        description="Inside `where`: the customer's rows in the window, whether they count or not.", examples=[5]
    )
    first_at: Instant | None = Field(description="Of an aggregate: when the earliest row that counted was.")
    last_at: Instant | None = Field(description="Of an aggregate: when the latest row that counted was.")


class ExplainedNode(NodeVerdict):
    """A node with those inside it."""

    parts: list["ExplainedNode"] = Field(
        description="The nodes inside, in order: of `all`, `any` and `not` those they join, of an aggregate its "
        "`where`, of a sequence its steps."
    )


class ListedNode(NodeVerdict):
    """A node in a list: GraphQL cannot ask for a tree of any depth."""

    parent: str | None = Field(description="Pointer of the node it is inside; null for the root.", examples=["/rule"])


class RuleExplanation(Wire):
    """What a rule says of one customer, and why."""

    customer_id: UUID = Field(description="Who was asked about.")
    as_of: Instant = Field(description="What relative times are relative to.")
    rule: dict[str, Any] = Field(description="The rule, with the version of its language; `pointer`s lead into it.")
    holds: bool = Field(description="Whether the rule holds for the customer.")
    tree: ExplainedNode = Field(description="The rule node by node.")


class MembershipGap(Wire):
    """Why the stored membership is not what the rule says now."""

    code: Literal["not_evaluated", "evaluation_failed", "snapshot", "archived", "not_evaluated_since"] = Field(
        description="Stable; switch on this."
    )
    en: str = Field(description="English.", examples=["It is archived: its members stay as they were"])
    zh: str = Field(description="Chinese.", examples=["分群已归档，成员保持不变"])


class SegmentExplanation(Wire):
    """Why a customer is in a segment or not."""

    segment_id: UUID = Field(description="Which segment.")
    customer_id: UUID = Field(description="Who was asked about.")
    as_of: Instant = Field(description="What relative times are relative to: now, of a snapshot its own moment.")
    member: bool = Field(description="Whether the customer is a member, as stored.")
    entered_at: Instant | None = Field(description="Since when; null when no member.")
    rule: dict[str, Any] | None = Field(
        description="The rule, with the version of its language; `pointer`s lead into it. Null without a rule."
    )
    holds: bool | None = Field(description="Whether the rule holds for the customer now; null without a rule.")
    gap: MembershipGap | None = Field(
        description="Why `member` is not what `holds` says; null when they agree, and without a rule."
    )
    tree: ExplainedNode | None = Field(description="The rule node by node; null without a rule.")
    log: list[SegmentLogEntry] = Field(description="When the customer entered and left, the newest 10, and the causes.")


class FunnelLeaf(Wire):
    """What one leaf selects by itself."""

    pointer: str = Field(description="JSON pointer of the leaf in the rule as stored.", examples=[_NODE])
    sentence: RuleSentence = Field(description="The leaf in words.")
    count: int = Field(description="Customers it holds for.", examples=[1204])


class FunnelStep(Wire):
    """What is left after one part of a rule that joins its parts by `all`."""

    pointer: str = Field(description="JSON pointer of the part in the rule as stored.", examples=[_NODE])
    sentence: RuleSentence = Field(description="The part in words.")
    remaining: int = Field(description="Customers that this part and those before it hold for.", examples=[87])


class Funnel(Wire):
    """How a rule narrows the customers down."""

    customers: int = Field(description="Customers there are.", examples=[20000])
    leaves: list[FunnelLeaf] = Field(description="Each leaf by itself, in the order they are written.")
    steps: list[FunnelStep] = Field(description="The parts of an `all` one after the other; empty for other rules.")


class NoFunnel(Wire):
    """Why a preview comes without a funnel."""

    code: Literal["not_asked_for", "took_too_long"] = Field(description="Stable; switch on this.")
    en: str = Field(
        description="English.",
        examples=[
            "Asking every leaf about every customer took longer than 5 seconds: only the count is shown, it is exact"
        ],
    )
    zh: str = Field(description="Chinese.", examples=["逐条统计超过 5 秒，仅显示人数（人数准确）"])


class PreviewResult(Wire):
    """What a rule would select."""

    count: int = Field(description="Customers the rule selects.")
    sample: list[dict[str, Any]] = Field(description="Up to 20 customers, the newest.")
    as_of: Instant = Field(description="What relative times were relative to.")
    funnel: Funnel | None = Field(description="How it narrows them down; null when `no_funnel` says why not.")
    no_funnel: NoFunnel | None = Field(description="Why there is no funnel; null when there is one.")
