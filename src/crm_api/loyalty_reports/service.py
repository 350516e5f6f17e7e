"""Reports on loyalty."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from crm_api.core.errors import Conflict, NotFound
from crm_api.core.moments import period
from crm_api.db.uow import UnitOfWork
from crm_api.loyalty_reports.models import DeferralAsked, EarnBurnAsked, ReportAsked
from crm_api.loyalty_reports.repository import ReportRepository

READ = "loyalty:read"
NONE: Final = "none"
WALLET: Final = ("available", "pending", "held", "debt")
FLOWS: Final[Mapping[str, int]] = {"issued": -1, "redeemed": 1, "expired": 1, "cancelled": 1, "adjusted": -1}
"""The programme's accounts and their sign: entries are negative where points come into being."""


@dataclass(frozen=True, slots=True)
class _Scope:
    """What a report is about."""

    programme: asyncpg.Record
    start: datetime
    end: datetime

    @property
    def id(self) -> UUID:
        found: UUID = self.programme["id"]
        return found

    @property
    def zone(self) -> str:
        return str(self.programme["time_zone"])

    @property
    def told(self) -> dict[str, Any]:
        return {"programme_id": self.id, "from_at": self.start, "to_at": self.end}


class LoyaltyReportService:
    """Figures over the ledger; each is one statement, and nothing is stored.

    ``at`` says where the moments were given, for errors.

    All raise Invalid for a moment that cannot be read or a period that ends before it begins, and Conflict when the
    shop has no programme.
    """

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ReportRepository(unit)

    async def participation(self, asked: ReportAsked, at: tuple[str, str] = ("/from_at", "/to_at")) -> dict[str, Any]:
        """Return who takes part: a `Participation`."""
        scope = await self._scope(asked, at)
        row = await self.repository.participation(scope.id, scope.start, scope.end)
        return {
            **scope.told,
            **row,
            "participation_rate": _rate(row["members"], row["customers"]),
            "active_rate": _rate(row["active"], row["members"]),
            "redeeming_rate": _rate(row["redeeming"], row["members"]),
        }

    async def earn_burn(self, asked: EarnBurnAsked, at: tuple[str, str] = ("/from_at", "/to_at")) -> dict[str, Any]:
        """Return what was earned and burnt, step by step: an `EarnBurn`."""
        scope = await self._scope(asked, at)
        rows: dict[date, dict[str, int]] = {}
        for row in await self.repository.flows(scope.id, scope.start, scope.end, scope.zone, asked.by):
            flows = rows.setdefault(row["start"], dict.fromkeys(FLOWS, 0))
            flows[row["account"]] = FLOWS[row["account"]] * row["points"]
        shown = [
            {"start": start, **flows, "burn_ratio": _rate(flows["redeemed"], flows["issued"])}
            for start, flows in rows.items()
        ]
        return {**scope.told, "by": asked.by, "rows": shown}

    async def liability(self, asked: ReportAsked, at: tuple[str, str] = ("/from_at", "/to_at")) -> dict[str, Any]:
        """Return the roll-forward of points owed: a `Liability`.

        Opening and closing are counted on the customers' side of the ledger, the flows on the programme's: that they
        meet is the double entry.
        """
        scope = await self._scope(asked, at)
        accounts = await self.repository.accounts(scope.id, scope.start, scope.end)
        closing = {name: sum(accounts.get(name, (0, 0))) for name in WALLET}
        opening = sum(accounts.get(name, (0, 0))[0] for name in WALLET)
        flows = {name: sign * accounts.get(name, (0, 0))[1] for name, sign in FLOWS.items()}
        expected = opening + flows["issued"] + flows["adjusted"]
        expected -= flows["redeemed"] + flows["expired"] + flows["cancelled"]
        return {
            **scope.told,
            "opening": opening,
            **flows,
            "closing": sum(closing.values()),
            "difference": expected - sum(closing.values()),
            **closing,
            "debt": -closing["debt"],
            "settled": await self.repository.is_settled(scope.id, scope.end),
        }

    async def cohorts(self, asked: ReportAsked, at: tuple[str, str] = ("/from_at", "/to_at")) -> dict[str, Any]:
        """Return redemption and breakage by the month of issue: a `Cohorts`."""
        scope = await self._scope(asked, at)
        rows = await self.repository.cohorts(scope.id, scope.start, scope.end, scope.zone)
        redeemed, ended = await self.repository.ultimate(scope.id, scope.end)
        return {
            **scope.told,
            "cohorts": [_cohort(row) for row in rows],
            "ultimate_redemption": _rate(redeemed, ended),
        }

    async def deferral(self, asked: DeferralAsked, at: tuple[str, str] = ("/from_at", "/to_at")) -> dict[str, Any]:
        """Return the revenue that points defer: a `Deferral`."""
        self.unit.actor.require("orders:read")
        scope = await self._scope(asked, at)
        rate, basis = await self._expected(scope, asked)
        per_part = Decimal(str(asked.point_value)).scaleb(-scope.programme["scale"]) * rate
        currency = scope.programme["currency"]
        rows = await self.repository.deferral(scope.id, scope.start, scope.end, scope.zone, currency, per_part, rate)
        cohorts = [_deferred(row) for row in rows]
        return {
            **scope.told,
            "currency": currency,
            "point_value": asked.point_value,
            "expected_redemption": float(rate),
            "basis": basis,
            "settled": await self.repository.is_settled(scope.id, scope.end),
            "cohorts": cohorts,
            **{name: sum(each[name] for each in cohorts) for name in ("allocated", "recognised", "deferred")},
        }

    async def tier_migration(self, asked: ReportAsked, at: tuple[str, str] = ("/from_at", "/to_at")) -> dict[str, Any]:
        """Return how customers moved between tiers: a `TierMigration`."""
        scope = await self._scope(asked, at)
        rows = await self.repository.migration(scope.id, scope.start, scope.end)
        cells, totals, levels = _matrix(rows)
        return {
            **scope.told,
            "customers": sum(totals.values()),
            "tiers": sorted(levels, key=lambda code: (-levels[code], code)),
            "cells": cells,
            "upgrades": sum(row["customers"] for row in rows if row["level_after"] > row["level_before"]),
            "downgrades": sum(row["customers"] for row in rows if row["level_after"] < row["level_before"]),
        }

    async def voucher_funnel(self, asked: ReportAsked, at: tuple[str, str] = ("/from_at", "/to_at")) -> dict[str, Any]:
        """Return what became of vouchers, campaign by campaign: a `VoucherFunnel`."""
        self.unit.actor.require("vouchers:read")
        scope = await self._scope(asked, at)
        rows = await self.repository.vouchers(scope.start, scope.end, self.unit.now())
        campaigns = [{**row, "redemption_rate": row["redeemed"] / row["made"]} for row in rows]
        return {"from_at": scope.start, "to_at": scope.end, "campaigns": campaigns}

    async def referral_funnel(self, asked: ReportAsked, at: tuple[str, str] = ("/from_at", "/to_at")) -> dict[str, Any]:
        """Return what became of friends who signed up, and how many were fraud: a `ReferralFunnel`."""
        self.unit.actor.require("referrals:read")
        scope = await self._scope(asked, at)
        row = await self.repository.referrals(scope.start, scope.end)
        return {
            "from_at": scope.start,
            "to_at": scope.end,
            **row,
            "fraud_rate": _rate(row["fraud"], row["signed_up"]),
            "flagged_rate": _rate(row["flagged"], row["signed_up"]),
            "findings": [dict(each) for each in await self.repository.findings(scope.start, scope.end)],
        }

    # -- parts -----------------------------------------------------------------------------------------------------

    async def _expected(self, scope: _Scope, asked: DeferralAsked) -> tuple[Decimal, str]:
        if asked.expected_redemption is not None:
            return Decimal(str(asked.expected_redemption)), "given"
        redeemed, ended = await self.repository.ultimate(scope.id, scope.end)
        return (Decimal(redeemed) / ended, "measured") if ended > 0 else (Decimal(1), "assumed")

    async def _scope(self, asked: ReportAsked, at: tuple[str, str]) -> _Scope:
        self.unit.actor.require(READ)
        programme = await self.repository.programme(asked.programme_id)
        if programme is None and asked.programme_id is not None:
            raise NotFound("There is no such loyalty programme", zh="没有此积分计划")
        if programme is None:
            raise Conflict("The shop has no loyalty programme", zh="店铺尚未开通积分计划", code="no_programme")
        zone = ZoneInfo(programme["time_zone"])
        return _Scope(programme, *period(asked.from_at, asked.to_at, zone, self.unit.now(), at))


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _cohort(row: asyncpg.Record) -> dict[str, Any]:
    """Return a cohort; what is neither there nor spent, ended or taken was cancelled."""
    gone = row["redeemed"] + row["expired"] + row["taken"] + row["moved"]
    return {
        "month": row["month"],
        "issued": row["issued"],
        "redeemed": row["redeemed"],
        "expired": row["expired"],
        "taken": row["taken"] + row["moved"],
        "cancelled": row["issued"] - gone - row["outstanding"],
        "outstanding": row["outstanding"],
        "redemption_rate": _rate(row["redeemed"], row["issued"]) or 0.0,
        "breakage_rate": _rate(row["expired"], row["issued"]) or 0.0,
    }


def _deferred(row: asyncpg.Record) -> dict[str, Any]:
    found = {
        name: _whole(row[name]) for name in ("price", "points", "stand_alone", "allocated", "redeemed", "recognised")
    }
    return {
        "month": row["month"],
        "orders": row["orders"],
        **found,
        "deferred": found["allocated"] - found["recognised"],
    }


def _whole(amount: Decimal) -> int:
    return int(amount.to_integral_value(rounding=ROUND_HALF_UP))


def _matrix(rows: list[asyncpg.Record]) -> tuple[list[dict[str, Any]], dict[str, int], dict[str, int]]:
    """Return cells in the order of the tiers, customers by first tier, and the newest level of each tier."""
    levels: dict[str, int] = {NONE: 0}
    totals: dict[str, int] = {}
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        levels.setdefault(row["before"], row["level_before"])
        levels[row["after"]] = row["level_after"]
        totals[row["before"]] = totals.get(row["before"], 0) + row["customers"]
        cell = row["before"], row["after"]
        counts[cell] = counts.get(cell, 0) + row["customers"]
    ranked = sorted(counts, key=lambda cell: (-levels[cell[0]], -levels[cell[1]]))
    cells = [
        {
            "from_tier": before,
            "to_tier": after,
            "customers": counts[before, after],
            "share": counts[before, after] / totals[before],
        }
        for before, after in ranked
    ]
    return cells, totals, levels
