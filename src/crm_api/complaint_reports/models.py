"""Statistics of complaints: what is asked, and wire shapes. Periods are half-open: ``[from, to)``."""

from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import Field

from crm_api.compensations.models import CompensationKind
from crm_api.complaints.models import Channel, Kind, Severity
from crm_api.core.models import Input, Instant, Wire
from crm_api.core.moments import Moment
from crm_api.core.text import Line

GroupBy = Literal[
    "cause",
    "category",
    "product",
    "batch",
    "staff",
    "store",
    "channel",
    "severity",
    "kind",
    "day",
    "week",
    "month",
    "quarter",
    "year",
]
DEEPEST: Final = 5
MOST_GROUPS: Final = 500

_ASKED: Final = {
    "from_at": "A day, meaning its beginning in the tenant's zone, or an RFC 3339 time; 30 days before the later one, "
    "if left out. Cases belong to the period they were received in.",
    "to_at": "Until before this day or time; now, if left out.",
    "by": "What to count by. `cause`: the root cause, or the category while there is none. A case about several "
    "products or batches counts for each. `day` to `year`: by when it was received, in the tenant's zone.",
    "level": "Of causes and categories: how many parts of their path, 1 to 5.",
    "kind": "Only complaints, inquiries, requests or praise.",
    "channel": "Only what came this way.",
    "severity": "Only of this severity.",
    "cause": "Only with this cause, or one below it.",
    "sku": "Only about this article.",
    "staff_id": "Only what this staff member handles.",
    "store_id": "Only of this store.",
    "limit": "Most groups to show, the largest first; periods come in their order.",
}


class ComplaintStatisticsAsked(Input):
    """Which cases, and by what to count them."""

    from_at: Moment | None = Field(default=None, description=_ASKED["from_at"])
    to_at: Moment | None = Field(default=None, description=_ASKED["to_at"], examples=["2026-11-01"])
    by: GroupBy = Field(default="cause", description=_ASKED["by"])
    level: int = Field(default=DEEPEST, ge=1, le=DEEPEST, description=_ASKED["level"])
    kind: Kind | None = Field(default=None, description=_ASKED["kind"])
    channel: Channel | None = Field(default=None, description=_ASKED["channel"])
    severity: Severity | None = Field(default=None, description=_ASKED["severity"])
    cause: Annotated[Line, Field(examples=["quality/cold_chain"])] | None = Field(
        default=None, description=_ASKED["cause"]
    )
    sku: Line | None = Field(default=None, description=_ASKED["sku"])
    staff_id: UUID | None = Field(default=None, description=_ASKED["staff_id"])
    store_id: UUID | None = Field(default=None, description=_ASKED["store_id"])
    limit: int = Field(default=100, ge=1, le=MOST_GROUPS, description=_ASKED["limit"])


class CompensationFiguresAsked(Input):
    """Which compensations."""

    from_at: Moment | None = Field(
        default=None,
        description="A day, meaning its beginning in the tenant's zone, or an RFC 3339 time; 30 days before the later "
        "one, if left out. Compensations belong to the period they were proposed in.",
    )
    to_at: Moment | None = Field(default=None, description=_ASKED["to_at"], examples=["2026-11-01"])


# -- what is answered --------------------------------------------------------------------------------------------------


class Spread(Wire):
    """How long something took, in minutes of the clock that measured it: business time, or natural if the limit is."""

    cases: int = Field(description="Cases it was measured in: those whose clock has stopped.")
    mean: float | None = Field(description="Mean; null without cases.", examples=[95.5])
    p50: float | None = Field(description="Median, between two cases interpolated.", examples=[60.0])
    p90: float | None = Field(description="Nine of ten cases took no longer.", examples=[240.0])


class ComplaintFigures(Wire):
    """Figures of a set of cases."""

    cases: int = Field(description="Cases received; duplicates are counted with what they repeat.")
    open: int = Field(description="Of those, not resolved, closed, withdrawn or rejected.")
    resolved: int = Field(description="Of those, resolved or closed.")
    safety: int = Field(description="Of those, about somebody's health or safety.")
    reopened: int = Field(description="Of those, reopened at least once, or followed by a case that continues it.")
    reopen_rate: float | None = Field(description="Reopened of ever resolved; null when none was.", examples=[0.05])
    clocked: int = Field(description="Of those, with a clock that had a limit.")
    breached: int = Field(description="Of those, that missed a limit.")
    breach_rate: float | None = Field(description="Breached of clocked; null without clocked cases.", examples=[0.12])
    first_response: Spread = Field(description="Until somebody answered first.")
    resolution: Spread = Field(description="Until it was resolved.")
    compensated: int | None = Field(
        description="Of those, with a compensation that stands; null without `compensations:read`."
    )
    compensation_amount: int | None = Field(
        description="What those were worth, in minor units of `currency`; null likewise.", examples=[25600]
    )
    compensation_points: int | None = Field(description="Points that were given; null likewise.", examples=[500])


class ComplaintGroup(ComplaintFigures):
    """Figures of one group."""

    key: str | None = Field(
        description="The cause's path, the article's number, the batch, the id of staff or store, the first day of the "
        "period, or the word itself; null where the case says nothing.",
        examples=["quality/cold_chain"],
    )
    name: str | None = Field(
        description="What people call it, where that is known and the caller may read it.", examples=["冷链"]
    )
    share: float = Field(description="Of all cases.", examples=[0.4])
    cumulative: float = Field(
        description="This and all groups before it, of the sum over all groups: the line of a Pareto picture.",
        examples=[0.8],
    )


class ComplaintStatistics(Wire):
    """Figures of the cases of a period, group by group."""

    from_at: Instant = Field(description="Beginning of the period.")
    to_at: Instant = Field(description="End of the period, not included.")
    by: GroupBy = Field(description=_ASKED["by"])
    currency: str = Field(description="Of all amounts; compensations in others are left out.", examples=["CNY"])
    total: ComplaintFigures = Field(description="All cases together, each once.")
    groups: list[ComplaintGroup] = Field(description="The largest first; periods in their order.")
    left_out: int = Field(description="Groups beyond `limit`.", examples=[0])


class CompensationFigures(Wire):
    """Compensations of one kind and currency, by what became of them."""

    kind: CompensationKind = Field(description="Of which kind they are.")
    currency: str | None = Field(description="Of the amounts; null for points and apologies.", examples=["CNY"])
    proposed: int = Field(description="Proposed in the period.")
    pending: int = Field(description="Of those, undecided, unpaid or failed.")
    settled: int = Field(description="Of those, paid or done.")
    refused: int = Field(description="Of those, rejected or cancelled.")
    reversed: int = Field(description="Of those, taken back.")
    within_limit: int = Field(description="Of those, approved by who proposed it, within their limit.")
    amount: int = Field(description="What the settled ones were worth, in minor units.", examples=[25600])
    points: int = Field(description="Points of the settled ones.", examples=[500])
    approval_minutes: float | None = Field(
        description="Median time until somebody else decided, in natural minutes; null when nobody had to.",
        examples=[12.5],
    )


class CompensationReport(Wire):
    """What was given for complaints, kind by kind."""

    from_at: Instant = Field(description="Beginning of the period.")
    to_at: Instant = Field(description="End of the period, not included.")
    kinds: list[CompensationFigures] = Field(description="In the order of the kinds.")
