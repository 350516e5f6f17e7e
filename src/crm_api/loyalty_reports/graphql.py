"""Reports on loyalty in GraphQL."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from pydantic import BaseModel, Field

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
    TierMigration,
    VoucherFunnel,
)
from crm_api.loyalty_reports.service import LoyaltyReportService
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts

_LEFT_OUT = frozenset({"programme_id"})
"""Ids are global ids in GraphQL, and who asks knows which programme was meant."""


async def _participation(call: Call) -> dict[str, Any]:
    return await LoyaltyReportService(call.unit).participation(call.data)


async def _earn_burn(call: Call) -> dict[str, Any]:
    return await LoyaltyReportService(call.unit).earn_burn(call.data)


async def _liability(call: Call) -> dict[str, Any]:
    return await LoyaltyReportService(call.unit).liability(call.data)


async def _cohorts(call: Call) -> dict[str, Any]:
    return await LoyaltyReportService(call.unit).cohorts(call.data)


async def _deferral(call: Call) -> dict[str, Any]:
    return await LoyaltyReportService(call.unit).deferral(call.data)


async def _tier_migration(call: Call) -> dict[str, Any]:
    return await LoyaltyReportService(call.unit).tier_migration(call.data)


async def _voucher_funnel(call: Call) -> dict[str, Any]:
    return await LoyaltyReportService(call.unit).voucher_funnel(call.data)


async def _referral_funnel(call: Call) -> dict[str, Any]:
    return await LoyaltyReportService(call.unit).referral_funnel(call.data)


def _report(
    work: Callable[[Call], Awaitable[dict[str, Any]]], asked: type[BaseModel], shape: type[BaseModel], description: str
) -> Computed:
    """Declare a report with the fields of its REST shape."""

    async def run(call: Call) -> dict[str, Any]:
        found = shape.model_validate(await work(call))
        return {name: getattr(found, name) for name in shape.model_fields if name not in _LEFT_OUT}

    payload = {
        name: Annotated[field.annotation, Field(description=field.description)]
        for name, field in shape.model_fields.items()
        if name not in _LEFT_OUT
    }
    return Computed(run, input=asked, payload=payload, description=description)


GRAPHQL = GraphQLParts(
    queries={
        "loyalty_participation": _report(
            _participation, ReportAsked, Participation, "Who takes part in a loyalty programme."
        ),
        "loyalty_earn_burn": _report(_earn_burn, EarnBurnAsked, EarnBurn, "Points earned and burnt, step by step."),
        "loyalty_liability": _report(_liability, ReportAsked, Liability, "Points owed, rolled forward."),
        "loyalty_cohorts": _report(_cohorts, ReportAsked, Cohorts, "Redemption and breakage by month of issue."),
        "loyalty_deferral": _report(
            _deferral, DeferralAsked, Deferral, "Revenue that points defer, by IFRS 15 B39-B43."
        ),
        "tier_migration": _report(
            _tier_migration, ReportAsked, TierMigration, "How customers moved between tiers: the migration matrix."
        ),
        "voucher_funnel": _report(_voucher_funnel, ReportAsked, VoucherFunnel, "What became of vouchers."),
        "referral_funnel": _report(
            _referral_funnel, ReportAsked, ReferralFunnel, "What became of referrals, and how many were fraud."
        ),
    },
)
