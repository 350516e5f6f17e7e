"""S1, the mother-and-baby shop: its customers and purchases come in, children grow up, two records become one.

The data have the shape of Tianchi's "Baby Goods Info Data" (``../shared/data/mum_baby``): ``user_id, birthday,
gender`` of a buyer's child (0 girl, 1 boy, 2 unknown), and purchases without a price (here one yuan a piece). They are
as dirty as the real ones: a mother's birthday in the place of her child's, children not yet born when something was
bought for them, buyers of a thousand pieces. The last test does the same with the real file.
"""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crm_api.core.clock import FixedClock
from tests.households.home import age, stage
from tests.stories.shop import Shop, open_shop, table

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

DATA = Path(__file__).parents[3] / "shared/data/mum_baby"
TODAY = date(2014, 7, 1)
NOON = datetime(2014, 7, 1, 4, tzinfo=UTC)
"""Noon in Shanghai, in the middle of the data."""
SEX = {"0": "female", "1": "male"}
BULK = 100
"""Pieces in one purchase that no family uses up."""
GROWN = 18 * 12
"""Months after which a "child" is its mother."""

CHILDREN = """\
user_id,birthday,gender
101,20140101,0
102,20131231,1
103,20130701,0
104,20130702,2
105,20110701,1
106,20080630,0
107,20140910,2
108,20140801,1
109,19860312,2
110,20140616,0
"""
PURCHASES = """\
user_id,auction_id,category_2,category_1,buy_mount,day
101,900001,50014866,50022520,2,20140615
101,900002,50011993,28,1,20140620
102,900003,50018831,50014815,12,20140601
103,900004,50014866,50022520,1,20130601
107,900005,50014866,50022520,3,20140620
108,900001,50014866,50022520,1000,20140510
110,900006,50012461,50014815,1,20140625
555,900007,50012461,50014815,100,20140110
556,900007,50012461,50014815,99,20140110
557,900007,50012461,50014815,1,20150110
"""


@dataclass(frozen=True)
class Child:
    """A line of the children's file: somebody's child, born, or expected on a day after today."""

    user: str
    day: date
    sex: str | None

    @property
    def is_born(self) -> bool:
        return self.day <= TODAY

    @property
    def stage(self) -> str | None:
        return stage(self.day, None, TODAY) if self.is_born else stage(None, self.day, TODAY)

    def body(self) -> dict[str, Any]:
        """Return it as a member of a household: what the file calls a birthday is a due date while it lies ahead."""
        born = {"year": self.day.year, "month": self.day.month, "day": self.day.day}
        told = {"birthday": born} if self.is_born else {"due_date": self.day.isoformat()}
        return {"relation": "child", **told, **({"sex": self.sex} if self.sex else {})}


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def children_of(rows: Sequence[Mapping[str, str]]) -> list[Child]:
    """Return the children, without those who are expected later than any pregnancy lasts."""
    found = []
    for row in rows:
        day = datetime.strptime(row["birthday"], "%Y%m%d").replace(tzinfo=UTC).date()
        if day <= TODAY + timedelta(days=300):
            found.append(Child(row["user_id"], day, SEX.get(row["gender"])))
    return found


def orders_file(rows: Sequence[Mapping[str, str]]) -> bytes:
    """Return the purchases with a number each: the file has none, and lists an item in many lines."""
    names = ("user_id", "category_1", "buy_mount", "day")
    lines = ([f"tm{number}", *(row[name] for name in names)] for number, row in enumerate(rows, 1))
    return table(["order_id", *names], lines)


class Story:
    """The steps, in the order in which a shop takes them."""

    def __init__(self, shop: Shop, children: Sequence[Mapping[str, str]], purchases: Sequence[Mapping[str, str]]):
        self.shop = shop
        self.rows = children
        self.children = children_of(children)
        self.purchases = purchases
        # What is dated after tomorrow nobody has bought yet: such a row is refused, alone.
        self.bought = [row for row in purchases if row["day"] <= f"{TODAY + timedelta(days=1):%Y%m%d}"]

    async def import_buyers(self) -> None:
        """The file's birthday and gender are the child's: they are told to mean nothing of the buyer."""
        how = {
            "mapping": json.dumps({"user_id": "external_id", "birthday": "", "gender": ""}),
            "defaults": json.dumps({"platform": "taobao", "name": "淘宝会员"}),
        }
        lines = [[row["user_id"], row["birthday"], row["gender"]] for row in self.rows]
        file = table(["user_id", "birthday", "gender"], lines)
        users = {row["user_id"] for row in self.rows}
        rehearsed = await self.shop.imported(file, "customers", dry_run="true", **how)
        assert (rehearsed["created"], rehearsed["failed"]) == (len(users), 0)
        assert await self.shop.count("/customers") == 0
        done = await self.shop.imported(file, "customers", **how)
        assert (done["created"], done["failed"]) == (len(users), 0)
        again = await self.shop.imported(file, "customers", **how)
        assert (again["created"], again["unchanged"]) == (0, len(self.rows))

    async def import_purchases(self) -> None:
        """Import what was bought, at a yuan a piece; buyers nobody knew become customers."""
        done = await self.shop.imported(
            orders_file(self.purchases),
            "orders",
            mapping=json.dumps(
                {"user_id": "customer_id", "buy_mount": "total", "day": "placed_at", "category_1": "channel"}
            ),
            defaults=json.dumps({"platform": "taobao", "status": "completed", "currency": "CNY"}),
        )
        assert (done["created"], done["failed"]) == (len(self.bought), len(self.purchases) - len(self.bought))
        (wrong,) = (await self.shop.get(f"/imports/{done['id']}/rows", verdict="failed", limit=1))["data"]
        assert [each["column"] for each in wrong["errors"]] == ["placed_at"]
        users = {row["user_id"] for row in (*self.rows, *self.bought)}
        assert await self.shop.count("/customers") == len(users)
        assert await self.shop.count("/orders") == len(self.bought)

    async def enter_children(self) -> None:
        """Enter a household for each child of the file, unborn ones with their due date."""
        ids = await self.ids()
        for child in self.children:
            mother = {"customer_id": ids[child.user], "relation": "mother"}
            body = {"name": f"会员 {child.user} 家", "members": [mother, child.body()]}
            await self.shop.send("/households", body, 201)

    async def ids(self) -> dict[str, str]:
        """Return user_id → customer."""
        listed = await self.shop.all("/customers")
        return {
            identity["external_id"]: each["id"]
            for each in listed
            for identity in each["identities"]
            if identity["platform"] == "taobao"
        }

    async def see_stages(self) -> Counter[str | None]:
        """Hold what the shop shows against the file."""
        expected = Counter(child.stage for child in self.children)
        for name, number in expected.items():
            assert await self.shop.count("/household-members", stage=name) == number, name
        by_user: dict[str, set[str | None]] = defaultdict(set)
        for child in self.children:
            by_user[child.user].add(child.stage)
        for name in expected:
            assert await self.shop.count("/customers", child_stage=name) == sum(
                name in each for each in by_user.values()
            )
        return expected

    async def see_dirt(self) -> None:
        """Find the buyers whose "child" is grown up, and those who buy by the hundred."""
        ids = await self.ids()
        older = {"field": "age_months", "op": "gte", "value": GROWN}
        found = await self.shop.found({"aggregate": "count", "of": "children", "where": older, "op": "gte", "value": 1})
        assert found == {ids[each.user] for each in self.children if each.is_born and age(each.day, TODAY) >= GROWN}
        bulk = {ids[row["user_id"]] for row in self.bought if int(row["buy_mount"]) >= BULK}
        total = {"amount": BULK * 100, "currency": "CNY"}
        assert await self.shop.found({"aggregate": "max", "of": "orders.total", "op": "gte", "value": total}) == bulk


async def segment(shop: Shop, name: str, rule: Any) -> str:
    made = await shop.send("/segments", {"name": name, "rule": rule}, 201)
    await shop.wait(lambda: shop.get(f"/segments/{made['id']}"), lambda each: each["state"] == "active")
    segment_id: str = made["id"]
    return segment_id


async def members(shop: Shop, segment_id: str) -> set[str]:
    return {each["id"] for each in await shop.all(f"/segments/{segment_id}/members", fields="id")}


async def test_the_story(own_database_url):
    clock = FixedClock(NOON)
    async with open_shop(own_database_url, "baby-store", clock) as shop:
        story = Story(shop, read(CHILDREN), read(PURCHASES))
        await story.import_buyers()
        await story.import_purchases()
        await guardians_are_asked_first(shop, story)
        await story.enter_children()
        assert await story.see_stages() == {"0-6m": 1, "6-12m": 3, "1-3y": 1, "3-6y": 1, "6y+": 2, "pregnant": 2}
        await story.see_dirt()
        await the_calendar_alone_moves_them(shop, clock, await story.ids())
        await a_child_is_born(shop, clock, await story.ids())
        await two_become_one_and_two_again(shop, await story.ids())


async def guardians_are_asked_first(shop, story):
    """A baby shop asks for the guardian's consent: without it no child's details are stored."""
    ids = await story.ids()
    child = story.children[0]
    body = {"name": "x", "members": [{"customer_id": ids[child.user], "relation": "mother"}, child.body()]}
    refused = await shop.send("/households", body, 409)
    assert refused["code"] == "guardian_consent_required"
    assert await shop.count("/households") == 0
    said = {"purpose": "guardian", "action": "granted", "source": "store_form"}
    for each in story.children:
        await shop.send(f"/customers/{ids[each.user]}/consents", said, 201)


async def the_calendar_alone_moves_them(shop, clock, ids):
    """Nobody writes anything: on a child's first birthday its mother changes segments, and the log says why.

    The worker looks every minute; here what it does then is done at once, in a clock that stands still.
    """
    infants = await segment(shop, "0-6月宝宝", {"field": "child_stages", "op": "contains", "value": "0-6m"})
    older = await segment(shop, "6-12月宝宝", {"field": "child_stages", "op": "contains", "value": "6-12m"})
    toddler = {"field": "age_months", "op": "between", "value": [12, 35]}
    toddlers = await segment(
        shop, "学步儿", {"aggregate": "count", "of": "children", "where": toddler, "op": "gte", "value": 1}
    )
    assert await members(shop, infants) == {ids["110"]}
    assert await members(shop, older) == {ids["101"], ids["102"], ids["104"]}
    assert await members(shop, toddlers) == {ids["103"]}
    noon = clock.instant
    clock.instant = datetime(2014, 7, 1, 15, 59, 59, tzinfo=UTC)  # a second before midnight in Shanghai
    await shop.time_passes()
    assert ids["104"] in await members(shop, older)
    clock.instant += timedelta(seconds=1)  # the 2nd: the child of 104 is one year old
    await shop.time_passes()
    assert await members(shop, older) == {ids["101"], ids["102"]}
    assert await members(shop, toddlers) == {ids["103"], ids["104"]}
    (last, *_) = (await shop.get(f"/segments/{toddlers}/log"))["data"]
    assert (last["change"], last["cause"], last["customer_id"]) == ("enter", "time", ids["104"])
    assert (await shop.get(f"/segments/{toddlers}"))["size"] == 2
    clock.instant = noon


async def a_child_is_born(shop, clock, ids):
    """The due date passes into a birth: by its stage the mother enters one segment and leaves another."""
    expecting = await segment(shop, "孕期", {"field": "child_stages", "op": "contains", "value": "pregnant"})
    newborn = await segment(shop, "0-6月", {"field": "child_stages", "op": "contains", "value": "0-6m"})
    mother = ids["108"]
    assert await members(shop, expecting) == {ids["107"], mother}
    (child,) = await shop.all(f"/customers/{mother}/children")
    assert (child["stage"], child["due_date"]) == ("pregnant", "2014-08-01")
    clock.advance(timedelta(days=26))
    birth = {"birthday": {"year": 2014, "month": 7, "day": 25}, "name": "八月"}
    born = await shop.send(f"/household-members/{child['id']}/birth", birth, 200)
    assert (born["stage"], born["age_months"], born["due_date"]) == ("0-6m", 0, "2014-08-01")
    assert await shop.send(f"/household-members/{child['id']}/birth", birth, 200) == born
    await shop.wait(lambda: members(shop, newborn), lambda found: mother in found)
    await shop.wait(lambda: members(shop, expecting), lambda found: found == {ids["107"]})
    (told,) = (await shop.get(f"/customers/{mother}/timeline", kind="child_born"))["data"]
    assert (told["title"], told["data"]["born_on"]) == ("八月", "2014-07-25")


async def two_become_one_and_two_again(shop, ids):
    """The shop's own members come in from the till: one of them is a buyer of the online store."""
    online = ids["101"]
    phone = {"kind": "mobile", "value": "13812345678"}
    await shop.send(f"/customers/{online}", {"name": "王小芳", "city": "上海"}, method="PATCH")
    await shop.send(f"/customers/{online}/contact-points", phone, 201)
    header = ["会员姓名", "手机号", "会员卡号", "城市", "生日"]
    lines = [
        ["王小芳", "138-1234-5678", "M001", "上海", "1988-03-08"],
        ["李雷", "13912345678", "M002", "上海", "1985-05-05"],
    ]
    done = await shop.imported(
        table(header, lines, "gb18030"), "customers", defaults='{"platform": "store"}', match_by="identity"
    )
    assert (done["encoding"], done["created"], done["failed"]) == ("gb18030", 2, 0)
    offline = await shop.known("store", "M001")
    paid = {"status": "paid", "total": {"amount": 29900, "currency": "CNY"}, "placed_at": "2014-07-20T03:00:00Z"}
    await shop.send("/orders/store/T1", {**paid, "customer_id": offline}, method="PUT")
    await shop.wait(lambda: shop.get(f"/loyalty/accounts/{offline}"), lambda each: each["available"] == 299)
    before = {each: await shop.picture(each) for each in (online, offline)}

    await shop.searched()
    pair = await shop.pair(online, offline)
    reasons = {each["code"] for each in pair["reasons"]}
    assert {"same_mobile", "same_name"} <= reasons
    preview = await shop.send("/customers/merge", {"winner_id": online, "loser_ids": [offline], "dry_run": True}, 200)
    moved = {each["table"]: each["moves"] for each in preview["tables"]}
    assert moved["orders"] == 1
    assert await shop.picture(offline) == before[offline]

    accepted = await shop.send(f"/duplicate-candidates/{pair['id']}/accept", {"winner_id": online}, 200)
    one = await shop.picture(online)
    assert one["orders"] == sorted(before[online]["orders"] + before[offline]["orders"])
    assert one["points"]["available"] == sum(each["points"]["available"] for each in before.values())
    assert (one["children"], one["households"]) == (before[online]["children"], before[online]["households"])
    assert (await shop.get(f"/customers/{offline}"))["id"] == online
    assert one["customer"]["birthday"]["year"] == 1988

    undone = await shop.send(f"/merges/{accepted['merge_id']}/undo", None, 200)
    assert undone["state"] == "undone"
    assert {each: await shop.picture(each) for each in (online, offline)} == before
    assert (await shop.get(f"/duplicate-candidates/{pair['id']}"))["state"] == "rejected"


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="the shared data are not here")
async def test_the_real_file(own_database_url):
    """953 children and 29,971 purchases; who keeps consents elsewhere switches the question off."""
    children = read((DATA / "tianchi_mum_baby.csv").read_text())
    purchases = read((DATA / "tianchi_mum_baby_trade_history.csv").read_text())
    async with open_shop(own_database_url, "baby-store", FixedClock(NOON)) as shop:
        await shop.send("/consent-settings", {"guardian_consent_required": False}, 200, "PATCH")
        story = Story(shop, children, purchases)
        await story.import_buyers()
        await story.import_purchases()
        await story.enter_children()
        stages = await story.see_stages()
        assert sum(stages.values()) == len(story.children)
        assert stages["pregnant"] > 0
        await story.see_dirt()
