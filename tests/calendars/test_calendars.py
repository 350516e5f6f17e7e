"""Calendars over REST and GraphQL: hours, holidays, the default, and what they answer."""

import asyncio
from datetime import date, timedelta

import pytest

from crm_api.calendars.holidays import holidays_of, known_years
from crm_api.calendars.service import CalendarService
from tests.support.api import application, client_of, make_tenant

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

OFFICE = {str(day): [["09:00", "17:00"]] for day in range(1, 6)}
FRIDAY = "2026-11-20T16:30:00+08:00"


async def add(client, **changes):
    body = {"name": "office", "time_zone": "Asia/Shanghai", "weekly": OFFICE, **changes}
    answer = await client.post("/v1/calendars", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def change(client, calendar, *, status=200, **body):
    answer = await client.patch(f"/v1/calendars/{calendar['id']}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def due(client, calendar, start, minutes, **more):
    body = {"start": start, "minutes": minutes, **more}
    answer = await client.post(f"/v1/calendars/{calendar['id']}/due", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["due_at"]


async def default(client):
    (one,) = (await client.get("/v1/calendars?is_default=true")).json()["data"]
    return one


class TestHours:
    async def test_an_hour_from_friday_afternoon_is_due_on_monday(self, client):
        calendar = await add(client)
        assert await due(client, calendar, FRIDAY, 60) == "2026-11-23T01:30:00Z"
        body = {"start": FRIDAY, "end": "2026-11-23T09:30:00+08:00"}
        elapsed = await client.post(f"/v1/calendars/{calendar['id']}/elapsed", json=body)
        assert elapsed.json() == {"minutes": 60, "seconds": 3600}

    async def test_pauses_do_not_count(self, client):
        calendar = await add(client)
        pause = ["2026-11-20T16:45:00+08:00", "2026-11-23T09:15:00+08:00"]
        assert await due(client, calendar, FRIDAY, 60, pauses=[pause]) == "2026-11-23T02:00:00Z"
        later = ["2026-11-23T12:00:00+08:00", None]
        assert await due(client, calendar, FRIDAY, 60, pauses=[pause, later]) == "2026-11-23T02:00:00Z"

    async def test_pauses_are_written_with_the_names_of_the_body_too(self, client):
        calendar = await add(client)
        pause = {"start": "2026-11-20T16:45:00+08:00", "end": "2026-11-23T09:15:00+08:00"}
        for later in ({"start": "2026-11-23T12:00:00+08:00", "end": None}, {"start": "2026-11-23T12:00:00+08:00"}):
            assert await due(client, calendar, FRIDAY, 60, pauses=[pause, later]) == "2026-11-23T02:00:00Z"
        body = {"start": FRIDAY, "end": "2026-11-23T10:00:00+08:00", "pauses": [pause]}
        elapsed = await client.post(f"/v1/calendars/{calendar['id']}/elapsed", json=body)
        assert elapsed.json() == {"minutes": 60, "seconds": 3600}

    async def test_hours_are_kept_in_order_and_the_zone_is_the_tenants(self, client):
        split = {"1": [["22:00", "06:00"], ["13:30", "18:00"], ["09:00", "12:00"]]}
        body = {"name": "split", "weekly": split}
        calendar = (await client.post("/v1/calendars", json=body)).json()
        assert calendar["time_zone"] == "Asia/Shanghai"
        assert calendar["weekly"] == {"1": [["09:00", "12:00"], ["13:30", "18:00"], ["22:00", "06:00"]]}
        assert await due(client, calendar, "2026-11-23T00:00:00+08:00", 600) == "2026-11-23T16:30:00Z"

    async def test_exceptions_go_both_ways_and_by_date(self, client):
        days = [
            {"date": "2026-11-28", "intervals": [["09:00", "12:00"]], "name": "盘点"},
            {"date": "2026-11-23", "intervals": []},
        ]
        calendar = await add(client, exceptions=days)
        assert calendar["exceptions"] == [
            {"date": "2026-11-23", "intervals": [], "name": None, "source": "manual"},
            {"date": "2026-11-28", "intervals": [["09:00", "12:00"]], "name": "盘点", "source": "manual"},
        ]
        assert await due(client, calendar, FRIDAY, 60) == "2026-11-24T01:30:00Z"
        assert await due(client, calendar, "2026-11-27T16:30:00+08:00", 60) == "2026-11-28T01:30:00Z"

    async def test_a_change_takes_the_version_and_what_is_named(self, client):
        calendar = await add(client)
        path = f"/v1/calendars/{calendar['id']}"
        late = {"weekly": {"1": [["10:00", "12:00"]]}}
        assert (await client.patch(path, json=late, headers={"if-match": '"1"'})).json()["version"] == 2
        assert (await client.patch(path, json=late, headers={"if-match": '"1"'})).status_code == 412
        assert (await change(client, calendar, **late))["version"] == 2, "nothing differs"
        assert await due(client, calendar, FRIDAY, 60) == "2026-11-23T03:00:00Z"


class TestHolidays:
    async def test_china_in_2026_is_as_the_state_council_announced(self):
        days = {each.day: each.working for each in holidays_of({2026}, "zh")}
        # 国办发明电 (2025) 7: first and last day of each holiday, and the Saturdays and Sundays worked for them.
        off = [("01-01", "01-03"), ("02-15", "02-23"), ("04-04", "04-06"), ("05-01", "05-05"), ("06-19", "06-21")]
        off += [("09-25", "09-27"), ("10-01", "10-07")]
        on = ["01-04", "02-14", "02-28", "05-09", "09-20", "10-10"]
        announced = {date.fromisoformat(f"2026-{day}"): True for day in on}
        for first, last in off:
            day = date.fromisoformat(f"2026-{first}")
            while day <= date.fromisoformat(f"2026-{last}"):
                announced[day] = False
                day += timedelta(days=1)
        assert days == announced
        assert 2026 in known_years()

    async def test_they_are_loaded_and_make_up_days_get_hours(self, client):
        calendar = await add(client, holidays={"country": "CN", "years": [2026]})
        assert len(calendar["exceptions"]) == 39
        names = {each["date"]: (each["name"], each["intervals"], each["source"]) for each in calendar["exceptions"]}
        assert names["2026-10-01"] == ("国庆节", [], "holidays")
        assert names["2026-10-10"] == ("国庆节调休上班", [["09:00", "17:00"]], "holidays")
        assert await due(client, calendar, "2026-09-30T16:30:00+08:00", 60) == "2026-10-08T01:30:00Z"
        assert await due(client, calendar, "2026-10-09T16:30:00+08:00", 60) == "2026-10-10T01:30:00Z"

    async def test_loading_again_replaces_what_was_loaded_and_keeps_what_was_entered(self, client):
        mine = {"date": "2026-10-01", "intervals": [["10:00", "12:00"]], "name": "值班", "source": "manual"}
        stale = {"date": "2026-07-01", "intervals": [], "name": "x", "source": "holidays"}
        calendar = await add(client, exceptions=[mine, stale])
        path = f"/v1/calendars/{calendar['id']}/holidays"
        answer = await client.post(path, json={"country": "CN", "years": [2026]})
        assert (answer.status_code, answer.json()["version"]) == (200, 2)
        days = {each["date"]: each for each in answer.json()["exceptions"]}
        assert days["2026-10-01"] == mine
        assert "2026-07-01" not in days
        again = await client.post(path, json={"country": "CN", "years": [2026]})
        assert again.json()["version"] == 2, "nothing differs"

    async def test_a_shop_that_works_at_weekends_needs_no_make_up_hours(self, client):
        weekly = {str(day): [["10:00", "21:00"]] for day in range(1, 8)}
        calendar = await add(client, weekly=weekly, holidays={"country": "CN", "years": [2026]})
        assert {str(each["intervals"]) for each in calendar["exceptions"]} == {"[]"}


class TestDefault:
    async def test_a_new_shop_has_calendars(self, client):
        found = (await client.get("/v1/calendars?order=name")).json()["data"]
        assert {each["name"]: each["is_default"] for each in found} == {"办公时间": True, "全天候": False}
        office = await default(client)
        assert office["weekly"]["5"] == [["09:00", "12:00"], ["13:30", "18:00"]]

    async def test_presets_bring_the_shops_hours(self, settings):
        tenant = await make_tenant(settings, "salon")
        async with application(settings) as app, client_of(app, tenant.key) as client:
            found = (await client.get("/v1/calendars")).json()["data"]
        salon = next(each for each in found if each["name"] == "门店营业时间")
        assert salon["weekly"] == {str(day): [["10:00", "21:00"]] for day in range(1, 8)}

    async def test_another_becomes_it(self, client):
        former, calendar = await default(client), await add(client)
        assert (await change(client, calendar, is_default=True))["is_default"]
        assert (await default(client))["id"] == calendar["id"]
        log = (await client.get("/v1/audit-log", params={"subject_id": former["id"]})).json()["data"]
        assert log[0]["after"] == {"is_default": False}
        assert (await change(client, calendar, archived=True, status=409))["code"] == "default_calendar"
        await change(client, former, archived=True)
        assert (await change(client, former, is_default=True, status=409))["code"] == "calendar_archived"
        assert await due(client, former, FRIDAY, 60), "what uses an archived one goes on"

    async def test_of_many_at_once_one_is_it(self, client):
        made = [await add(client, name=f"c{index}") for index in range(4)]
        paths = [f"/v1/calendars/{each['id']}" for each in made]
        answers = await asyncio.gather(*(client.patch(path, json={"is_default": True}) for path in paths))
        assert [each.status_code for each in answers] == [200] * 4
        assert (await default(client))["id"] in {each["id"] for each in made}

    async def test_other_domains_ask_for_the_engine(self, database, tenant):
        async with database.read(tenant.actor) as unit:
            hours = await CalendarService(unit).hours()
        assert hours.is_working_day(date(2026, 10, 10))
        assert not hours.is_working_day(date(2026, 10, 1))


async def test_graphql_asks_and_changes_the_same(client):
    async def ask(query, **variables):
        answer = (await client.post("/graphql", json={"query": query, "variables": variables})).json()
        assert "errors" not in answer, answer
        return answer["data"]

    made = await ask(
        "mutation($input: CalendarCreateInput!) { calendarCreate(input: $input)"
        " { calendar { id weekly exceptions { date intervals source } } userErrors { code } } }",
        input={"name": "office", "weekly": OFFICE, "holidays": {"country": "CN", "years": [2026]}},
    )
    calendar = made["calendarCreate"]["calendar"]
    assert calendar["weekly"] == OFFICE
    assert calendar["exceptions"][0] == {"date": "2026-01-01", "intervals": [], "source": "HOLIDAYS"}
    found = await ask(
        "query($due: CalendarDueInput!, $elapsed: CalendarElapsedInput!) {"
        " calendarDue(input: $due) { dueAt } calendarElapsed(input: $elapsed) { minutes seconds } }",
        due={"id": calendar["id"], "start": FRIDAY, "minutes": 60, "pauses": [[FRIDAY, "2026-11-20T16:45:00+08:00"]]},
        elapsed={
            "id": calendar["id"],
            "start": FRIDAY,
            "end": "2026-11-23T09:45:00+08:00",
            "pauses": [{"start": FRIDAY, "end": "2026-11-20T16:45:00+08:00"}],
        },
    )
    assert found["calendarDue"]["dueAt"] == "2026-11-23T01:45:00Z"
    assert found["calendarElapsed"] == {"minutes": 60, "seconds": 3600}
    changed = await ask(
        "mutation($id: ID!) { calendarUpdate(input: {id: $id, archived: true}) { calendar { archived } } }",
        id=calendar["id"],
    )
    assert changed["calendarUpdate"]["calendar"] == {"archived": True}
    loaded = await ask(
        "mutation($id: ID!) { calendarLoadHolidays(input: {id: $id, country: CN, years: [2025]})"
        " { calendar { version } userErrors { code } } }",
        id=calendar["id"],
    )
    assert loaded["calendarLoadHolidays"] == {"calendar": {"version": 3}, "userErrors": []}
