"""Read plans of REST: resources and lists, each one statement."""

import re
from collections import Counter
from datetime import datetime, timedelta, timezone

import asyncpg
import orjson
import pytest
import pytest_asyncio
from sqlalchemy import and_, exists, or_, select

from crm_api.core.clock import FixedClock
from crm_api.core.errors import Forbidden, Invalid
from crm_api.core.paging import PageRequest
from crm_api.db.plans import NOW_KEY, read_list, read_one, rest_get, rest_list
from crm_api.db.pool import _prepare
from crm_api.db.projections import TENANT, column, extend, projection, wire_model
from tests.support import zoo

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


@pytest.fixture(scope="module", autouse=True)
def _declared():
    with zoo.declared():
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(database_server):
    with database_server.database() as url:
        await zoo.build(url)
        yield url


@pytest_asyncio.fixture
async def connection(url):
    connection = await asyncpg.connect(url)
    await _prepare(connection)
    yield connection
    await connection.close()


@pytest.fixture
def unit(connection):
    return unit_of(connection)


def unit_of(connection, **options):
    return zoo.CountingUnit(connection, zoo.actor(*options.pop("scopes", ()), **options), FixedClock(zoo.START), [])


async def listed(unit, page=None, name="Keeper", **options):
    return orjson.loads(await read_list(unit, projection(name), page or PageRequest(), **options))


class TestResource:
    async def test_all_fields_of_the_model_in_its_order(self, unit):
        found = await read_one(unit, projection("Keeper"), zoo.uid(1, 7))

        assert orjson.loads(found.json) == {
            "id": str(zoo.uid(1, 7)),
            "name": "k07",
            "status": "on-duty",
            "salary": {"amount": 7 * 10**9, "currency": "CNY"},
            "hired_on": "2020-01-04",
            "rating": 2,
            "boss_id": str(zoo.uid(1, 3)),
            "secret": "s7",
            "phone": "13800000007",
            "skills": ["feed"],
            "moods": ["good", "very-bad"],
            "extras": {"n": 7, "deep": {"a": [1, None]}},
            "badges": [
                {"number": 1, "kind": "pure-gold", "price": {"amount": 3 * 10**9, "currency": "CNY"}},
                {"number": 2, "kind": "silver", "price": {"amount": 2, "currency": "JPY"}},
            ],
            "rank": {"number": 2, "kind": "pure-gold", "price": {"amount": 5, "currency": "CNY"}},
            "moods_now": ["good", "very-bad"],
            "years": 6,
            "version": 7,
            "address": {"city": "k07", "door": 2},
        }
        assert list(orjson.loads(found.json)) == list(wire_model("Keeper").model_fields)
        wire_model("Keeper").model_validate_json(found.json)
        assert found.version == 7

    async def test_a_small_object_is_null_when_its_first_part_is(self, unit):
        found = await read_one(unit, projection("Keeper"), zoo.uid(1, 3), fields=("salary",))

        assert found.json == b'{"salary":null}'

    async def test_a_plain_list_comes_whole_and_in_its_own_order(self, unit):
        found = await read_one(unit, projection("Animal"), zoo.uid(2, 5), fields=("meals", "name"))

        assert list(orjson.loads(found.json)) == ["name", "meals"]
        assert [meal["food"] for meal in orjson.loads(found.json)["meals"]] == ["f0", "f1", "f2"]

    async def test_a_resource_without_a_version_has_none(self, unit):
        assert (await read_one(unit, projection("Animal"), zoo.uid(2, 5))).version is None

    @pytest.mark.parametrize("number", [50, 999])
    async def test_hidden_and_missing_rows_are_not_there(self, unit, number):
        assert await read_one(unit, projection("Keeper"), zoo.uid(1, number)) is None

    async def test_another_tenants_row_is_not_there(self, connection):
        theirs = unit_of(connection, tenant=zoo.TENANT_B)

        assert await read_one(theirs, projection("Keeper"), zoo.uid(1, 7)) is None
        assert orjson.loads((await read_one(theirs, projection("Keeper"), zoo.uid(1, 1))).json)["name"] == "theirs"

    async def test_one_statement(self, unit):
        await read_one(unit, projection("Animal"), zoo.uid(2, 5))

        assert len(unit._plans) == 1

    async def test_only_known_fields_can_be_named(self, unit):
        with pytest.raises(Invalid) as raised:
            await read_one(unit, projection("Keeper"), zoo.uid(1, 7), fields=("name", "shoe_size"))
        assert raised.value.errors[0].pointer == "/fields"

    async def test_relations_are_not_fields_of_rest(self, unit):
        with pytest.raises(Invalid):
            await read_one(unit, projection("Keeper"), zoo.uid(1, 7), fields=("animals",))


class TestRights:
    async def test_without_the_projections_scope_nothing(self, connection):
        with pytest.raises(Forbidden):
            await read_one(unit_of(connection, scopes=("other:read",)), projection("Keeper"), zoo.uid(1, 7))

    async def test_a_field_with_its_own_scope_is_left_out(self, connection):
        found = await read_one(unit_of(connection, scopes=("zoo:read",)), projection("Keeper"), zoo.uid(1, 7))

        assert "secret" not in orjson.loads(found.json)

    async def test_naming_such_a_field_is_refused(self, connection):
        with pytest.raises(Forbidden):
            await read_one(
                unit_of(connection, scopes=("zoo:read",)), projection("Keeper"), zoo.uid(1, 7), fields=("secret",)
            )

    @pytest.mark.parametrize(
        ("scopes", "phone"),
        [(("zoo:read",), "138****"), (("zoo:read", "zoo:reveal"), "13800000007"), (("admin",), "13800000007")],
    )
    async def test_a_masked_field_shows_its_mask_without_the_right(self, connection, scopes, phone):
        found = await read_one(unit_of(connection, scopes=scopes), projection("Keeper"), zoo.uid(1, 7), ("phone",))

        assert orjson.loads(found.json) == {"phone": phone}


def expected_order(order):
    """Sort keepers as an order says, by hand; ties end in the id, in the direction of the key before it."""
    rows = sorted(zoo.KEEPERS, key=lambda row: row["id"])
    keys = {
        "newest": [(lambda row: row["id"], True)],
        "name": [(lambda row: row["name"], False)],
        "best": [(lambda row: (row["rating"] is not None, row["rating"] or 0), True), (lambda row: row["id"], True)],
        "worst": [
            (lambda row: (row["rating"] is not None, row["rating"] or 0), False),
            (lambda row: row["hired_on"], True),
            (lambda row: row["id"], True),
        ],
        "best_first_hired": [
            (lambda row: (row["rating"] is None, row["rating"] or 0), True),
            (lambda row: row["hired_on"], False),
        ],
        "mixed": [(lambda row: row["hired_on"], True), (lambda row: row["name"], False)],
    }
    for key, descending in reversed(keys[order]):
        rows.sort(key=key, reverse=descending)
    return rows


ORDERS = ["newest", "name", "best", "worst", "best_first_hired", "mixed"]


class TestPages:
    @pytest.mark.parametrize("limit", [1, 4, 22, 23, 50])
    @pytest.mark.parametrize("order", ORDERS)
    async def test_forward_and_back_again_shows_every_row_once_in_order(self, unit, order, limit):
        expected = [str(row["id"]) for row in expected_order(order)]
        seen, cursor, page = [], None, {}
        while cursor or not page:
            answer = await listed(unit, PageRequest(limit, after=cursor), order=order, fields=("id",))
            page = answer["page"]
            seen += [row["id"] for row in answer["data"]]
            assert page["has_more"] is (page["next"] is not None)
            assert (page["previous"] is None) is (cursor is None)
            cursor = page["next"]
        assert seen == expected

        back, cursor = [row["id"] for row in answer["data"]], page["previous"]
        while cursor:
            answer = await listed(unit, PageRequest(limit, before=cursor), order=order, fields=("id",))
            page = answer["page"]
            assert page["has_more"] is (page["previous"] is not None)
            assert page["next"] is not None
            back = [row["id"] for row in answer["data"]] + back
            cursor = page["previous"]
        assert back == expected

    async def test_numbers_with_fractions_and_ties_page_too(self, unit):
        seen, cursor = [], None
        for _ in range(20):
            answer = await listed(
                unit, PageRequest(3, after=cursor), "Animal", order="heaviest", fields=("id", "weight")
            )
            seen += answer["data"]
            cursor = answer["page"]["next"]
            if cursor is None:
                break
        weights = [row["weight"] for row in seen]
        assert len({row["id"] for row in seen}) == len(seen) == 40
        assert weights == sorted([w for w in weights if w is not None], reverse=True) + [None] * 14

    async def test_a_row_inserted_meanwhile_neither_repeats_nor_skips_others(self, unit, connection):
        first = await listed(unit, PageRequest(5), order="name", fields=("name",))
        transaction = connection.transaction()
        await transaction.start()
        try:
            for number, name in enumerate(("a-before", "k05x", "k06x"), start=800):
                row = zoo.keeper_row(number, name=name)
                await unit.execute(zoo.keepers.insert().values(**row))
            second = await listed(unit, PageRequest(3, after=first["page"]["next"]), order="name", fields=("name",))
        finally:
            await transaction.rollback()

        assert [row["name"] for row in second["data"]] == ["k05x", "k06", "k06x"]

    async def test_an_empty_list(self, unit):
        answer = await listed(unit, PageRequest(5, count=True), filters={"names": ["nobody"]})

        assert answer == {"data": [], "page": {"next": None, "previous": None, "has_more": False, "total": 0}}

    async def test_the_total_counts_all_pages(self, unit):
        first = await listed(unit, PageRequest(5, count=True), filters={"status": "away"})
        second = await listed(unit, PageRequest(5, after=first["page"]["next"], count=True), filters={"status": "away"})

        assert first["page"]["total"] == second["page"]["total"] == 11

    async def test_python_fields_work_inside_pages(self, unit):
        answer = await listed(unit, PageRequest(2), fields=("years", "name"))

        assert answer["data"] == [{"name": "k23", "years": 6}, {"name": "k22", "years": 6}]

    async def test_one_statement_with_everything(self, unit):
        await listed(unit, PageRequest(3, count=True), filters={"status": "away", "q": "k1"}, order="best")

        assert len(unit._plans) == 1

    async def test_both_cursors_at_once_are_refused(self, unit):
        cursor = (await listed(unit, PageRequest(2)))["page"]["next"]

        with pytest.raises(Invalid):
            await listed(unit, PageRequest(2, after=cursor, before=cursor))

    async def test_an_unknown_order_is_refused(self, unit):
        with pytest.raises(Invalid):
            await listed(unit, order="shoe_size")


class TestFilters:
    @pytest.mark.parametrize(
        ("filters", "names"),
        [
            ({"names": ["k03", "k01", "nobody"]}, ["k03", "k01"]),
            ({"boss_id": zoo.uid(1, 11)}, ["k23", "k22"]),
            ({"q": "k7"}, []),
            ({"q": "K07"}, ["k07"]),
            ({"status": "away", "q": "k2"}, []),
            ({"status": None, "q": None, "names": ["k09"]}, ["k09"]),
        ],
    )
    async def test_filters(self, unit, filters, names):
        answer = await listed(unit, filters=filters, fields=("name",))

        assert [row["name"] for row in answer["data"]] == names

    async def test_values_of_one_kind_share_a_plan_and_kinds_do_not(self):
        def plan(**filters):
            return rest_list(projection("Keeper"), zoo.ALL, PageRequest(5), filters=filters).plan

        assert plan(q="long one") is plan(q="another")
        assert plan(q="ab") is plan(q="cd")
        assert plan(q="ab") is not plan(q="abc")
        assert plan(status="away") is plan(status="on-duty")
        assert "away" not in plan(status="away").sql

    async def test_a_filter_nobody_declared_is_a_mistake_of_ours(self, unit):
        with pytest.raises(LookupError):
            await listed(unit, filters={"shoe_size": 43})


class TestOwnPredicates:
    def where(self, rating, food):
        def build(t):
            a, m = zoo.animals, zoo.meals
            fed = select(m.c.id).where(m.c.tenant_id == TENANT, m.c.animal_id == a.c.id, m.c.food == food)
            return and_(
                or_(t.c.rating >= rating, t.c.rating.is_(None)),
                exists().where(a.c.tenant_id == TENANT, a.c.keeper_id == t.c.id, exists(fed)),
            )

        return build

    async def test_a_predicate_with_nested_sub_selects(self, unit):
        answer = await listed(unit, where=self.where(2, "f1"), fields=("name",), page=PageRequest(count=True))

        assert [row["name"] for row in answer["data"]] == ["k04", "k03", "k02"]
        assert answer["page"]["total"] == 3

    async def test_the_same_shape_shares_a_plan_with_its_own_values(self, unit):
        def bound(*values):
            return rest_list(projection("Keeper"), zoo.ALL, PageRequest(5), where=self.where(*values))

        assert bound(2, "f1").plan is bound(4, "f0").plan
        assert [row["name"] for row in (await listed(unit, where=self.where(4, "f1"), fields=("name",)))["data"]] == [
            "k04"
        ]
        assert (await listed(unit, where=self.where(4, "nothing"), fields=("name",)))["data"] == []

    async def test_a_limit_inside_stays_a_value(self, unit):
        def where(count):
            first = select(zoo.keepers.c.id).where(zoo.keepers.c.tenant_id == TENANT).order_by(zoo.keepers.c.id)
            return lambda t: t.c.id.in_(first.limit(count))

        assert len((await listed(unit, where=where(3)))["data"]) == 3
        assert len((await listed(unit, where=where(5)))["data"]) == 5


class TestValues:
    @pytest.mark.parametrize("rating", [2**31, -(2**31) - 1, 10**30])
    async def test_a_number_that_cannot_be_stored_is_the_callers_error(self, unit, rating):
        with pytest.raises(Invalid):
            await listed(unit, where=lambda t: t.c.rating > rating)

    async def test_a_time_that_cannot_be_stored_is_too(self, unit):
        beyond = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
        with pytest.raises(Invalid):
            await listed(unit, name="Animal", filters={"born_after": beyond})

    async def test_a_time_in_another_zone(self, unit):
        local = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=8)))

        assert len((await listed(unit, name="Animal", filters={"born_after": local}))["data"]) == 12


class TestPlans:
    async def test_every_table_in_a_statement_is_bound_to_the_tenant(self):
        seen = [
            rest_get(projection("Keeper"), zoo.ALL),
            rest_get(projection("Animal"), zoo.ALL),
            rest_list(projection("Animal"), zoo.ALL, PageRequest(5, count=True), filters={"name": "x"}).plan,
        ]
        for plan in seen:
            aliases = Counter(re.findall(r"FROM (?:keepers|animals|meals) AS (\w+)", plan.sql))
            for alias, times in aliases.items():
                assert plan.sql.count(f"{alias}.tenant_id = $") >= times
            assert aliases

    async def test_values_never_reach_the_text(self):
        bound = rest_list(projection("Keeper"), zoo.ALL, PageRequest(7), filters={"q": "'; drop table keepers"})

        assert "drop table" not in bound.plan.sql
        assert "LIMIT 8" in bound.plan.sql

    async def test_plans_are_made_once(self):
        of = projection("Keeper")

        assert rest_get(of, zoo.ALL, ("name",)) is rest_get(of, frozenset(zoo.ALL), ("name",))
        assert rest_get(of, zoo.ALL, ("name",)) is not rest_get(of, frozenset({"zoo:read"}), ("name",))

    async def test_extending_a_projection_forgets_its_plans(self):
        of = projection("Keeper")
        before = rest_get(of, zoo.ALL)
        try:
            extend(of, fields={"nick": column("name")}, model_fields={"nick": (str, ...)})

            assert rest_get(of, zoo.ALL) is not before
            assert "nick" in wire_model("Keeper").model_fields
        finally:
            of.fields.pop("nick")
            of.model_fields.pop("nick")
            extend(of)

    async def test_only_what_the_statement_needs_is_bound(self):
        plan = rest_get(projection("Keeper"), zoo.ALL)

        assert plan.bind(zoo.TENANT_A, {"id": zoo.uid(1, 1), NOW_KEY: zoo.START}).count(zoo.TENANT_A) == 1
