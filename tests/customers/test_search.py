"""The search box: what it finds, in which order, page by page, and how it goes about it."""

from uuid import UUID

import asyncpg
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_api.companies import jobs as company_jobs
from crm_api.core.ids import new_id
from crm_api.core.messages import Message
from crm_api.core.paging import PageRequest
from crm_api.customers import jobs, pinyin, search
from crm_api.customers.models import CustomerCreate, CustomerUpdate
from crm_api.customers.repository import CUSTOMER, search_by
from crm_api.customers.repository import searching as search_module
from crm_api.customers.service import CustomerService
from crm_api.db.plans import read_list, rest_list


class TestPinyin:
    @pytest.mark.parametrize(
        ("name", "typed"),
        [
            ("王小明", {"wangxiaoming", "wxm"}),
            ("单雄信", {"shanxiongxin", "danxiongxin", "sxx"}),
            ("曾国藩", {"zengguofan", "cengguofan", "zgf"}),
            ("解晓东", {"xiexiaodong", "jiexiaodong"}),
            ("尉迟恭", {"yuchigong", "ycg"}),
            ("欧阳娜娜", {"ouyangnana", "oynn"}),
            ("吕布", {"lvbu", "lubu"}),
            ("李乐", {"lile", "liyue"}),
            ("任重行", {"renzhongxing", "renchongxing", "renzhonghang"}),
        ],
    )
    def test_readings(self, name, typed):
        found = pinyin.readings(name)
        assert typed <= {reading.whole for reading in found} | {reading.initials for reading in found}
        assert len(found) <= pinyin.MOST_READINGS

    def test_archaic_readings_are_left_out(self):
        assert [reading.whole for reading in pinyin.readings("王明")] == ["wangming"]

    @pytest.mark.parametrize("name", ["", "Anna", "12", "ﾊﾅ"])
    def test_what_is_not_chinese_is_not_read(self, name):
        assert pinyin.readings(name) == ()

    @given(st.text(max_size=60))
    @settings(max_examples=200, deadline=None)
    def test_any_text_can_be_keyed(self, text):
        """Marks come from us alone, and every line of the haystack is one of its parts."""
        made = search.haystack(search.Known(text, [text], [text], [text]))
        assert not set(search.compact(text)) & {search.KEY, search.END, search.WORD, search.REST}
        for part in made.split(" ")[1:]:
            assert part[0] in {search.KEY, search.WORD, search.REST}
        if search.compact(text):
            assert f" {search.KEY}{search.compact(text)}{search.END}" in made

    @pytest.mark.parametrize(
        ("query", "needle"),
        [
            ("wang xiao ming", "wangxiaoming"),
            ("138 1234-5678", "13812345678"),
            ("+86 138 1234 5678", "13812345678"),
            ("8613812345678", "13812345678"),
            ("008613812345678", "13812345678"),
            ("１３８", "138"),
            ("861", "861"),
            ("Xi'an", "xian"),
            ("lǚ", "lǚ"),
            ("lü", "lv"),
        ],
    )
    def test_needles(self, query, needle):
        assert search.needle(query) == needle


async def create(database, tenant, name="王小明", **fields):
    async def work(unit):
        return await CustomerService(unit).create(CustomerCreate(name=name, **fields))

    return await database.run(tenant.actor, work)


async def ask(database, tenant, q, *, limit=50, order=None, after=None, before=None, **filters):
    async with database.read(tenant.actor) as unit:
        page = PageRequest(limit, after, before, count=True)
        body = await read_list(unit, CUSTOMER, page, order=order, filters={"q": q, **filters}, fields=("id", "name"))
    return orjson.loads(body)


async def found(database, tenant, q, **how):
    return [each["name"] for each in (await ask(database, tenant, q, **how))["data"]]


MOBILE = {"kind": "mobile", "value": "13812345678"}


@pytest.mark.asyncio
@pytest.mark.database
class TestFinding:
    @pytest.mark.parametrize(
        "q",
        [
            *("王", "小", "明", "小明", "王小明", "王 小明"),
            *(
                "wxm",
                "xm",
                "w",
                "wx",
                "xiaoming",
                "ming",
                "wang xiao ming",
                "WangXiaoMing",
                "wangx",
                "gxia",
                "xi",
                "xia",
            ),
            *("5678", "345678", "138 1234", "+8613812345678", "138-1234-5678", "86138 1234 5678"),
            *("ming@Example", "example.com", "xiaoming@", "tb_1", "老客户", "客户", "户", "vip"),
        ],
    )
    async def test_by_whatever_is_known(self, database, tenant, q):
        await create(
            database,
            tenant,
            contact_points=[MOBILE, {"kind": "email", "value": "Xiaoming@example.com"}],
            identities=[{"platform": "taobao", "external_id": "tb_1"}],
            tags=["vip", "老客户"],
        )
        await create(database, tenant, "李雷", contact_points=[{"kind": "mobile", "value": "13900000000"}])
        assert await found(database, tenant, q) == ["王小明"]

    @pytest.mark.parametrize("q", ["%", "_", "小_", "\\", "%%%", "王%明", "'", "ǀ", "王明", "mx", "zzz", "", "  "])
    async def test_what_nobody_has(self, database, tenant, q):
        await create(database, tenant, contact_points=[MOBILE])
        assert await found(database, tenant, q) == []

    @pytest.mark.parametrize("q", ["nn", "n", "anna", "annas", "anna smith", "smith", "mi"])
    async def test_latin_names_by_any_fragment(self, database, tenant, q):
        await create(database, tenant, "Anna Smith")
        assert await found(database, tenant, q) == ["Anna Smith"]

    async def test_follows_every_change(self, database, tenant):
        customer_id = await create(database, tenant, tags=["vip"])

        async def change(unit):
            service = CustomerService(unit)
            await service.update(customer_id, CustomerUpdate(name="陈大文", tags=["new"]))
            await service.add_tag(customer_id, "周末")
            await service.remove_tag(customer_id, "new")

        await database.run(tenant.actor, change)
        assert await found(database, tenant, "wxm") == []
        assert await found(database, tenant, "vip") == await found(database, tenant, "new") == []
        assert await found(database, tenant, "cdw") == await found(database, tenant, "周末") == ["陈大文"]

    async def test_other_domains_add_what_they_know(self, database, tenant, monkeypatch):
        monkeypatch.setattr(search_module, "_SOURCES", {})

        async def company(_unit, ids):
            return {each: ["浦东幼儿园"] for each in ids}

        customer_id = await create(database, tenant)
        search_by("company", company)

        async def refresh(unit):
            await CustomerService(unit).refresh_search([customer_id])

        await database.run(tenant.actor, refresh)
        for q in ("幼儿园", "浦东", "pdyey", "pudongyoueryuan"):
            assert await found(database, tenant, q) == ["王小明"]

    async def test_other_tenants_are_not_found(self, database, tenant, other_tenant):
        await create(database, other_tenant)
        assert await found(database, tenant, "王小明") == []


@pytest.mark.asyncio
@pytest.mark.database
class TestRanking:
    async def test_exact_before_prefix_before_word_before_fragment(self, database, tenant):
        await create(database, tenant, "李明明", contact_points=[{"kind": "email", "value": "vip@example.com"}])
        for name in ("明", "小明", "明小", "赵小明", "明朝科技"):
            await create(database, tenant, name)
        assert await found(database, tenant, "明") == ["明", "明朝科技", "明小", "赵小明", "小明", "李明明"]
        assert await found(database, tenant, "xiaoming") == ["小明", "赵小明"]
        assert await found(database, tenant, "iaomin") == ["赵小明", "小明"]

    async def test_a_phones_last_digits_before_a_fragment_of_another(self, database, tenant):
        await create(database, tenant, "tail", contact_points=[{"kind": "mobile", "value": "13800005678"}])
        await create(database, tenant, "inside", contact_points=[{"kind": "mobile", "value": "13856780000"}])
        assert await found(database, tenant, "5678") == ["tail", "inside"]

    async def test_another_order_may_be_asked_for(self, database, tenant):
        for name in ("明", "赵小明", "李明明"):
            await create(database, tenant, name)
        assert await found(database, tenant, "明", order="newest") == ["李明明", "赵小明", "明"]

    async def test_without_a_query_everybody_is_as_relevant(self, database, tenant):
        for name in ("a", "b"):
            await create(database, tenant, name)
        async with database.read(tenant.actor) as unit:
            body = await read_list(unit, CUSTOMER, PageRequest(), order="relevance", fields=("name",))
        assert [each["name"] for each in orjson.loads(body)["data"]] == ["b", "a"]

    @pytest.mark.parametrize("filters", [{}, {"kind": "person"}])
    async def test_pages_walk_all_matches_once_both_ways(self, database, tenant, filters):
        """Five of each fit, walked by two: pages end inside and between them."""
        for number in range(5):
            for name in ("明", f"明{number}", f"赵小明{number}", f"李x明y{number}"):
                await create(database, tenant, name)
        await create(database, tenant, "nobody")
        whole = await ask(database, tenant, "明", **filters)
        names = [each["id"] for each in whole["data"]]
        assert len(names) == whole["page"]["total"] == 20
        forward, after = [], None
        while True:
            page = await ask(database, tenant, "明", limit=3, after=after, **filters)
            forward += [each["id"] for each in page["data"]]
            after = page["page"]["next"]
            if not page["page"]["has_more"]:
                break
        assert forward == names
        last = page
        backward, before = [each["id"] for each in last["data"]], last["page"]["previous"]
        while before is not None:
            page = await ask(database, tenant, "明", limit=3, before=before, **filters)
            backward = [each["id"] for each in page["data"]] + backward
            before = page["page"]["previous"]
        assert backward == names

    async def test_other_filters_do_not_cut_the_matches_short(self, database, tenant):
        for number in range(8):
            await create(database, tenant, f"明{number}", tags=["vip"] if number == 0 else [])
        assert await found(database, tenant, "明", limit=2, tag="vip") == ["明0"]


OLD_KEYS = """
UPDATE customer_search_keys SET keys_version = 0, name = lower($3), haystack = lower($3) || E'\\n+8613812345678'
WHERE tenant_id = $1 AND customer_id = $2
"""


@pytest.mark.asyncio
@pytest.mark.database
class TestUpgrade:
    """Keys that 0.1 wrote."""

    async def _old(self, settings, tenant, customer_id, name):
        owner = await asyncpg.connect(settings.database_url)
        await owner.execute(OLD_KEYS, tenant.id, customer_id, name)
        await owner.close()

    async def test_are_found_as_before_and_made_anew_by_the_way(self, database, tenant, settings):
        chinese = await create(database, tenant, contact_points=[MOBILE])
        latin = await create(database, tenant, "Anna Smith")
        await self._old(settings, tenant, chinese, "王小明")
        await self._old(settings, tenant, latin, "Anna Smith")
        for q in ("王", "小明", "王小明", "5678", "+8613812345678"):
            assert "王小明" in await found(database, tenant, q), q
        for q in ("nn", "anna smith", "smit"):
            assert await found(database, tenant, q) == ["Anna Smith"], q
        assert await found(database, tenant, "wxm") == []
        await jobs.rekey(database)
        assert await found(database, tenant, "wxm") == ["王小明"]
        assert await found(database, tenant, "138") == ["王小明"]

    async def test_a_chunk_leaves_the_rest_to_the_next(self, database, tenant, settings):
        for number in range(3):
            await self._old(settings, tenant, await create(database, tenant, f"王{number}"), f"王{number}")

        async def step(unit):
            return await CustomerService(unit).rekey(2)

        assert [await database.run(tenant.actor, step) for _ in range(3)] == [(2, 1), (1, 0), (0, 0)]


FILL = """
WITH made AS (
  INSERT INTO customers (tenant_id, id, name)
  SELECT $1, ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, '客户' || n
  FROM generate_series(1, 20000) AS n RETURNING id, name
)
INSERT INTO customer_search_keys (tenant_id, customer_id, name, haystack, keys_version)
SELECT $1, id, '', ' ǀ' || name || 'ǁ ǂ户 ǀ138' || lpad(substr(name, 3), 8, '0') || 'ǁ', 1 FROM made
"""


READ = """
SELECT seq_scan, coalesce(idx_tup_fetch, 0) + seq_tup_read AS rows FROM pg_stat_xact_user_tables
WHERE relname = 'customer_search_keys'
"""


@pytest.mark.asyncio
@pytest.mark.database
@pytest.mark.parametrize("q", ["138 0001 9999", "户1234", "客户1"])
async def test_an_index_does_the_search(tenant, settings, q):
    """The newest 2,000 are looked through; beyond them only what the trigram index names is read."""
    owner = await asyncpg.connect(settings.database_url)
    await owner.execute(FILL, tenant.id)
    await owner.execute("ANALYZE customer_search_keys")
    version = owner.get_server_version().major
    await owner.close()
    if version < 18:
        pytest.skip("PostgreSQL 15 walks the keys of so small a shop: what it does with 300,000 is not measured")
    connection = await asyncpg.connect(settings.database_url, server_settings={"role": "crm_app", "jit": "off"})
    try:
        await connection.execute(f"SET app.tenant = '{tenant.id}'")
        bound = rest_list(CUSTOMER, frozenset({"admin"}), PageRequest(), filters={"q": q}, fields=("name",))
        values = bound.plan.bind(tenant.id, bound.variables)
        for _ in range(6):  # what follows may go by a generic plan
            await connection.fetchrow(bound.plan.sql, *values)
        before = await connection.fetchrow(READ)  # what this session has done and not yet reported
        (body,) = await connection.fetchrow(bound.plan.sql, *values)
        after = await connection.fetchrow(READ)
        assert orjson.loads(body)["data"]
        assert after["seq_scan"] == before["seq_scan"]
        assert after["rows"] - before["rows"] < 4 * 2_000 + 500  # four levels; a walk through all would be 80,000
    finally:
        await connection.close()


@pytest.mark.asyncio
@pytest.mark.database
async def test_a_contact_is_found_by_the_company(client, database, tenant):
    company = (await client.post("/v1/customers", json={"kind": "company", "name": "浦东幼儿园"})).json()
    person = (await client.post("/v1/customers", json={"name": "王小明"})).json()
    path = f"/v1/customers/{company['id']}/contacts"
    contact = await client.post(path, json={"customer_id": person["id"]})
    assert contact.status_code == 201, contact.text
    assert await found(database, tenant, "pdyey") == ["王小明", "浦东幼儿园"]
    await client.patch(f"/v1/customers/{company['id']}", json={"name": "静安小学"})
    message = Message(new_id(), tenant.id, "customer.updated", UUID(company["id"]), {}, None)
    await database.run(tenant.actor, lambda unit: company_jobs.rename(unit, [message]))
    assert await found(database, tenant, "幼儿园") == []
    assert await found(database, tenant, "静安") == ["王小明", "静安小学"]
