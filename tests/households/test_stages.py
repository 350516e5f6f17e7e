"""Stages are made in SQL from today in the tenant's zone: edges, zones, leap days, and Python's word against SQL's."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from crm_api.core.paging import PageRequest
from crm_api.db.plans import read_list
from crm_api.households.models import HouseholdCreate
from crm_api.households.repository import HOUSEHOLD_MEMBER
from crm_api.households.service import HouseholdService
from tests.households.home import age, day, home, stage

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.database]

EDGES = [
    # born, today, whole months, stage
    ("2026-05-22", "2026-11-21", 5, "0-6m"),
    ("2026-05-22", "2026-11-22", 6, "6-12m"),
    ("2026-05-22", "2027-05-21", 11, "6-12m"),
    ("2026-05-22", "2027-05-22", 12, "1-3y"),
    ("2026-05-22", "2029-05-21", 35, "1-3y"),
    ("2026-05-22", "2029-05-22", 36, "3-6y"),
    ("2026-05-22", "2032-05-22", 72, "6y+"),
    ("2026-11-22", "2026-11-22", 0, "0-6m"),
    # The 31st: six months later is the last day of February, leap year or not.
    ("2026-08-31", "2027-02-27", 5, "0-6m"),
    ("2026-08-31", "2027-02-28", 6, "6-12m"),
    ("2027-08-31", "2028-02-28", 5, "0-6m"),
    ("2027-08-31", "2028-02-29", 6, "6-12m"),
    ("2026-03-31", "2026-09-29", 5, "0-6m"),
    ("2026-03-31", "2026-09-30", 6, "6-12m"),
    # Who is born on 29 February is a year old on 28 February, and four on the 29th.
    ("2024-02-29", "2025-02-27", 11, "6-12m"),
    ("2024-02-29", "2025-02-28", 12, "1-3y"),
    ("2024-02-29", "2028-02-28", 47, "3-6y"),
    ("2024-02-29", "2028-02-29", 48, "3-6y"),
]


def noon_of(text):
    return datetime.fromisoformat(f"{text}T12:00:00+08:00").astimezone(UTC)


class TestEdges:
    async def test_each_to_the_day(self, here):
        # The clock goes back before each birth and forward again: nothing is stored but the days themselves.
        for born, today, months, expected in EDGES:
            here.clock.instant = noon_of(today)
            _, family = await here.family({"birthday": day(born)})
            child = family["members"][1]
            assert (child["age_months"], child["stage"], child["born_on"]) == (months, expected, born), (born, today)
            assert (age(date.fromisoformat(born), date.fromisoformat(today))) == months

    async def test_a_stage_moves_with_the_clock_alone(self, house, here):
        mother, family = await here.family({"birthday": day("2026-05-22")})
        child = f"/v1/household-members/{family['members'][1]['id']}"
        assert (await here.get(child))["stage"] == "6-12m"
        here.clock.instant = noon_of("2026-11-21")
        assert (await here.get(child))["stage"] == "0-6m"
        assert await here.child_stages(mother) == ["0-6m"]
        assert (await here.get("/v1/customers?child_stage=0-6m"))["data"][0]["id"] == mother
        assert (await here.get("/v1/household-members?stage=0-6m"))["data"][0]["stage"] == "0-6m"
        assert (await here.get("/v1/household-members?stage=6-12m"))["data"] == []
        query = "{ customers { nodes { childStages children { nodes { stage ageMonths } } } } }"
        (shown,) = (await here.ask(query))["customers"]["nodes"]
        assert shown == {"childStages": ["0-6m"], "children": {"nodes": [{"stage": "0-6m", "ageMonths": 5}]}}


class TestFilters:
    async def test_a_stage_the_shop_does_not_have_is_refused(self, here):
        known = "pregnant, 0-6m, 6-12m, 1-3y, 3-6y, 6y+, overdue"
        wanted = ("unknown_stage", f"There is no stage '6-9m': choose from {known}")
        for path, name in (("/v1/customers", "child_stage"), ("/v1/household-members", "stage")):
            (error,) = (await here.get(f"{path}?{name}=6-9m", 422))["errors"]
            assert (error["pointer"], error["code"], error["message"]) == (f"/query/{name}", *wanted)
            assert (await here.get(f"{path}?{name}=overdue"))["data"] == []
        export = {"resource": "customers", "format": "ndjson", "filters": {"child_stage": "6-9m"}}
        assert (await here.post("/v1/exports", export, 422))["errors"][0]["code"] == "unknown_stage"
        query = {"query": '{ customers(childStage: "6-9m") { nodes { name } } }'}
        (error,) = (await here.post("/graphql", query, 200))["errors"]
        assert error["extensions"]["errors"][0]["code"] == "unknown_stage"


class TestZones:
    @pytest.mark.parametrize(
        ("zone", "instant", "expected"),
        [
            ("Asia/Shanghai", "2026-11-21T15:59:59Z", "0-6m"),
            ("Asia/Shanghai", "2026-11-21T16:00:00Z", "6-12m"),
            ("America/New_York", "2026-11-22T04:59:59Z", "0-6m"),
            ("America/New_York", "2026-11-22T05:00:00Z", "6-12m"),
            ("Pacific/Kiritimati", "2026-11-21T10:00:00Z", "6-12m"),
            ("Pacific/Kiritimati", "2026-11-21T09:59:59Z", "0-6m"),
        ],
    )
    async def test_the_day_begins_at_the_tenants_midnight(self, house, zone, instant, expected):
        async with home(house, datetime.fromisoformat(instant), zone=zone) as here:
            _, family = await here.family({"birthday": day("2026-05-22")})
            assert family["members"][1]["stage"] == expected

    async def test_nobody_is_born_tomorrow_where_the_shop_is(self, house):
        eve = datetime(2026, 11, 22, 4, 30, tzinfo=UTC)  # the 21st in New York, the 22nd in Shanghai
        for zone, status in (("America/New_York", 422), ("Asia/Shanghai", 201)):
            async with home(house, eve, zone=zone) as here:
                mother = await here.customer()
                body = {
                    "name": "一家",
                    "members": [
                        {"customer_id": mother, "relation": "mother"},
                        {"relation": "child", "birthday": day("2026-11-22")},
                    ],
                }
                answer = await here.post("/v1/households", body, status)
                if status == 422:
                    assert [(e["pointer"], e["code"]) for e in answer["errors"]] == [
                        ("/members/1/birthday", "birthday_in_future")
                    ]


class TestUnborn:
    @pytest.mark.parametrize(
        ("due", "expected"),
        [
            ("2027-06-01", "pregnant"),
            ("2026-11-22", "pregnant"),
            ("2026-11-08", "pregnant"),
            ("2026-11-07", "overdue"),
            ("2020-01-01", "overdue"),
        ],
    )
    async def test_a_due_date_says_nothing_of_a_birth(self, here, due, expected):
        _, family = await here.family({"due_date": due})
        child = family["members"][1]
        assert (child["stage"], child["age_months"], child["born_on"]) == (expected, None, None)


class TestLunar:
    async def test_a_lunar_birth_is_a_solar_day(self, here):
        leap = {"calendar": "lunar", "year": 2025, "month": 6, "day": 1, "leap_month": True}
        _, family = await here.family({"birthday": leap})
        child = family["members"][1]
        assert child["birthday"] == leap
        assert (child["born_on"], child["age_months"], child["stage"]) == ("2025-07-25", 15, "1-3y")

    @pytest.mark.parametrize(
        ("wrong", "code"),
        [
            ({"year": 2026, "month": 6, "day": 1, "leap_month": True}, "no_leap_month"),
            ({"year": 2024, "month": 1, "day": 30}, "no_such_day"),
            ({"year": 1899, "month": 1, "day": 1}, "no_such_lunar_day"),
        ],
    )
    async def test_a_day_that_never_was(self, house, here, wrong, code):
        mother = await here.customer()
        body = {"relation": "child", "birthday": {"calendar": "lunar", **wrong}}
        _, family = await here.family(mother=mother)
        answer = await here.post(f"/v1/households/{family['id']}/members", body, 422)
        assert [(e["pointer"], e["code"]) for e in answer["errors"]] == [("/birthday", code)]

    async def test_without_a_year_there_is_no_age(self, here):
        mother, family = await here.family({"birthday": {"month": 2, "day": 29}})
        child = family["members"][1]
        assert (child["born_on"], child["age_months"], child["stage"]) == (None, None, None)
        assert child["birthday"]["year"] is None
        assert await here.child_stages(mother) == []


births = st.dates(date(2018, 1, 1), date(2026, 10, 30))
dues = st.dates(date(2026, 8, 1), date(2027, 7, 1))
children = st.lists(st.one_of(st.tuples(births, st.none()), st.tuples(st.none(), dues)), min_size=1, max_size=12)
instants = st.datetimes(datetime(2026, 11, 1), datetime(2032, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
ZONES = ("Asia/Shanghai", "America/New_York", "Pacific/Apia")


class TestAgainstPython:
    @hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(children, instants, st.sampled_from(ZONES))
    async def test_sql_and_python_agree(self, house, here, given_children, instant, zone):
        """Read every child through the list's own plan and reckon its stage anew."""
        here.clock.instant = datetime(2026, 11, 1, tzinfo=UTC)
        members = [
            {"relation": "child", **({"birthday": day(born.isoformat())} if born else {"due_date": due.isoformat()})}
            for born, due in given_children
        ]
        body = HouseholdCreate.model_validate({"name": "x", "members": members})

        async def work(unit):
            await unit.connection.execute(
                "UPDATE tenants SET time_zone = $2 WHERE tenant_id = $1", unit.tenant_id, zone
            )
            household_id = await HouseholdService(unit).create(body)
            here.clock.instant = instant
            page = PageRequest(limit=50)
            found = await read_list(
                unit, HOUSEHOLD_MEMBER, page, order="entered", filters={"household_id": household_id}
            )
            here.clock.instant = datetime(2026, 11, 1, tzinfo=UTC)
            return orjson.loads(found)["data"]

        shown = await here.database.run(here.tenant.actor, work)
        today = instant.astimezone(ZoneInfo(zone)).date()
        assert [each["stage"] for each in shown] == [stage(born, due, today) for born, due in given_children]
        assert [each["age_months"] for each in shown] == [
            None if born is None else age(born, today) for born, _ in given_children
        ]

    async def test_every_day_of_two_years(self, here):
        """The function alone, over all pairs of days that matter: 61 births by 730 days."""
        start = date(2023, 12, 1)
        days = [start + timedelta(days=number) for number in range(731)]
        sql = (
            "SELECT array_agg(crm_age_months(b, t) ORDER BY b, t) FROM unnest($1::date[]) AS b, unnest($2::date[]) AS t"
        )
        born = [start + timedelta(days=number) for number in range(61, 122)]
        after = [each for each in days if each >= born[-1]]
        async with here.database.read(here.tenant.actor) as unit:
            found = await unit.connection.fetchval(sql, born, after)
        assert found == [age(b, t) for b in born for t in after]


class TestSettings:
    async def test_own_cut_points(self, house, here):
        assert (await here.get("/v1/household-settings")) == {
            "stages": [
                {"code": code, "from_months": start}
                for code, start in (("0-6m", 0), ("6-12m", 6), ("1-3y", 12), ("3-6y", 36), ("6y+", 72))
            ],
            "overdue_after_days": 14,
        }
        mother, _ = await here.family({"birthday": day("2026-10-22")}, {"due_date": "2026-11-03"})
        stages = [{"code": "newborn", "from_months": 0}, {"code": "1段", "from_months": 1}]
        changed = await here.client.patch("/v1/household-settings", json={"stages": stages, "overdue_after_days": 20})
        assert changed.json() == {"stages": stages, "overdue_after_days": 20}
        assert await here.child_stages(mother) == ["pregnant", "1段"]
        assert [each["id"] for each in (await here.get("/v1/customers?child_stage=1段"))["data"]] == [mother]
        shown = await here.ask("{ householdSettings { overdueAfterDays stages { code fromMonths } } }")
        assert shown["householdSettings"]["stages"][1] == {"code": "1段", "fromMonths": 1}
        await here.client.patch("/v1/household-settings", json={"overdue_after_days": 0})
        assert await here.child_stages(mother) == ["overdue", "1段"]

    @pytest.mark.parametrize(
        ("stages", "pointer", "code"),
        [
            ([("a", 1)], "/stages/0/from_months", "first_stage"),
            ([("a", 0), ("b", 0)], "/stages/1/from_months", "stages_order"),
            ([("a", 0), ("b", 12), ("c", 6)], "/stages/2/from_months", "stages_order"),
            ([("a", 0), ("a", 6)], "/stages/1/code", "stage_code_taken"),
            ([("pregnant", 0)], "/stages/0/code", "stage_code_taken"),
        ],
    )
    async def test_cut_points_that_cut_nothing(self, house, here, stages, pointer, code):
        body = {"stages": [{"code": name, "from_months": start} for name, start in stages]}
        answer = await here.client.patch("/v1/household-settings", json=body)
        assert answer.status_code == 422
        assert (pointer, code) in [(each["pointer"], each["code"]) for each in answer.json()["errors"]]

    async def test_a_baby_store_begins_with_its_own(self, house):
        async with home(house, preset="baby-store") as here:
            async with here.database.read(here.tenant.actor) as unit:
                stored = await unit.connection.fetchval("SELECT stage_codes FROM household_settings")
            assert stored == ["0-6m", "6-12m", "1-3y", "3-6y", "6y+"]


class TestRules:
    async def test_children_in_rules(self, here):
        small, _ = await here.family({"birthday": day("2026-09-01"), "sex": "female"})
        big, _ = await here.family({"birthday": day("2021-09-01")}, {"birthday": day("2026-10-01")})
        expecting, _ = await here.family({"due_date": "2026-12-01"})
        nobody = await here.customer("李雷")

        async def found(rule):
            body = {"rule": rule, "order": "newest"}
            return {each["id"] for each in (await here.post("/v1/customers/search", body, 200))["data"]}

        def child(op, value, name="age_months", **more):
            where = {"field": name, "op": op, "value": value}
            return {"aggregate": "count", "of": "children", "where": where, "op": "gte", "value": 1, **more}

        assert await found(child("lt", 6)) == {small, big}
        assert await found(child("between", [60, 65])) == {big}
        assert await found(child("eq", "pregnant", "stage")) == {expecting}
        assert await found(child("eq", "female", "sex")) == {small}
        assert await found({"aggregate": "max", "of": "children.age_months", "op": "gt", "value": 12}) == {big}
        assert await found({"field": "child_stages", "op": "contains", "value": "0-6m"}) == {small, big}
        assert await found({"field": "child_stages", "op": "contains_all", "value": ["0-6m", "3-6y"]}) == {big}
        assert await found({"not": {"field": "child_stages", "op": "exists"}}) == {nobody}
