# ruff: noqa: E501 - lists and SQL read better on one line
"""The search for duplicates over a shop whose duplicates are known: how long it takes, what it finds, what it mistakes.

    python -m benchmarks duplicates --customers 300000

People are made with the frequencies of Chinese names, cities and habits in mind; three in a hundred are written down a
second time the way it happens in shops: a new phone, a homophone for the name, a digit mistyped, the birthday in the
other calendar, an address in other words, fields left out. Nothing of the search is told which.
"""

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from crm_api import admin
from crm_api.core import lunar
from crm_api.core.actor import Actor
from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.duplicates.finder import Finder
from crm_api.duplicates.models import RunKind, RunStart
from crm_api.duplicates.service import DuplicateRunService
from crm_api.settings import Settings
from tests.support.database import test_server

SHARE = 0.03
SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛阎段雷龙史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常汤"
GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红建文利辉力国鹏飞宇婷欣怡峰波雪琳博子涵梓轩浩然雨桐一诺思远佳琪梦晨志远晓东海燕春梅冬梅丹凤小龙晓明家豪嘉怡美玲淑贞德胜永康世杰振华立新卫东爱国淑芬俊杰天翔"
HOMOPHONES = {
    "伟": "玮",
    "静": "婧",
    "芳": "方",
    "丽": "莉",
    "晓": "小",
    "小": "晓",
    "琪": "奇",
    "佳": "嘉",
    "嘉": "佳",
    "怡": "宜",
    "涵": "函",
    "轩": "萱",
    "华": "骅",
    "文": "雯",
    "明": "铭",
    "超": "朝",
    "志": "智",
    "建": "健",
    "玉": "钰",
    "宇": "雨",
    "雨": "宇",
}
CITIES = (
    "上海",
    "北京",
    "广州",
    "深圳",
    "杭州",
    "南京",
    "苏州",
    "成都",
    "重庆",
    "武汉",
    "西安",
    "天津",
    "宁波",
    "青岛",
    "长沙",
    "郑州",
)
ROADS = (
    "人民路",
    "解放路",
    "中山路",
    "建设路",
    "和平街",
    "长江路",
    "黄河路",
    "新华街",
    "南京路",
    "学府路",
    "滨河大道",
    "科技路",
)
MAIL = ("qq.com", "163.com", "126.com", "sina.com", "foxmail.com", "gmail.com")


@dataclass(frozen=True)
class Person:
    """What a shop knows of somebody, and who it is in truth."""

    truth: int
    name: str
    gender: str | None = None
    birth: tuple[str, int | None, int, int, bool] | None = None
    city: str | None = None
    address: str | None = None
    mobile: str | None = None
    email: str | None = None
    external: str | None = None
    id: UUID = field(default_factory=new_id)


def people(count: int, seed: int = 7) -> Iterator[Person]:
    """Yield people, those written down twice right after one another."""
    pick = random.Random(seed)
    written = truth = 0
    while written < count:
        person = _person(pick, truth)
        truth, written = truth + 1, written + 1
        yield person
        if pick.random() < SHARE and written < count:
            written += 1
            yield _again(pick, person)


def _person(pick: random.Random, truth: int) -> Person:
    # The commonest surnames and characters are many times as common as the rarest.
    surname = SURNAMES[min(int(pick.expovariate(1 / 18)), len(SURNAMES) - 1)]
    given = "".join(pick.choice(GIVEN) for _ in range(1 if pick.random() < 0.15 else 2))
    born = date(1955, 1, 1) + timedelta(days=pick.randrange(18_000))
    return Person(
        truth,
        surname + given,
        pick.choice(("female", "male")) if pick.random() < 0.7 else None,
        _birth(pick, born) if pick.random() < 0.5 else None,
        pick.choice(CITIES) if pick.random() < 0.8 else None,
        f"{pick.choice(ROADS)}{pick.randrange(1, 2000)}号{pick.randrange(1, 30)}栋{pick.randrange(101, 2500)}室"
        if pick.random() < 0.4
        else None,
        f"+86{pick.choice(('13', '15', '17', '18', '19'))}{pick.randrange(10**9):09}" if pick.random() < 0.85 else None,
        f"{_mailbox(pick, truth)}@{pick.choice(MAIL)}" if pick.random() < 0.3 else None,
        f"tb{pick.randrange(10**9)}" if pick.random() < 0.4 else None,
    )


def _mailbox(pick: random.Random, truth: int) -> str:
    return f"{''.join(pick.choice('abcdefghijklmnopqrstuvwxyz') for _ in range(pick.randrange(3, 8)))}{truth % 1000}"


def _birth(pick: random.Random, born: date) -> tuple[str, int | None, int, int, bool]:
    known = pick.random() < 0.7
    told = lunar.lunar_of(born)
    if pick.random() < 0.25 and told is not None:
        return ("lunar", told.year if known else None, told.month, told.day, told.leap)
    return ("solar", born.year if known else None, born.month, born.day, False)


def _again(pick: random.Random, person: Person) -> Person:
    """Write somebody down a second time; something that identifies them stays."""
    changes: dict[str, Any] = {"id": new_id(), "external": None}
    kind = pick.random()
    if kind < 0.35 or person.mobile is None:
        changes["mobile"] = f"+8613{pick.randrange(10**9):09}" if pick.random() < 0.6 else None
    elif kind < 0.5:
        digits = list(person.mobile)
        place = pick.randrange(5, len(digits))
        digits[place] = str((int(digits[place]) + pick.randrange(1, 10)) % 10)
        changes["mobile"] = "".join(digits)
    if pick.random() < 0.3:
        changes["name"] = "".join(HOMOPHONES.get(each, each) if pick.random() < 0.7 else each for each in person.name)
    if pick.random() < 0.2:
        changes["birth"] = None
    elif person.birth is not None and person.birth[1] is not None and pick.random() < 0.2:
        changes["birth"] = (person.birth[0], None, *person.birth[2:])
    if person.address is not None and pick.random() < 0.5:
        changes["address"] = person.address.replace("号", "号 ").replace("栋", "幢").replace("室", "")
    if pick.random() < 0.4:
        changes["email"] = None
    if pick.random() < 0.3:
        changes["gender"] = None
    if pick.random() < 0.2:
        changes["city"] = None
    return replace(person, **changes)


INSERTS = (
    (
        "INSERT INTO customers (tenant_id, id, name, gender, birth_calendar, birth_year, birth_month, birth_day, birth_leap_month, city, address) SELECT $1, * FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::smallint[], $8::smallint[], $9::bool[], $10::text[], $11::text[])",
        lambda p: (p.id, p.name, p.gender, *(p.birth or (None,) * 5), p.city, p.address),
        lambda _: True,
    ),
    (
        "INSERT INTO contact_points (tenant_id, id, customer_id, kind, value) SELECT $1, gen_random_uuid(), c, 'mobile', v FROM unnest($2::uuid[], $3::text[]) AS g (c, v)",
        lambda p: (p.id, p.mobile),
        lambda p: p.mobile,
    ),
    (
        "INSERT INTO contact_points (tenant_id, id, customer_id, kind, value) SELECT $1, gen_random_uuid(), c, 'email', v FROM unnest($2::uuid[], $3::text[]) AS g (c, v)",
        lambda p: (p.id, p.email),
        lambda p: p.email,
    ),
    (
        "INSERT INTO customer_identities (tenant_id, id, customer_id, platform, external_id) SELECT $1, gen_random_uuid(), c, 'taobao', v FROM unnest($2::uuid[], $3::text[]) AS g (c, v) ON CONFLICT DO NOTHING",
        lambda p: (p.id, p.external),
        lambda p: p.external,
    ),
)


async def fill(url: str, tenant_id: UUID, written: list[Person]) -> None:
    """Store the people."""
    owner = await asyncpg.connect(url)
    for statement, values, has in INSERTS:
        rows = [values(person) for person in written if has(person)]
        for start in range(0, len(rows), 10_000):
            part = rows[start : start + 10_000]
            await owner.execute(statement, tenant_id, *([row[place] for row in part] for place in range(len(part[0]))))
    await owner.execute("ANALYZE customers, contact_points, customer_identities")
    await owner.close()


async def search(database: Database, tenant_id: UUID, kind: RunKind) -> dict[str, Any]:
    """Run a search and return the run's row, with seconds of wall time and of this process's CPU."""
    actor = Actor.system(tenant_id)

    async def start(unit: UnitOfWork) -> UUID:
        return await DuplicateRunService(unit).start(RunStart(kind=kind))

    run_id = await database.run(actor, start)
    wall, cpu = time.perf_counter(), time.process_time()
    await database.run(actor, lambda unit: Finder(unit, run_id).begin())
    while await database.run(actor, lambda unit: Finder(unit, run_id).step()):
        continue
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu

    async def read(unit: UnitOfWork) -> dict[str, Any]:
        return dict(await unit.connection.fetchrow("SELECT * FROM duplicate_runs WHERE id = $1", run_id) or {})

    return {**await database.run(actor, read), "wall": wall, "cpu": cpu}


async def judged(database: Database, tenant_id: UUID, written: list[Person]) -> tuple[int, int, int]:
    """Return pairs there are in truth, pairs found, and those of them that are right."""
    truth = {person.id: person.truth for person in written}
    by_truth: dict[int, list[UUID]] = {}
    for person in written:
        by_truth.setdefault(person.truth, []).append(person.id)

    async def read(unit: UnitOfWork) -> list[asyncpg.Record]:
        return await unit.connection.fetch(
            "SELECT first_id, second_id FROM duplicate_candidates WHERE tenant_id = $1", tenant_id
        )

    found = await database.run(Actor.system(tenant_id), read)
    right = sum(truth[row[0]] == truth[row[1]] for row in found)
    return sum(len(each) > 1 for each in by_truth.values()), len(found), right


async def _measure(url: str, customers: int) -> None:
    tenant = await admin.create_tenant(Settings(database_url=url), "bench duplicates")
    written = list(people(customers))
    await fill(url, tenant.tenant_id, written)
    database = await Database.open(Settings(database_url=url), worker=True)
    print(f"\n### Search for duplicates, {len(written):,} customers\n")
    print(
        "| run | seconds | CPU here | customers/s | changed | pairs compared | found | left out |\n|---|---|---|---|---|---|---|---|"
    )
    for kind in ("full", "incremental"):
        run = await search(database, tenant.tenant_id, kind)
        rate = run["processed"] / run["wall"]
        print(
            f"| {kind} | {run['wall']:.1f} | {run['cpu']:.1f} | {rate:,.0f} | {run['changed']:,} | {run['compared']:,} | {run['found']:,} | {run['skipped']} |"
        )
    there, found, right = await judged(database, tenant.tenant_id, written)
    print(
        f"\n{there:,} true pairs; {found:,} proposed, {right:,} of them right: precision {right / found:.3f}, recall {right / there:.3f}"
    )
    await database.close()


def run(customers: int, _total: int) -> None:
    """Run on an embedded server of the tests' kind."""
    with test_server() as server, server.migrated() as url:
        asyncio.run(_measure(url, customers))
