"""A seafood shop: a spoiled delivery just before the National Day becomes a complaint, and is seen through to its end;
business customers are visited by how important they are, and not on holidays.

Everything goes through the public API, with the real worker beside it and a clock that the story moves.
"""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from crm_api.closing.jobs import sweep as close_loops
from crm_api.complaints.jobs import sweep as watch_clocks
from crm_api.core.clock import FixedClock
from crm_api.followups.jobs import hourly
from tests.stories.shop import Shop, open_shop
from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

SHANGHAI = ZoneInfo("Asia/Shanghai")
LINK = re.compile(r"case=([0-9a-f-]{36})#([\w-]{43})")


def at(text: str) -> datetime:
    """Return an instant of 2026 in Shanghai."""
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=SHANGHAI).astimezone(UTC)


class Desk:
    """Those who handle complaints."""

    def __init__(self, shop: Shop, clock: FixedClock) -> None:
        self.shop = shop
        self.clock = clock
        self.ids: dict[str, str] = {}
        self.case = ""

    async def time_is(self, text: str) -> None:
        """Let it be that time, and do what the worker does every minute or so."""
        self.clock.instant = at(text)
        await watch_clocks(self.shop.workers)
        await close_loops(self.shop.workers)

    async def step(self, to: str, **more: object) -> dict:
        return await self.shop.send(f"/complaints/{self.case}/transitions", {"to": to, **more})

    async def shown(self) -> dict:
        return await self.shop.get(f"/complaints/{self.case}")

    async def until(self, done) -> dict:
        """Wait until the worker has brought the case so far."""
        return await self.shop.wait(self.shown, done)


async def test_a_spoiled_delivery_is_made_good(own_database_url):
    clock = FixedClock(at("09-28T10:00"))
    async with open_shop(own_database_url, "seafood", clock) as shop:
        desk = Desk(shop, clock)
        await the_desk_is_set_up(desk)
        await a_delivery_is_spoiled(desk)
        await the_clock_runs_over_the_holiday(desk)
        await it_is_escalated_on_the_make_up_workday(desk)
        await it_is_compensated_and_told(desk)
        await the_customer_rates_it(desk)
        await the_cause_is_worked_on(desk)
        await it_is_in_the_statistics(desk)
        await somebody_else_is_not_content(desk)


async def the_desk_is_set_up(desk):
    """Two who handle cases, one who leads them; limits for broken cold chains; letters; a page to rate on."""
    shop = desk.shop
    for name in ("李娜", "陈静", "赵敏"):
        desk.ids[name] = (await shop.send("/staff", {"name": name}, 201))["id"]
    members = [desk.ids["李娜"], desk.ids["陈静"]]
    team = {"name": "客诉组", "lead_id": desk.ids["赵敏"], "member_ids": members}
    team_id = (await shop.send("/teams", team, 201))["id"]
    await shop.send("/assignment-rules", {"name": "客诉", "target": "cases", "team_id": team_id}, 201)
    limits = {
        "name": "冷链",
        "position": 1,
        "conditions": {"category": ["quality/cold_chain"]},
        "clocks": [
            {"clock": "first_response", "targets": [{"severity": "default", "minutes": 60}]},
            {"clock": "resolution", "targets": [{"severity": "default", "minutes": 1200}], "warn_percent": 80},
        ],
        "escalations": [
            {"at": "warn", "clock": "resolution", "action": "notify", "to": ["assignee"]},
            {"at": "breach", "clock": "resolution", "action": "notify", "to": ["team_lead"]},
            {"at": "breach", "clock": "resolution", "after_minutes": 60, "action": "raise"},
        ],
    }
    await shop.send("/clock-policies", limits, 201)
    await shop.send("/channels", {"name": "信箱", "kind": "local"}, 201)
    page = "https://shop.example.com/rate?case={rating_id}#{token}"
    await shop.send("/closing-settings", {"rating_page": page}, method="PATCH")
    buyer = {"name": "王大厨", "contact_points": [{"kind": "email", "value": "chef@example.com"}]}
    desk.ids["王"] = (await shop.send("/customers", buyer, 201))["id"]
    said = {"purpose": "service", "channel": "email", "action": "granted", "source": "checkout"}
    await shop.send(f"/customers/{desk.ids['王']}/consents", said, 201)


async def a_delivery_is_spoiled(desk):
    """Wednesday, four in the afternoon, the last workday before the holiday; the same report twice is one case."""
    shop = desk.shop
    desk.clock.instant = at("09-30T16:00")
    order = {
        "customer_id": desk.ids["王"],
        "status": "paid",
        "total": {"amount": 336_00, "currency": "CNY"},
        "placed_at": desk.clock.now().isoformat(),
        "lines": [{"sku": "SHRIMP-2KG", "title": "大虾 2 公斤", "unit_price": {"amount": 168_00, "currency": "CNY"},
                   "quantity": 2}],
    }  # fmt: skip
    desk.ids["order"] = (await shop.send("/orders/taobao/T-1", order, 201, "PUT"))["id"]
    report = {
        "customer_id": desk.ids["王"],
        "channel": "platform",
        "source_ref": "taobao:refund:998877",
        "order_id": desk.ids["order"],
        "products": [{"sku": "SHRIMP-2KG", "batch": "B0928", "quantity": 2}],
        "category": "quality/cold_chain",
        "severity": "S2",
        "subject": "收到的虾已变质",
        "remedy_sought": "退款或补发",
    }
    desk.case = (await shop.send("/complaints", report, 201))["id"]
    assert (await shop.send("/complaints", report, 409))["complaint_id"] == desk.case
    taken = await desk.until(lambda case: case["assignee_id"] is not None)
    assert taken["assignee_id"] in {desk.ids["李娜"], desk.ids["陈静"]}
    desk.ids["handler"] = taken["assignee_id"]
    desk.clock.advance(timedelta(minutes=30))
    answer = {"direction": "out", "body": "抱歉，我们马上核实", "staff_id": desk.ids["handler"]}
    await shop.send(f"/complaints/{desk.case}/messages", answer, 201)
    for state in ("acknowledged", "assessed", "in_progress"):
        await desk.step(state)


async def the_clock_runs_over_the_holiday(desk):
    """Twenty office hours: two today, seven and a half on the eighth and the ninth, three on Saturday the tenth."""
    clocks = {each["clock"]: each for each in await desk.shop.all(f"/complaints/{desk.case}/clocks")}
    assert clocks["first_response"]["state"] == "met", clocks
    assert clocks["resolution"]["due_at"] == "2026-10-10T04:00:00+00:00"
    await desk.time_is("10-09T16:59")
    assert (await desk.shown())["breached"] is False
    assert not [each for each in await alerts(desk) if each["clock"] == "resolution"]
    await desk.time_is("10-09T17:00")
    assert [told(each) for each in await alerts(desk) if each["clock"] == "resolution"] == [
        ("warned", None, "10-09T17:00"),
        ("escalated", "notify", "10-09T17:00"),
    ]


async def it_is_escalated_on_the_make_up_workday(desk):
    """Saturday noon it is late, and after lunch it is graver; however often somebody looks, each is told once."""
    for moment in ("10-10T12:00", "10-10T12:01", "10-10T14:29", "10-10T14:30", "10-10T14:31"):
        await desk.time_is(moment)
    late = await desk.until(lambda case: case["severity"] == "S1")
    assert late["breached"] is True
    assert [told(each) for each in await alerts(desk) if each["clock"] == "resolution"][2:] == [
        ("breached", None, "10-10T12:00"),
        ("escalated", "notify", "10-10T12:00"),
        ("escalated", "raise", "10-10T14:30"),
    ]


async def it_is_compensated_and_told(desk):
    """Points and a new parcel; the case cannot be closed before the parcel has left and the customer knows."""
    shop = desk.shop
    desk.clock.instant = at("10-10T15:00")
    (programme,) = await shop.all("/loyalty/programmes")
    path = f"/complaints/{desk.case}/compensations"
    points = await shop.send(path, {"kind": "points", "points": 500, "programme_id": programme["id"]}, 201)
    worth = {"amount": 336_00, "currency": "CNY"}
    parcel = await shop.send(path, {"kind": "replacement", "sku": "SHRIMP-2KG", "quantity": 2, "amount": worth}, 201)
    paid = await shop.wait(
        lambda: shop.get(f"/compensations/{points['id']}"), lambda each: each["state"] not in {"proposed", "approved"}
    )
    assert paid["state"] == "settled"
    assert (await shop.get(f"/loyalty/accounts/{desk.ids['王']}"))["available"] >= 500

    await desk.step(
        "proposed", decision="补发大虾 2 公斤 × 2，并补偿 500 积分", root_cause="logistics/cold_chain/ice_pack"
    )
    await desk.until(lambda case: case["decision_told_at"] is not None)
    await desk.step("resolved")
    refused = await shop.send(f"/complaints/{desk.case}/transitions", {"to": "closed"}, 409)
    assert (refused["code"], refused["errors"][0]["code"]) == ("transition_guard", "compensation_not_settled")
    await shop.send(f"/compensations/{parcel['id']}/settle", {"reference": "SF1234567890"})
    letters = await shop.wait(
        lambda: shop.all("/complaint-tellings", complaint_id=desk.case),
        lambda found: [each["state"] for each in found] == ["told", "told"],
    )
    assert {each["what"] for each in letters} == {"decision", "result"}
    sent = [each["body"] for each in await shop.all("/channel-messages") if each["to"] == "chef@example.com"]
    assert len(sent) == 2
    assert all("补发大虾 2 公斤 × 2，并补偿 500 积分" in body for body in sent)
    said = await shop.all(f"/complaints/{desk.case}/messages")
    assert sorted(each["channel"] for each in said if each["direction"] == "out") == ["email", "email", "platform"]
    assert (await desk.step("closed"))["state"] == "closed"


async def the_customer_rates_it(desk):
    """A day later there is one question, with a link; the answer counts once."""
    shop = desk.shop
    await shop.wait(lambda: shop.all("/complaint-ratings", complaint_id=desk.case), len)
    for moment in ("10-11T14:59", "10-11T15:00", "10-11T15:05"):
        await desk.time_is(moment)
    (letter,) = [each for each in await shop.all("/channel-messages") if LINK.search(each["body"] or "")]
    rating_id, token = LINK.search(letter["body"]).groups()
    path = f"/v1/public/complaint-ratings/{rating_id}"
    async with client_of(shop.client._transport.app, None) as customer:
        assert (await customer.get(path, params={"token": token})).json()["subject"] == "收到的虾已变质"
        answer = {"token": token, "csat": 4, "ces": 6, "comment": "补发很快"}
        assert (await customer.post(path, json=answer)).status_code == 200
        assert (await customer.post(path, json={**answer, "csat": 1})).status_code == 409
    rating = await shop.get(f"/complaint-ratings/{rating_id}")
    assert (rating["csat"], rating["low"], rating["staff_id"]) == (4, False, desk.ids["handler"])
    good = {"field": "csat", "op": "gte", "value": 4}
    content = {"aggregate": "count", "of": "complaint_ratings", "where": good, "op": "gte", "value": 1}
    assert await shop.found(content) == {desk.ids["王"]}


async def the_cause_is_worked_on(desk):
    """Double ice packs from now on: done by one, checked by another."""
    shop = desk.shop
    plan = {
        "title": "节前发货改用双层冰袋",
        "cause": "logistics/cold_chain/ice_pack",
        "owner_id": desk.ids["李娜"],
        "due_on": "2026-10-31",
        "complaint_ids": [desk.case],
    }
    made = await shop.send("/corrective-actions", plan, 201)
    path = f"/corrective-actions/{made['id']}/transitions"
    await shop.send(path, {"action": "finish", "note": "抽检 20 单均低于 4 ℃"})
    assert (await shop.send(path, {"action": "verify", "staff_id": desk.ids["李娜"]}, 409))["code"] == "own_work"
    verified = await shop.send(path, {"action": "verify", "staff_id": desk.ids["赵敏"]})
    assert (verified["state"], verified["complaint_count"]) == ("verified", 1)


async def it_is_in_the_statistics(desk):
    """By cause and by batch, late and compensated; who handled it is seen with how content the customer is."""
    shop = desk.shop
    period = {"from": "2026-09-01", "to": "2026-11-01"}
    causes = await shop.get("/analytics/complaints", by="cause", **period)
    (group,) = causes["groups"]
    assert (group["key"], group["cases"]) == ("logistics/cold_chain/ice_pack", 1)
    assert (group["breach_rate"], group["reopen_rate"]) == (1.0, 0.0)
    # Two hours before the holiday, two whole days, and on Saturday three and one and a half.
    assert group["resolution"]["p50"] == (2 + 2 * 7.5 + 3 + 1.5) * 60
    assert group["compensation_points"] == 500
    (batch,) = (await shop.get("/analytics/complaints", by="batch", **period))["groups"]
    assert (batch["key"], batch["cases"]) == ("B0928", 1)
    report = await shop.get("/staff-performance", since="2026-09-01T00:00:00Z", until="2026-11-01T00:00:00Z")
    (handler,) = [each for each in report["staff"] if each["staff_id"] == desk.ids["handler"]]
    assert handler["more"]["satisfaction"] == {"answers": 1, "csat": 4.0, "ces": 6.0, "low": 0}


async def somebody_else_is_not_content(desk):
    """A low answer by phone: it suggests to reopen the case, a follow-up is planned, and nobody is asked twice."""
    shop = desk.shop
    await shop.send("/follow-up-plans", {"name": "低分回访", "trigger": "low_rating", "channels": ["call"]}, 201)
    desk.clock.instant = at("10-12T10:00")
    who = (await shop.send("/customers", {"name": "李阿姨"}, 201))["id"]
    report = {"customer_id": who, "channel": "call", "category": "logistics/late", "subject": "晚到两天"}
    desk.case = (await shop.send("/complaints", report, 201))["id"]
    for state in ("acknowledged", "assessed", "in_progress"):
        await desk.step(state)
    await desk.step("proposed", decision="致歉")
    (telling,) = await shop.wait(lambda: shop.all("/complaint-tellings", complaint_id=desk.case), len)
    assert (telling["state"], telling["reason"]) == ("to_tell", "no_address")
    await shop.send(f"/complaint-tellings/{telling['id']}/confirm", {"staff_id": desk.ids["陈静"], "note": "电话告知"})
    assert (await desk.shown())["decision_told_at"] == "2026-10-12T02:00:00+00:00"
    await desk.step("resolved")
    asked = await shop.send(f"/complaints/{desk.case}/rating", status=201)
    assert (asked["state"], asked["channel"]) == ("asked", "shop")
    said = {"csat": 1, "ces": 2, "comment": "只有一句道歉", "staff_id": desk.ids["陈静"]}
    rated = await shop.send(f"/complaint-ratings/{asked['id']}/answer", said)
    assert (rated["low"], rated["suggestion"]) == (True, "reopen")
    (task,) = await shop.wait(lambda: shop.all("/follow-ups", customer_id=who), len)
    assert (task["source"], task["complaint_id"]) == ("low_rating", desk.case)
    assert (await desk.step("in_progress"))["reopened"] == 1
    await desk.step("proposed", decision="补偿运费")
    await desk.step("resolved")
    assert (await shop.send(f"/complaints/{desk.case}/rating", status=409))["code"] == "already_asked"


async def alerts(desk):
    """Return what clocks announced, oldest first."""
    found = await desk.shop.all(f"/complaints/{desk.case}/clock-alerts")
    return sorted(found, key=lambda each: (each["at"], each["id"]))


def told(alert):
    """Return what was announced, and of when."""
    moment = datetime.fromisoformat(alert["at"]).astimezone(SHANGHAI)
    return alert["what"], alert["action"], f"{moment:%m-%dT%H:%M}"


# -- visits by importance ----------------------------------------------------------------------------------------------

MORNING = at("09-24T10:00")
"""Thursday, a week before National Day."""
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
        await hourly(shop.workers)
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
