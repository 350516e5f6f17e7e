"""S2, the beauty salon: customers are classed by what they spend; one of the B slides, is noticed, called, and returns.
A beautician leaves: her customers are spread over the others, and what was to be done for them goes along.

Everything goes through the public API, with the real worker beside it and a clock that the story moves. The salon's
preset decides the figures: 70 points for silence beyond four cycles, 30 for complaints, 30 for ratings.
"""

from datetime import UTC, datetime, timedelta

import pytest

from crm_api.core.clock import FixedClock
from tests.stories.shop import Shop, open_shop

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

NOON = datetime(2026, 3, 2, 4, tzinfo=UTC)
"""Noon in Shanghai."""
RHYTHM = 28
"""Days between two treatments."""
CLIENTELE = {"安": ("A", 6, 150_000), "白": ("B", 6, 80_000), "蔡": ("C", 6, 40_000), "丁": ("D", 2, 30_000)}
"""Name → grade, visits so far and what each costs in fen: 9,000, 4,800, 2,400 and 600 yuan of 16,800."""
CALL = "grade in (A, B) and churn_level in (watch, high)"
STEADY = "grade in (A, B) and churn_level = none"


class Salon:
    """What the people of the salon do."""

    def __init__(self, shop: Shop, clock: FixedClock) -> None:
        self.shop = shop
        self.clock = clock
        self.ids: dict[str, str] = {}
        self.visits = 0

    def ago(self, days: int = 0) -> str:
        return (self.clock.now() - timedelta(days=days)).isoformat()

    async def open_books(self) -> None:
        """Enter the clientele with the visits so far, the last of each a week ago."""
        for name, (_, visits, price) in CLIENTELE.items():
            self.ids[name] = (await self.shop.send("/customers", {"name": name}, 201))["id"]
            for number in range(visits):
                await self.visit(name, price, ago=7 + RHYTHM * number)

    async def visit(self, name: str, price: int | None = None, ago: int = 0) -> None:
        """Enter a treatment."""
        self.visits += 1
        amount = CLIENTELE[name][2] if price is None else price
        order = {
            "customer_id": self.ids[name],
            "status": "completed",
            "total": {"amount": amount, "currency": "CNY"},
            "placed_at": self.ago(ago),
        }
        await self.shop.send(f"/orders/till/{self.visits}", order, 201, "PUT")

    async def rate(self, name: str, stars: int, ago: int = 0) -> None:
        """Enter what somebody gave on the tablet at the till."""
        rating = {
            "id": f"{name.encode().hex()}-{stars}",
            "type": "rating",
            "occurred_at": self.ago(ago),
            "customer": {"customer_id": self.ids[name]},
            "properties": {"score": stars},
        }
        assert (await self.shop.send("/events/batch", {"events": [rating]}))["accepted"] == 1

    async def done(self, path: str, body: object = None) -> dict:
        """Start a job and wait for its end."""
        made = await self.shop.send(path, {} if body is None else body, 202)
        seen = await self.shop.wait(
            lambda: self.shop.get(f"{path}/{made['id']}"), lambda each: each["state"] in {"completed", "failed"}
        )
        assert seen["state"] == "completed", seen
        return seen

    async def segment(self, name: str, rule: str) -> str:
        """Make a segment and wait until it is active."""
        made = await self.shop.send("/segments", {"name": name, "rule": rule}, 201)
        await self.shop.wait(
            lambda: self.shop.get(f"/segments/{made['id']}"), lambda each: each["state"] != "compiling"
        )
        return made["id"]

    async def members(self, segment_id: str) -> set[str]:
        """Return the names of a segment's members."""
        return {each["name"] for each in await self.shop.all(f"/segments/{segment_id}/members")}

    async def moved(self, segment_id: str, names: set[str]) -> None:
        """Wait until a segment has just these members."""
        await self.shop.wait(lambda: self.members(segment_id), lambda found: found == names)

    async def churn(self, name: str) -> dict:
        """Return how likely somebody is leaving, and why."""
        return await self.shop.get(f"/customers/{self.ids[name]}/churn")


async def test_a_good_customer_slides_is_called_and_returns(own_database_url):
    clock = FixedClock(NOON)
    async with open_shop(own_database_url, "salon", clock) as shop:
        salon = Salon(shop, clock)
        await salon.open_books()
        await salon.rate("白", 5, ago=20)
        await customers_are_classed(salon)
        steady, call = await salon.segment("稳定的好客人", STEADY), await salon.segment("该打电话了", CALL)
        await salon.moved(steady, {"安", "白"})
        await salon.moved(call, set())
        await bea_is_not_happy(salon, clock)
        await she_is_noticed(salon)
        await salon.moved(call, {"白"})
        await salon.moved(steady, {"安"})
        await the_segment_says_why(salon, call, steady)
        await she_returns(salon, clock)
        await salon.moved(steady, {"安", "白"})
        await salon.moved(call, set())
        await the_log_tells_each_step(salon, call, steady)


async def customers_are_classed(salon):
    """A, B, C and D by their share of the turnover; nobody is leaving."""
    await salon.done("/scoring-runs")
    for name, (grade, _, _) in CLIENTELE.items():
        assert await salon.shop.found(f"grade = {grade}") == {salon.ids[name]}
        shown = (await salon.shop.get(f"/customers/{salon.ids[name]}/classes"))["classes"]
        (found,) = [each for each in shown if each["dimension"] == "grade"]
        assert (found["code"], found["name"]["zh"]) == (grade, f"{grade} 类客户")
        if name == "白":
            assert found["reason"]["values"]["amount"] == 480_000
            assert found["reason"]["zh"] == (
                "近 365 天消费 4,800.00 CNY，A ≥ 9,000.00 CNY，B ≥ 4,800.00 CNY，C ≥ 2,400.00 CNY；"
                "A、B、C 类从高到低累计占销售额 50% / 80% / 95%"
            )
    ran = await salon.done("/churn/assessments")
    assert (ran["assessed"], ran["alerts"], ran["levels"]) == (4, 0, {"none": 4})


async def bea_is_not_happy(salon, clock):
    """Bai complains and rates lower; for two cycles she stays away, while all others come as ever."""
    for _ in range(2):
        clock.advance(timedelta(days=RHYTHM))
        for name in ("安", "蔡", "丁"):
            await salon.visit(name, ago=7)
        if clock.now() == NOON + timedelta(days=RHYTHM):
            await salon.rate("白", 4)
            case = {"customer_id": salon.ids["白"], "channel": "in_store", "subject": "染发后头皮过敏"}
            await salon.shop.send("/complaints", case, 201)


async def she_is_noticed(salon):
    """The night's assessment raises her to watch, and says with figures why; nobody else moves."""
    ran = await salon.done("/churn/assessments")
    assert (ran["rises"], ran["falls"], ran["alerts"], ran["levels"]) == (1, 0, 1, {"none": 3, "watch": 1})
    seen = await salon.churn("白")
    assert (seen["level"], seen["score"], seen["silence_days"], seen["cycle_days"]) == ("watch", 51.0, 63, 28)
    assert [(each["indicator"], each["contribution"]) for each in seen["reasons"] if each["measured"]] == [
        ("purchases", 21.0),  # 2.25 cycles of silence: 0.3 of 70 points
        ("satisfaction", 15.0),  # one star less: half of 30
        ("complaints", 15.0),  # one more than ever: half of 30
    ]
    assert [each["zh"] for each in seen["reasons"]] == [
        "上次购买距今 63 天；通常每 28 天来一次（本人中位数），已达 2.2 倍",
        "最近 60 天平均评分 4 分（满分 5 分）；此前 5 分",
        "最近 60 天投诉 1 次；通常同样时长内 0 次（本人平均）",
        "客户主动联系：无数据（没有记录），不计入",
        "浏览：无数据（没有记录），不计入",
    ]
    again = await salon.done("/churn/assessments")
    assert (again["rises"], again["alerts"]) == (0, 0)


async def the_segment_says_why(salon, call, steady):
    """The salon asks the segment: in for her grade and her level; the other one let her go for the same reason."""
    why = await salon.shop.get(f"/segments/{call}/explain/{salon.ids['白']}")
    assert (why["member"], why["holds"], why["gap"]) == (True, True, None)
    found = {part["sentence"]["en"].split()[0]: (part["holds"], part["found"]) for part in why["tree"]["parts"]}
    assert sorted(value for _, value in found.values()) == ["B", "watch"]
    assert all(holds for holds, _ in found.values())
    assert [(each["change"], each["cause"]) for each in why["log"]] == [("enter", "event")]
    left = await salon.shop.get(f"/segments/{steady}/explain/{salon.ids['白']}")
    assert (left["member"], left["holds"]) == (False, False)
    assert [each["change"] for each in left["log"]] == ["leave", "enter"]


async def she_returns(salon, clock):
    """Somebody calls her; she comes on the fifth day and then as before, and the complaint is two months old."""
    call = {"customer_id": salon.ids["白"], "channel": "call", "direction": "outbound", "body": "道歉并赠送护理"}
    await salon.shop.send("/interactions", call, 201)
    clock.advance(timedelta(days=35))
    for name in CLIENTELE:
        await salon.visit(name, ago=30)
        await salon.visit(name, ago=2)
    ran = await salon.done("/churn/assessments")
    assert (ran["rises"], ran["falls"], ran["alerts"]) == (0, 1, 0)
    seen = await salon.churn("白")
    assert (seen["level"], seen["score"], seen["silence_days"]) == ("none", 0.0, 2)


async def the_log_tells_each_step(salon, call, steady):
    """Up with reasons, down again; in and out of the segment at the same moments."""
    customer = salon.ids["白"]
    log = (await salon.shop.get("/churn/transitions", customer_id=customer))["data"]
    assert [(each["from_level"], each["to_level"], each["alert"]) for each in log] == [
        ("watch", "none", False),
        ("none", "watch", True),
    ]
    assert log[1]["reasons"][0]["en"].startswith("Last purchase 63 days ago; usually comes every 28 days (own median)")
    moves = (await salon.shop.get(f"/segments/{call}/log", customer_id=customer))["data"]
    assert [(each["change"], each["cause"]) for each in moves] == [("leave", "event"), ("enter", "event")]
    # Out of one segment and into the other: mostly by one message, `churn.level_changed`; but a pass for an earlier
    # message about her that looks while the assessment commits already sees the new level.
    others = (await salon.shop.get(f"/segments/{steady}/log", customer_id=customer))["data"]
    assert [(each["change"], each["cause"]) for each in others[:2]] == [("enter", "event"), ("leave", "event")]
    assert None not in {each["cause_id"] for each in (*moves, *others[:2])}
    # Her grade is what it was: she moved by her level alone, and the log of classes agrees.
    (graded, *_) = (await salon.shop.get("/class-log", customer_id=customer, dimension="grade"))["data"]
    assert (graded["after"]["grade"], graded["cause"]) == ("B", "run")
    days = [(datetime.fromisoformat(each["at"]) - NOON).days for each in (*reversed(moves), *reversed(log))]
    assert days == [56, 91, 56, 91]
    shown = await salon.shop.ask(
        "query($q: String!) { customers(q: $q) { nodes { churn { level } churnTransitions { nodes { toLevel } } } } }",
        q="白",
    )
    (node,) = shown["customers"]["nodes"]
    assert node == {
        "churn": {"level": "NONE"},
        "churnTransitions": {"nodes": [{"toLevel": "NONE"}, {"toLevel": "WATCH"}]},
    }


# -- a beautician leaves -----------------------------------------------------------------------------------------------


class Crew:
    """What the manager does with the staff of the salon."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.ids: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.hers: list[str] = []

    async def come_to_work(self) -> None:
        """Three beauticians; Mei looks after six customers, the others after two each."""
        for name, number in (("小美", 6), ("小丽", 2), ("小娟", 2)):
            self.ids[name] = (await self.shop.send("/staff", {"name": name}, 201))["id"]
            self.names[self.ids[name]] = name
            for each in range(number):
                body = {"name": f"{name}的客人{each}", "owner_id": self.ids[name]}
                made = (await self.shop.send("/customers", body, 201))["id"]
                self.hers += [made] if name == "小美" else []

    async def owners(self) -> dict[str, int]:
        """Return how many customers each looks after."""
        return await self._count("/customers", "owner_id")

    async def tasks(self) -> dict[str, int]:
        """Return how many calls each has to make."""
        return await self._count("/follow-ups", "assignee_id", state="open")

    async def _count(self, path: str, whose: str, **query: str) -> dict[str, int]:
        found = [self.names[each[whose]] for each in await self.shop.all(path, **query) if each[whose]]
        return {name: found.count(name) for name in sorted(set(found))}

    async def proposal(self) -> dict:
        """Return the only proposal to spread customers anew, when it is there."""
        seen = await self.shop.wait(lambda: self.shop.get("/rebalancings"), lambda page: page["data"])
        (made,) = seen["data"]
        return made

    def loads(self, told: list[dict]) -> dict[str, int]:
        """Return loads of a proposal by name."""
        return {self.names[each["staff_id"]]: each["customers"] for each in told}


async def test_a_beautician_leaves_and_comes_back(own_database_url):
    async with open_shop(own_database_url, "salon", FixedClock(NOON)) as shop:
        crew = Crew(shop)
        await crew.come_to_work()
        await everybody_is_to_be_called(crew)
        proposal = await mei_leaves(crew)
        await her_customers_go_to_the_others(crew, proposal)
        await one_of_them_is_called_by_the_new_one(crew)
        await she_is_back_and_it_is_undone(crew, proposal)


async def everybody_is_to_be_called(crew):
    """A plan asks for a call every four weeks; its tasks are made by the worker and lie with the owners."""
    plan = {
        "name": "四周一次回访",
        "cadences": [{"dimension": "all", "every_days": RHYTHM}],
        "channels": ["in_store"],
        "first_after_days": 7,
    }
    await crew.shop.send("/follow-up-plans", plan, 201)
    await crew.shop.wait(crew.tasks, lambda found: found == {"小丽": 2, "小娟": 2, "小美": 6})


async def mei_leaves(crew):
    """A proposal makes itself: who takes over, with loads before and after; nothing has moved yet."""
    await crew.shop.send(f"/staff/{crew.ids['小美']}", {"active": False}, method="PATCH")
    proposal = await crew.proposal()
    assert (proposal["state"], proposal["cause"], proposal["planned"], proposal["unplaced"]) == (
        "proposed",
        "left",
        6,
        0,
    )
    assert crew.loads(proposal["before"]) == {"小美": 6, "小丽": 2, "小娟": 2}
    assert crew.loads(proposal["after"]) == {"小美": 0, "小丽": 5, "小娟": 5}
    assert proposal["gini_after"] == 0
    assert await crew.owners() == {"小丽": 2, "小娟": 2, "小美": 6}
    # Nobody's calls lie with somebody who is not there: they wait until it is known who takes over.
    await crew.shop.wait(crew.tasks, lambda found: found == {"小丽": 2, "小娟": 2})
    assert await crew.shop.count("/follow-ups", unassigned="true", state="open") == 6
    early = await crew.shop.client.post(f"/v1/rebalancings/{proposal['id']}/apply")
    assert (early.status_code, early.json()["code"]) == (409, "wrong_state")
    return proposal


async def her_customers_go_to_the_others(crew, proposal):
    """Approved and applied in one transaction; the calls go along, and the history says why."""
    path = f"/rebalancings/{proposal['id']}"
    await crew.shop.send(f"{path}/approve", {"note": "同意"}, 200)
    applied = await crew.shop.send(f"{path}/apply", None, 200)
    assert (applied["state"], applied["moved"], applied["skipped"]) == ("applied", 6, 0)
    assert await crew.owners() == {"小丽": 5, "小娟": 5}
    await crew.shop.wait(crew.tasks, lambda found: found == {"小丽": 5, "小娟": 5})
    for each in crew.hers:
        history = (await crew.shop.get(f"/customers/{each}/owners"))["data"]
        (line,) = [known for known in history if known["cause"] == "rebalancing"]
        assert (line["by_id"], line["previous_owner_id"]) == (proposal["id"], crew.ids["小美"])


async def one_of_them_is_called_by_the_new_one(crew):
    """She says what is wrong: the call, the case and the next call are one request."""
    customer = crew.hers[0]
    (task,) = (await crew.shop.get(f"/customers/{customer}/follow-ups"))["data"]
    contact = {
        "interaction": {
            "customer_id": customer,
            "channel": "call",
            "direction": "outbound",
            "staff_id": task["assignee_id"],
            "problem": "染后头皮发痒",
        },
        "follow_up": {"id": task["id"], "result": "reached", "satisfaction": 3},
        "complaint": {"subject": "染后头皮发痒"},
        "next": {"due_on": "2026-03-05", "channel": "call"},
    }
    made = await crew.shop.send("/contacts", contact, 201)
    assert made["next"]["assignee_id"] == made["interaction"]["staff_id"] == task["assignee_id"]
    assert made["next"]["complaint_id"] == made["complaint"]["id"]


async def she_is_back_and_it_is_undone(crew, proposal):
    """Mei returns: customers come back, and with them what is still to be done; what was done stays with who did it."""
    await crew.shop.send(f"/staff/{crew.ids['小美']}", {"active": True}, method="PATCH")
    undone = await crew.shop.send(f"/rebalancings/{proposal['id']}/undo", None, 200)
    assert (undone["state"], undone["returned"]) == ("undone", 6)
    assert await crew.owners() == {"小丽": 2, "小娟": 2, "小美": 6}
    await crew.shop.wait(crew.tasks, lambda found: found == {"小丽": 2, "小娟": 2, "小美": 6})
    (done,) = await crew.shop.all("/follow-ups", state="done")
    assert done["assignee_id"] != crew.ids["小美"]
    report = {each["name"]: each for each in (await crew.shop.get("/staff-performance", until=later()))["staff"]}
    assert sum(each["more"]["follow_ups"]["done"] for each in report.values()) == 1
    assert report["小美"]["customers"] == 6


def later():
    """Return an hour after noon: a period ends before its last instant."""
    return (NOON + timedelta(hours=1)).isoformat()
