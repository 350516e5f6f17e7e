"""S1, the seafood shop: its business customers are visited by how important they are, and not on holidays.

Through the public API, with the real worker beside it and a clock that the story moves over National Day 2026.
"""

from datetime import UTC, datetime, timedelta

import pytest

from crm_api.core.clock import FixedClock
from crm_api.followups.jobs import daily
from tests.stories.shop import Shop, open_shop

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

MORNING = datetime(2026, 9, 24, 2, tzinfo=UTC)
"""Thursday, ten in the morning in Shanghai, a week before National Day."""
CLIENTS = {
    "海港大酒店": ("A", 60_000_00),
    "渔家食府": ("B", 30_000_00),
    "码头小馆": ("C", 8_000_00),
    "陈先生": ("D", 2_000_00),
}
"""Name → grade and turnover in fen: 60, 30, 8 and 2 percent."""
PLAN = {
    "name": "企业客户拜访",
    "channels": ["visit", "call"],
    "holiday_rule": "next",
    "script": "上次到货的鲜度、包装与冰量；下月用量；有没有不满意的地方",
    "cadences": [
        {"dimension": "grade", "class_name": "A", "every_days": 10},
        {"dimension": "grade", "class_name": "B", "every_days": 16},
        {"dimension": "grade", "class_name": "C", "every_days": 60},
    ],
}


class Sales:
    """What the sales people do."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.ids: dict[str, str] = {}

    async def open_books(self) -> None:
        """Three restaurants and one household, with what they bought; Zhao looks after all of them."""
        self.seller = (await self.shop.send("/staff", {"name": "赵强"}, 201))["id"]
        for number, (name, (_, turnover)) in enumerate(CLIENTS.items()):
            kind = "person" if name == "陈先生" else "company"
            body = {"name": name, "kind": kind, "owner_id": self.seller}
            self.ids[name] = (await self.shop.send("/customers", body, 201))["id"]
            order = {
                "customer_id": self.ids[name],
                "status": "completed",
                "total": {"amount": turnover, "currency": "CNY"},
                "placed_at": (MORNING - timedelta(days=20)).isoformat(),
            }
            await self.shop.send(f"/orders/erp/{number}", order, 201, "PUT")
        run = await self.shop.send("/scoring-runs", {}, 202)
        await self.shop.wait(
            lambda: self.shop.get(f"/scoring-runs/{run['id']}"), lambda each: each["state"] == "completed"
        )

    async def plan(self) -> str:
        """Plan visits of companies by their grade."""
        rule = {"name": "企业客户", "rule": "kind = company"}
        segment = (await self.shop.send("/segments", rule, 201))["id"]
        await self.shop.wait(lambda: self.shop.get(f"/segments/{segment}"), lambda each: each["state"] == "active")
        return (await self.shop.send("/follow-up-plans", {**PLAN, "segment_id": segment}, 201))["id"]

    async def visits(self, **query: str) -> dict[str, dict]:
        """Return tasks by the client's name."""
        names = {customer: name for name, customer in self.ids.items()}
        return {names[each["customer_id"]]: each for each in await self.shop.all("/follow-ups", **query)}


async def test_business_customers_are_visited_by_importance(own_database_url):
    clock = FixedClock(MORNING)
    async with open_shop(own_database_url, "seafood", clock) as shop:
        sales = Sales(shop)
        await sales.open_books()
        plan = await sales.plan()
        first = await shop.wait(sales.visits, lambda found: len(found) == 3)
        assert first.keys() == {"海港大酒店", "渔家食府", "码头小馆"}
        asked = {(each["due_on"], each["channel"], each["assignee_id"]) for each in first.values()}
        assert asked == {("2026-09-24", "visit", sales.seller)}
        await they_are_visited(sales, first)
        await the_next_visits_are_off_the_holidays(sales, shop, clock)
        await the_effect_is_told_with_its_limits(shop, clock, plan)


async def they_are_visited(sales, first):
    """Each visit becomes an interaction; the hotel wants a better price, and that is written down."""
    for name, task in first.items():
        told = {"result": "reached", "satisfaction": 5, "duration_seconds": 2400, "feedback": f"{name}：满意"}
        done = await sales.shop.send(f"/follow-ups/{task['id']}/complete", told, 200)
        assert done["state"] == "done"
    said = await sales.shop.all("/interactions", staff_id=sales.seller)
    assert {(each["channel"], each["direction"], each["duration_seconds"]) for each in said} == {
        ("visit", "outbound", 2400)
    }
    assert len(said) == 3


async def the_next_visits_are_off_the_holidays(sales, shop, clock):
    """The hotel's falls on Sunday the 4th and is moved to the first workday; the inn's on a Saturday that is worked."""
    clock.advance(timedelta(days=5))
    for _ in range(2):
        await daily(shop.workers)
    asked = await sales.visits(state="open")
    assert {name: (each["slot"], each["due_on"], each["status"]) for name, each in asked.items()} == {
        "海港大酒店": ("2026-10-04", "2026-10-08", "planned"),
        "渔家食府": ("2026-10-10", "2026-10-10", "planned"),
    }
    # A visit somebody wants in the middle of the holidays is moved; the household is visited by nobody.
    body = {"customer_id": sales.ids["码头小馆"], "due_on": "2026-10-03", "channel": "visit"}
    moved = await shop.send("/follow-ups", body, 201)
    assert (moved["slot"], moved["due_on"]) == ("2026-10-03", "2026-10-08")
    assert await shop.found("follow_ups.count(where state = open) >= 1") == {
        sales.ids[name] for name in ("海港大酒店", "渔家食府", "码头小馆")
    }
    assert (await shop.get(f"/customers/{sales.ids['陈先生']}/follow-ups"))["data"] == []


async def the_effect_is_told_with_its_limits(shop, clock, plan):
    """Thirty days later all three have bought nothing more, and nobody was left out to compare with."""
    clock.advance(timedelta(days=40))
    report = await shop.get(f"/follow-up-plans/{plan}/effect", until="2026-10-01", within_days=30)
    groups = {each["group"]: (each["customers"], each["bought"], each["bought_before"]) for each in report["groups"]}
    assert groups == {"contacted": (3, 0, 3), "tried": (0, 0, 0), "not_contacted": (0, 0, 0), "held_out": (0, 0, 0)}
    assert [each["difference"] for each in report["comparisons"]] == [None, None]
