"""Reports on loyalty: what is asked, and wire shapes. Periods are half-open: ``[from, to)``."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from crm_api.core.models import Day, Input, Instant, Wire
from crm_api.core.moments import Moment

Step = Literal["day", "week", "month", "quarter", "year"]
Basis = Literal["given", "measured", "assumed"]


# -- what is asked -----------------------------------------------------------------------------------------------------


class ReportAsked(Input):
    """Of which programme, and about which time."""

    from_at: Moment | None = Field(
        default=None,
        description="A day, meaning its beginning in the programme's zone, or an RFC 3339 time; 30 days before the "
        "later one, if left out.",
    )
    to_at: Moment | None = Field(
        default=None, description="Until before this day or time; now, if left out.", examples=["2026-11-01"]
    )
    programme_id: UUID | None = Field(
        default=None, description="The loyalty programme; the shop's default one, if left out."
    )


class EarnBurnAsked(ReportAsked):
    """Of which programme, about which time, in which steps."""

    by: Step = Field(default="month", description="Length of each row, in the programme's zone.")


class DeferralAsked(ReportAsked):
    """Of which programme, about which sales, and what a point is worth."""

    point_value: float = Field(
        default=1.0,
        gt=0,
        le=1_000_000,
        allow_inf_nan=False,
        examples=[1.0],
        description="What the customer gets for one point, in minor units: with 1.0, 100 points are worth ¥1.",
    )
    expected_redemption: float | None = Field(
        default=None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        examples=[0.8],
        description="Share of points that will be redeemed; as measured of those that ended so far, if left out.",
    )


# -- what is answered --------------------------------------------------------------------------------------------------

_FROM = "Beginning of the period."
_TO = "End of the period, not included."
_SETTLED = (
    "Whether all that time had done by `to_at` (releases, ends, holds timed out) is booked: a schedule does that every "
    "five minutes, and until then the figures may still change."
)
_PROGRAMME = "The loyalty programme."


class Participation(Wire):
    """Who takes part in a programme."""

    programme_id: UUID = Field(description=_PROGRAMME)
    from_at: Instant = Field(description=_FROM)
    to_at: Instant = Field(description=_TO)
    customers: int = Field(description="Customers there are now who were entered before the end of the period.")
    members: int = Field(description="Of those, who ever had points before its end.")
    joined: int = Field(description="Of the members, who had their first points in the period.")
    earning: int = Field(description="Members who earned points in the period.")
    redeeming: int = Field(description="Members who spent points in the period.")
    active: int = Field(description="Members who earned or spent points in the period.")
    orders: int = Field(description="Orders paid in the period, those since refunded or cancelled left out.")
    orders_with_points: int = Field(description="Of those, which earned points.")
    participation_rate: float | None = Field(description="Members of customers; null without customers.")
    active_rate: float | None = Field(description="Active ones of members; null without members.")
    redeeming_rate: float | None = Field(description="Redeeming ones of members; null without members.")


class Flow(Wire):
    """What happened to points in a time."""

    issued: int = Field(description="Earned and granted.", examples=[1200])
    redeemed: int = Field(description="Spent, less what was given back.", examples=[300])
    expired: int = Field(description="Ended unspent.", examples=[50])
    cancelled: int = Field(description="Taken back by refunds and cancellations.", examples=[20])
    adjusted: int = Field(description="Given less taken by hand.", examples=[100])


class EarnBurnRow(Flow):
    """One row of earning and burning."""

    start: Day = Field(description="First day of the row, in the programme's zone.")
    burn_ratio: float | None = Field(description="Redeemed for each point issued; null when none was.")


class EarnBurn(Wire):
    """What was earned and what was burnt, step by step."""

    programme_id: UUID = Field(description=_PROGRAMME)
    from_at: Instant = Field(description=_FROM)
    to_at: Instant = Field(description=_TO)
    by: Step = Field(description="Length of each row.")
    rows: list[EarnBurnRow] = Field(description="Oldest first; steps in which nothing happened are left out.")


class Liability(Flow):
    """Points owed to customers, from one moment to another: opening + flows = closing.

    opening + issued - redeemed - expired - cancelled + adjusted = closing
    """

    programme_id: UUID = Field(description=_PROGRAMME)
    from_at: Instant = Field(description=_FROM)
    to_at: Instant = Field(description=_TO)
    opening: int = Field(description="Points of all customers at the beginning, less what customers owed.")
    closing: int = Field(description="Points of all customers at the end, counted by itself.")
    difference: int = Field(description="Opening and flows less closing: always 0.", examples=[0])
    available: int = Field(description="Of the closing: can be spent.")
    pending: int = Field(description="Of the closing: earned, not usable yet.")
    held: int = Field(description="Of the closing: set aside.")
    debt: int = Field(description="Owed by customers, which the closing is less.")
    settled: bool = Field(description=_SETTLED)


class Cohort(Wire):
    """Points issued in one month, and what became of them until now."""

    month: Day = Field(description="First day of the month they were earned in, in the programme's zone.")
    issued: int = Field(description="Earned, granted or given by hand.")
    redeemed: int = Field(description="Spent since, less what was given back.")
    expired: int = Field(description="Ended unspent: breakage so far.")
    taken: int = Field(description="Taken by hand, or given to another customer's points of another month.")
    cancelled: int = Field(description="Taken back by refunds, or used up by what the customer owed.")
    outstanding: int = Field(description="Still there: available, pending or held.")
    redemption_rate: float = Field(description="Redeemed of issued.")
    breakage_rate: float = Field(description="Expired of issued.")


class Cohorts(Wire):
    """Redemption and breakage of points by the month they were issued in."""

    programme_id: UUID = Field(description=_PROGRAMME)
    from_at: Instant = Field(description=_FROM)
    to_at: Instant = Field(description=_TO)
    cohorts: list[Cohort] = Field(description="Oldest first.")
    ultimate_redemption: float | None = Field(
        description="Of all points of the programme that are over (redeemed or expired), the share that was redeemed."
    )


class DeferralCohort(Wire):
    """What sales of one month defer."""

    month: Day = Field(description="First day of the month of the sales, in the programme's zone.")
    orders: int = Field(description="Sales that gave points.")
    price: int = Field(description="Paid less refunded, minor units.")
    points: int = Field(description="Points they gave, less those taken back.")
    stand_alone: int = Field(description="Stand-alone price of the points: points x value x expected redemption.")
    allocated: int = Field(description="Their part of the price: deferred at the sale.")
    redeemed: int = Field(description="Of the points, redeemed before `to_at`.")
    recognised: int = Field(
        description="Of the allocated, revenue already: redeemed of those expected to be; all once nothing is left."
    )
    deferred: int = Field(description="Allocated less recognised: still a contract liability.")


class Deferral(Wire):
    """Revenue that points defer, by IFRS 15 B39-B43.

    Points are a material right (B40). The price of a sale is allocated to goods and points by their relative
    stand-alone prices (B42): that of the points is what they are worth times the likelihood that they are redeemed, and
    it becomes revenue as they are, in proportion to all that are expected to be (IE267-IE270, example 52), and at the
    latest when they have ended (B40).
    """

    programme_id: UUID = Field(description=_PROGRAMME)
    from_at: Instant = Field(description=_FROM)
    to_at: Instant = Field(description=_TO)
    currency: str = Field(description="Of all amounts; sales in others are left out.", examples=["CNY"])
    point_value: float = Field(description="Minor units for one point, as asked.")
    expected_redemption: float = Field(description="Share of points expected to be redeemed.")
    basis: Basis = Field(
        description="given: by who asked; measured: of points that are over; assumed: all, since none are over yet."
    )
    settled: bool = Field(description=_SETTLED)
    cohorts: list[DeferralCohort] = Field(description="By month of the sale, oldest first.")
    allocated: int = Field(description="Sum of the cohorts.")
    recognised: int = Field(description="Sum of the cohorts.")
    deferred: int = Field(description="Sum of the cohorts: what of it was a contract liability at `to_at`.")


class TierMove(Wire):
    """Customers who were in one tier and are in another."""

    from_tier: str = Field(description="The tier at the first moment; `none` without one.", examples=["silver"])
    to_tier: str = Field(description="The tier at the second moment; `none` without one.", examples=["gold"])
    customers: int = Field(description="How many.")
    share: float = Field(description="Of those who were in the first tier.", examples=[0.12])


class TierMigration(Wire):
    """How customers moved between tiers: the migration matrix, by what was told of them."""

    programme_id: UUID = Field(description=_PROGRAMME)
    from_at: Instant = Field(description="The first moment.")
    to_at: Instant = Field(description="The second moment.")
    customers: int = Field(description="All customers there are now; the cells add up to it.")
    tiers: list[str] = Field(description="Every tier in the matrix, highest first, `none` last.")
    cells: list[TierMove] = Field(description="Only cells with somebody in it, in the order of the tiers.")
    upgrades: int = Field(description="Customers who rose.")
    downgrades: int = Field(description="Customers who fell.")


class VoucherCampaignFunnel(Wire):
    """What became of the vouchers of one campaign."""

    campaign_id: UUID = Field(description="The campaign.")
    name: str = Field(description="The campaign's name.")
    made: int = Field(description="Vouchers made in the period.")
    given: int = Field(description="Of those, given to a customer.")
    tried: int = Field(description="Set aside in a checkout or redeemed, at least once.")
    redeemed: int = Field(description="Redeemed at least once, and not rolled back.")
    uses: int = Field(description="Uses that stand; a voucher may have several.")
    rolled_back: int = Field(description="Uses that were rolled back.")
    expired: int = Field(description="Ended without any use.")
    void: int = Field(description="Called off.")
    redemption_rate: float = Field(description="Redeemed of made.")


class VoucherFunnel(Wire):
    """What became of vouchers, campaign by campaign."""

    from_at: Instant = Field(description=_FROM)
    to_at: Instant = Field(description=_TO)
    campaigns: list[VoucherCampaignFunnel] = Field(description="Those with vouchers made in the period, newest first.")


class ReferralFinding(Wire):
    """How often a check found something."""

    code: str = Field(description="Which check.", examples=["shared_device"])
    referrals: int = Field(description="Referrals it found something about.")


class ReferralFunnel(Wire):
    """What became of friends who signed up in the period, and how many of them were fraud."""

    from_at: Instant = Field(description=_FROM)
    to_at: Instant = Field(description=_TO)
    signed_up: int = Field(description="Friends who signed up in the period.")
    qualified: int = Field(description="Of those, with an order that was large enough.")
    rewarded: int = Field(description="Rewarded, and not voided since.")
    voided: int = Field(description="Voided for whatever reason.")
    flagged: int = Field(description="Held back for review at some time.")
    fraud: int = Field(
        description="Voided for fraud: by a check of identity, device, address, account, speed or circles, or by "
        "a person after it was flagged. What was approved and then returned is no fraud."
    )
    clawed_back: int = Field(description="Whose rewards were taken back.")
    fraud_rate: float | None = Field(description="Fraud of signed up; null without sign-ups.")
    flagged_rate: float | None = Field(description="Flagged of signed up; null without sign-ups.")
    findings: list[ReferralFinding] = Field(description="What the checks found, the most frequent first.")
