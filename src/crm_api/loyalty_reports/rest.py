"""Reports on loyalty over REST."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Query

from crm_api.core.moments import Moment
from crm_api.loyalty_reports.models import (
    Cohorts,
    Deferral,
    DeferralAsked,
    EarnBurn,
    EarnBurnAsked,
    Liability,
    Participation,
    ReferralFunnel,
    ReportAsked,
    Step,
    TierMigration,
    VoucherFunnel,
)
from crm_api.loyalty_reports.service import LoyaltyReportService
from crm_api.web.resources import READ_PROBLEMS, crm_router, problem_responses
from crm_api.web.units import ReadUnit

router = crm_router("loyalty")

_PROBLEMS: dict[int | str, dict[str, Any]] = {**READ_PROBLEMS, **problem_responses(409)}
_AT: Final = ("/query/from", "/query/to")

From = Annotated[
    Moment | None,
    Query(alias="from", description="A day (its beginning in the programme's zone) or a time; 30 days before `to`."),
]
To = Annotated[
    Moment | None,
    Query(alias="to", description="Until before this day or time; now.", examples=["2026-11-01"]),
]
ProgrammeId = Annotated[UUID | None, Query(description="The loyalty programme; the shop's default one, if left out.")]


def _asked(from_at: From = None, to_at: To = None, programme_id: ProgrammeId = None) -> ReportAsked:
    return ReportAsked(from_at=from_at, to_at=to_at, programme_id=programme_id)


Asked = Annotated[ReportAsked, Depends(_asked)]
"""What every report is asked: the period and the programme."""


@router.get("/loyalty/reports/participation", summary="Report who takes part in loyalty", responses=_PROBLEMS)
async def report_participation(unit: ReadUnit, asked: Asked) -> Participation:
    """Count members, those who earn and those who redeem, and the orders that gave points."""
    return Participation.model_validate(await LoyaltyReportService(unit).participation(asked, _AT))


@router.get("/loyalty/reports/earn-burn", summary="Report points earned and burnt", responses=_PROBLEMS)
async def report_earn_burn(
    unit: ReadUnit,
    asked: Asked,
    by: Annotated[Step, Query(description="Length of each row, in the programme's zone.")] = "month",
) -> EarnBurn:
    """Show what was issued, redeemed, expired, cancelled and adjusted, step by step."""
    wanted = EarnBurnAsked(**asked.model_dump(), by=by)
    return EarnBurn.model_validate(await LoyaltyReportService(unit).earn_burn(wanted, _AT))


@router.get("/loyalty/reports/liability", summary="Report points owed, rolled forward", responses=_PROBLEMS)
async def report_liability(unit: ReadUnit, asked: Asked) -> Liability:
    """Show opening + issued - redeemed - expired - cancelled ± adjusted = closing, between any two moments."""
    return Liability.model_validate(await LoyaltyReportService(unit).liability(asked, _AT))


@router.get("/loyalty/reports/cohorts", summary="Report redemption and breakage by month of issue", responses=_PROBLEMS)
async def report_cohorts(unit: ReadUnit, asked: Asked) -> Cohorts:
    """Show what became of the points of each month in the period: redeemed, expired, cancelled, still there."""
    return Cohorts.model_validate(await LoyaltyReportService(unit).cohorts(asked, _AT))


@router.get("/loyalty/reports/deferral", summary="Report revenue that points defer", responses=_PROBLEMS)
async def report_deferral(
    unit: ReadUnit,
    asked: Asked,
    point_value: Annotated[
        float,
        Query(
            gt=0,
            le=1_000_000,
            allow_inf_nan=False,
            description="What the customer gets for one point, in minor units: with 1.0, 100 points are worth ¥1.",
        ),
    ] = 1.0,
    expected_redemption: Annotated[
        float | None,
        Query(
            ge=0,
            le=1,
            allow_inf_nan=False,
            description="Share of points that will be redeemed; as measured of those that ended, if left out.",
        ),
    ] = None,
) -> Deferral:
    """Allocate the price of the period's sales to goods and points by relative stand-alone price: IFRS 15 B39-B43."""
    wanted = DeferralAsked(**asked.model_dump(), point_value=point_value, expected_redemption=expected_redemption)
    return Deferral.model_validate(await LoyaltyReportService(unit).deferral(wanted, _AT))


@router.get("/loyalty/reports/tier-migration", summary="Report how customers moved between tiers", responses=_PROBLEMS)
async def report_tier_migration(unit: ReadUnit, asked: Asked) -> TierMigration:
    """Count all customers by their tier at two moments: the migration matrix, from the log."""
    return TierMigration.model_validate(await LoyaltyReportService(unit).tier_migration(asked, _AT))


@router.get("/loyalty/reports/vouchers", summary="Report what became of vouchers", responses=_PROBLEMS)
async def report_vouchers(unit: ReadUnit, asked: Asked) -> VoucherFunnel:
    """Show made, given, tried and redeemed vouchers of the period, campaign by campaign.

    Vouchers belong to the shop; of the programme only the time zone of days counts.
    """
    return VoucherFunnel.model_validate(await LoyaltyReportService(unit).voucher_funnel(asked, _AT))


@router.get("/loyalty/reports/referrals", summary="Report what became of referrals, and fraud", responses=_PROBLEMS)
async def report_referrals(unit: ReadUnit, asked: Asked) -> ReferralFunnel:
    """Count friends who signed up in the period by how far they came, and the share that was fraud.

    Referral programmes are not loyalty programmes: of the latter only the time zone of days counts.
    """
    return ReferralFunnel.model_validate(await LoyaltyReportService(unit).referral_funnel(asked, _AT))
