"""Classes of customers: equal to a plain calculation, logged once, explained, editable; the matrix is exact."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from crm_api.classifications import jobs
from crm_api.classifications.definitions import COLUMNS
from crm_api.classifications.rules import end_of_period, month_before, period_around
from crm_api.core.clock import FixedClock
from crm_api.core.ids import new_id
from crm_api.core.messages import Message
from tests.classifications import brute
from tests.support.api import application, client_of, make_tenant

NOW = datetime(2026, 11, 1, 3, tzinfo=UTC)
DAY = timedelta(days=1)
ORDER = """
INSERT INTO orders (tenant_id, id, customer_id, platform, external_id, status, reported_status, currency,
                    total_amount, paid_amount, placed_at)
VALUES ($1, $2, $3, 'till', $4, 'completed', 'completed', 'CNY', $5, $5, $6)
"""


class TestEdges:
    @given(st.lists(st.integers(0, 60), min_size=1, max_size=60))
    def test_edges_are_the_type_7_quantiles(self, values):
        edges = brute.quantile_edges(values)
        cuts = brute.np.percentile(values, (20, 40, 60, 80), method="linear")
        assert [brute.band(each, edges) for each in values] == [1 + sum(cut < each for cut in cuts) for each in values]

    def test_periods_end_by_the_calendar_of_the_zone(self):
        zone = ZoneInfo("Asia/Shanghai")
        moment = datetime(2026, 12, 31, 17, tzinfo=UTC)  # the 1st of January there, a Friday
        assert [period_around(moment, per, zone).date().isoformat() for per in ("day", "week", "month", "quarter")] == [
            "2027-01-02",
            "2027-01-04",
            "2027-02-01",
            "2027-04-01",
        ]
        assert period_around(moment, "year", zone) == datetime(2028, 1, 1, tzinfo=zone)
        ends = [end_of_period(period, zone).date().isoformat() for period in ("2026-12", "2026-Q3", "2026")]
        assert ends == ["2027-01-01", "2026-10-01", "2027-01-01"]
        assert month_before(moment, zone) == "2026-12"


class Desk:
    """A shop at a moment of its own, with its customers and their orders."""

    def __init__(self, client, database, tenant, clock):
        self.client, self.database, self.tenant, self.clock = client, database, tenant, clock
        self.histories = {}

    async def customers(self, number):
        start = len(self.histories)
        items = [{"name": f"c{start + each:03}"} for each in range(number)]
        made = (await self.client.post("/v1/customers/batch", json={"items": items})).json()
        ids = [each["id"] for each in made["results"]]
        self.histories |= {each: [] for each in ids}
        return ids

    async def order(self, customer_id, amount, at):
        self.histories[customer_id].append((at, amount))
        values = (self.tenant.id, new_id(), UUID(customer_id), new_id().hex, amount, at)
        await self.run(lambda unit: unit.connection.execute(ORDER, *values))

    async def run(self, work):
        return await self.database.run(self.tenant.actor, work)

    async def rows(self, sql, *values):
        return await self.run(lambda unit: unit.connection.fetch(sql, self.tenant.id, *values))

    async def get(self, path, **query):
        answer = await self.client.get(f"/v1/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def change(self, dimension, **parts):
        answer = await self.client.patch(f"/v1/classifications/{dimension}", json=parts)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def definitions(self):
        return {each["dimension"]: each["definition"] for each in (await self.get("classifications"))["data"]}

    async def score(self, **body):
        """Do the runs that wait, or one that is asked for."""
        waiting = (await self.get("scoring-runs", state="queued", order="newest"))["data"][::-1]
        if body or not waiting:
            waiting.append((await self.client.post("/v1/scoring-runs", json=body)).json())
        for each in waiting:
            await jobs.score(self.database, {"tenant_id": str(self.tenant.id), "run_id": each["id"]})
        return await self.get(f"scoring-runs/{waiting[-1]['id']}")

    async def heard(self, kind, customer_id):
        """Hand a message to the subscriber, as the relay does."""
        payload = {"customer_id": customer_id}
        message = Message(new_id(), self.tenant.id, kind, UUID(customer_id), payload, self.clock.now())
        await self.run(lambda unit: jobs.keep(unit, [message]))

    async def stored(self):
        names = ", ".join(COLUMNS.values())
        rows = await self.rows(f"SELECT customer_id, {names} FROM customer_scores WHERE tenant_id = $1")
        return {str(row[0]): dict(zip(COLUMNS, row[1:], strict=True)) for row in rows}

    async def told(self):
        rows = await self.rows(
            "SELECT payload FROM outbox WHERE tenant_id = $1 AND type = 'classification.changed' ORDER BY id"
        )
        return [row[0] for row in rows]


@pytest_asyncio.fixture
async def desk(settings, pools, tenant):
    clock = FixedClock(NOW)
    async with (
        pools.lend(settings, clock) as database,
        application(settings, database) as app,
        client_of(app, tenant.key) as client,
    ):
        yield Desk(client, database, tenant, clock)


async def busy(desk, seed, customers=26):
    """Fill a shop with made-up orders; ties, and days on the edge of every threshold."""
    chance = random.Random(seed)
    ids = await desk.customers(customers)
    days = (0, 1, 89, 90, 91, 179, 180, 181, 364, 365, 366, 500)
    for each in ids:
        for _ in range(chance.choice((0, 1, 1, 2, 3, 5, 13))):
            at = NOW - DAY * chance.choice(days) - timedelta(hours=chance.choice((0, 0, 7)), seconds=1)
            await desk.order(each, chance.choice((5_000, 20_000, 20_000, 50_000, 99_999, 100_000)), at)
    return ids


@pytest.mark.asyncio
@pytest.mark.database
class TestClasses:
    async def test_every_dimension_equals_a_plain_calculation(self, desk):
        ids = await busy(desk, 1)
        judged = {"industry_position": "strong", "outlook": "growing", "purchase_intent": "mid"}
        assert (await desk.client.put(f"/v1/customers/{ids[3]}/potential", json=judged)).status_code == 200
        potentials = {ids[3]: judged}
        fixed = {"recency": [1, 90, 180, 366], "frequency": [2, 3, 5, 9], "monetary": [1, 20_001, 99_999, 250_000]}
        for scheme in (
            {"scheme": "quantile"},
            {"scheme": "ntile", "groups": "classic"},
            {"scheme": "fixed", "edges": fixed, "window_days": 365},
        ):
            await desk.change("rfm", definition=scheme)
            await desk.change("grade", definition={"window_days": 365 if "edges" in scheme else None})
            run = await desk.score()
            assert (run["state"], run["processed"]) == ("completed", len(ids))
            shop = brute.Shop(desk.histories, await desk.definitions(), NOW)
            assert await desk.stored() == shop.classes(potentials), scheme
            assert run["summary"]["classes"]["lifecycle"] == counted(shop.classes(), "lifecycle")
            rows = await desk.rows("SELECT customer_id, r, f, m FROM customer_scores WHERE tenant_id = $1 AND r > 0")
            assert {str(row[0]): tuple(row[1:]) for row in rows} == shop.scores(), scheme
        assert (run["cause"], run["versions"]["rfm"]) == ("edit", 3)

    async def test_an_order_is_classified_at_once_by_the_edges_that_stand(self, desk):
        ids = await busy(desk, 2)
        run = await desk.score()
        edges = [run["thresholds"]["edges"][axis] for axis in ("recency", "frequency", "monetary")]
        before = await desk.stored()
        desk.clock.advance(timedelta(hours=1))
        await desk.order(ids[0], 77_000, desk.clock.now() - timedelta(minutes=1))
        told = len(await desk.told())
        await desk.heard("order.created", ids[0])
        after = await desk.stored()
        assert {each for each in ids if before[each] != after[each]} <= {ids[0]}
        shop = brute.Shop(desk.histories, await desk.definitions(), desk.clock.now())
        cell = shop.scores(edges)[ids[0]]
        spent = sum(amount for _, amount in desk.histories[ids[0]])
        cuts = [run["thresholds"][f"grade_{letter}"] for letter in "abc"]
        grade = next((letter for letter, cut in zip("ABC", cuts, strict=True) if spent >= cut), "D")
        assert after[ids[0]] == shop.of(ids[0], grade, cell, None)
        changed = sorted(name for name in COLUMNS if before[ids[0]][name] != after[ids[0]][name])
        assert changed
        messages = (await desk.told())[told:]
        assert [(each["customer_ids"], each["cause"]) for each in messages] == [([ids[0]], "event")]
        assert {*changed} <= {*messages[0]["dimensions"]} <= {*changed, "rfm"}, "scores may change inside a group"
        entry = (await desk.get("class-log", customer_id=ids[0]))["data"][0]
        assert (sorted(entry["changed"]), entry["cause"], entry["run_id"]) == (changed, "event", None)
        assert (entry["before"], entry["after"]) == (before[ids[0]], after[ids[0]])
        await desk.heard("order.updated", ids[0])
        assert len(await desk.told()) == told + 1, "nothing changed, nothing is said"

    async def test_before_the_first_run_facts_are_enough(self, desk):
        (one,) = await desk.customers(1)
        await desk.heard("customer.created", one)
        assert (await desk.stored())[one] == dict.fromkeys(COLUMNS) | {"lifecycle": "prospect"}
        await desk.order(one, 30_000, NOW - DAY)
        await desk.heard("order.paid", one)
        found = (await desk.stored())[one]
        assert (found["lifecycle"], found["frequency"], found["activity"]) == ("first_purchase", "low", "active")
        assert (found["rfm"], found["grade"]) == (None, None), "these take everybody"

    async def test_the_matrix_is_exact_between_any_two_moments(self, desk):
        chance, moments = random.Random(5), [(NOW - timedelta(hours=1), {})]
        await busy(desk, 4, customers=12)
        for step in range(5):
            if step == 2:
                await desk.customers(3)
            for each in chance.sample(sorted(desk.histories), 4):
                await desk.order(each, chance.choice((10_000, 300_000)), desk.clock.now() - timedelta(minutes=1))
                if step % 2:
                    await desk.heard("order.created", each)
            if step % 2 == 0:
                await desk.score(as_of=desk.clock.now().isoformat())
            moments.append((desk.clock.now() + timedelta(seconds=1), await desk.stored()))
            desk.clock.advance(40 * DAY)
        people = set(desk.histories)
        for dimension in ("grade", "rfm", "lifecycle", "frequency"):
            for (first, then), (second, later) in ((moments[a], moments[b]) for a in range(6) for b in range(a, 6)):
                query = {"dimension": dimension, "from": first.isoformat(), "to": second.isoformat(), "basis": "record"}
                matrix = await desk.get("analytics/transitions", **query)
                expected = {}
                for each in people:
                    pair = tuple(side.get(each, {}).get(dimension) or "none" for side in (then, later))
                    expected[pair] = expected.get(pair, 0) + 1
                cells = {(cell["from_class"], cell["to_class"]): cell["customers"] for cell in matrix["cells"]}
                assert cells == expected
                assert matrix["customers"] == sum(cells.values()) == len(people)
                assert set(matrix["classes"]) >= {name for pair in cells for name in pair}
        await self.before_the_log_orders_tell(desk)

    async def before_the_log_orders_tell(self, desk):
        """Imported orders reach back to before anything was on record: both moments are reckoned from them."""
        definitions = await desk.definitions()
        log = await desk.rows("SELECT count(*) FROM class_log WHERE tenant_id = $1")
        first, second = NOW - 200 * DAY, NOW - 30 * DAY
        shops = [brute.Shop(desk.histories, definitions, at) for at in (first, second)]
        for dimension in ("grade", "rfm", "lifecycle", "value"):
            query = {"dimension": dimension, "from": first.isoformat(), "to": second.isoformat()}
            matrix = await desk.get("analytics/transitions", **query)
            expected = Counter()
            for each in desk.histories:
                # Nobody had been entered by then, so who had not bought either was nobody.
                expected[tuple(shop.classes()[each][dimension] if shop.orders[each] else "none" for shop in shops)] += 1
            cells = {(cell["from_class"], cell["to_class"]): cell["customers"] for cell in matrix["cells"]}
            assert (matrix["basis"], cells) == ("orders", dict(expected))
            assert len(cells) > 2
        assert await desk.rows("SELECT count(*) FROM class_log WHERE tenant_id = $1") == log, "nothing is written"
        now = await desk.get("analytics/transitions", **{"from": (desk.clock.now() - DAY).isoformat()})
        assert now["basis"] == "record"

    async def test_a_definition_is_edited_with_its_version_kept(self, desk, settings):
        (one,) = await desk.customers(1)
        await desk.order(one, 30_000, NOW - DAY)
        await desk.score()
        path = "/v1/classifications/frequency"
        first = await desk.client.get(path)
        assert first.headers["etag"] == '"1"'
        body = {"definition": {"high": 2, "mid": 1}, "contact_limits": {"high": {"contacts": 2, "per": "week"}}}
        done = await desk.client.patch(path, json=body, headers={"if-match": '"1"'})
        assert done.json()["definition"] == {"window_days": 365, "high": 2, "mid": 1}
        assert (await desk.client.patch(path, json=body, headers={"if-match": '"1"'})).status_code == 412
        same = await desk.client.patch(path, json=body)
        assert (same.status_code, same.json()["version"]) == (200, 2)
        runs = (await desk.get("scoring-runs", state="queued"))["data"]
        assert [each["cause"] for each in runs] == ["edit"], "what changes nothing scores nobody"
        versions = (await desk.get("classification-versions", dimension="frequency"))["data"]
        assert [(each["version"], each["definition"]["high"]) for each in versions] == [(2, 2), (1, 12)]
        desk.clock.advance(DAY)
        run = await desk.score()
        assert run["versions"]["frequency"] == 2
        shown = await desk.get(f"customers/{one}/classes")
        classes = {each["dimension"]: each for each in shown["classes"]}
        assert {each: classes[each]["reason"]["en"] for each in ("value", "lifecycle", "rfm")} == {
            "value": "1 purchase in 365 days (high from 12, mid from 4) of 300.00 CNY on average "
            "(high from 500.00 CNY, mid from 200.00 CNY)",
            "lifecycle": "1 purchase, silent for 1 day; loyal from 5, dormant after 90 days, lost after 365",
            "rfm": "R5 F1 M1: silent for 1 day, 1 purchase, 300.00 CNY",
        }
        found = classes["frequency"]
        assert (found["code"], found["version"], found["name"]["zh"]) == ("mid", 2, "中频")
        assert found["reason"]["values"] == {"purchases": 1}
        assert found["reason"]["thresholds"] == {"high": 2, "mid": 1, "window_days": 365}
        assert datetime.fromisoformat(found["since"]) == desk.clock.now()
        entry = (await desk.get("class-log", dimension="frequency"))["data"][0]
        assert (entry["cause"], entry["run_id"], entry["changed"]) == ("edit", run["id"], ["frequency"])
        other = await make_tenant(settings)
        async with application(settings, desk.database) as app, client_of(app, other.key) as stranger:
            assert (await stranger.get(path)).json()["definition"]["high"] == 12
            assert (await stranger.get("/v1/class-log")).json()["data"] == []
            assert (await stranger.get(f"/v1/customers/{one}/classes")).status_code == 404

    async def test_contacts_are_limited_by_class(self, desk):
        (one,) = await desk.customers(1)
        await desk.order(one, 30_000, NOW - DAY)
        await desk.score()
        limits = {"A": {"contacts": 2, "per": "month"}, "D": {"contacts": 1, "per": "quarter"}}
        await desk.change("grade", contact_limits=limits)
        await desk.change("activity", contact_limits={"active": {"contacts": 3, "per": "week"}})
        path = f"customers/{one}/classes"

        async def talk(at, direction="outbound"):
            body = {"customer_id": one, "channel": "call", "direction": direction, "occurred_at": at.isoformat()}
            assert (await desk.client.post("/v1/interactions", json=body)).status_code == 201

        month, week = datetime(2026, 11, 30, 16, tzinfo=UTC), datetime(2026, 11, 1, 16, tzinfo=UTC)
        await talk(NOW - timedelta(hours=12))  # last month there, this week
        await talk(NOW - timedelta(hours=2), "inbound")
        contact = (await desk.get(path))["contact"]
        assert [(each["code"], each["used"], each["remaining"]) for each in contact["limits"]] == [
            ("active", 1, 2),
            ("A", 0, 2),
        ]
        assert (contact["allowed"], contact["remaining"]) == (True, 2)
        assert datetime.fromisoformat(contact["until"]) == week
        await talk(NOW - timedelta(hours=1))
        await talk(NOW)
        contact = (await desk.get(path))["contact"]
        assert (contact["allowed"], contact["remaining"]) == (False, 0)
        assert datetime.fromisoformat(contact["until"]) == month, "when both limits allow it again"

    async def test_potential_is_judged_and_asked_for_in_graphql(self, desk):
        (one,) = await desk.customers(1)
        await desk.order(one, 30_000, NOW - DAY)
        global_id = (await self.ask(desk, "{ customers { nodes { id } } }"))["customers"]["nodes"][0]["id"]
        set_it = """mutation ($id: ID!) { customerPotentialSet(input: {id: $id, industryPosition: LEADING,
          outlook: GROWING, purchaseIntent: HIGH}) { potential { version } userErrors { code } } }"""
        done = await self.ask(desk, set_it, id=global_id)
        assert done["customerPotentialSet"] == {"potential": {"version": 1}, "userErrors": []}
        await desk.heard("customer.potential_set", one)
        query = """query ($id: ID!) { customer(id: $id) { potential { outlook } classLog { nodes { cause changed } }
          classes { classes { dimension code policy { zh } reason { values en } } contact { allowed } } }
          classification(dimension: VALUE_POTENTIAL) { version classes { code } }
          transitions(input: {dimension: VALUE_POTENTIAL, fromAt: "2026-10-01", toAt: "2026-11-02"}) {
            basis customers cells { fromClass toClass customers share } } }"""
        shown = await self.ask(desk, query, id=global_id)
        cell = {each["dimension"]: each for each in shown["customer"]["classes"]["classes"]}["VALUE_POTENTIAL"]
        assert (cell["code"], cell["policy"]["zh"]) == ("low_high", "重点培育：试用优惠，跟进意向")
        assert cell["reason"]["values"]["points"] == 9
        assert shown["customer"]["classLog"]["nodes"][0]["cause"] == "INPUT"
        assert len(shown["classification"]["classes"]) == 9
        assert shown["transitions"] == {
            "basis": "ORDERS",  # nothing is on record of October
            "customers": 1,
            "cells": [{"fromClass": "none", "toClass": "low_high", "customers": 1, "share": 1.0}],
        }
        edit = """mutation { classificationUpdate(input: {dimension: FREQUENCY, definition: {high: 1}}) {
          classification { version } userErrors { code path } } }"""
        refused = await self.ask(desk, edit)
        assert refused["classificationUpdate"]["classification"] is None
        assert refused["classificationUpdate"]["userErrors"][0]["code"] == "wrong_order"

    @staticmethod
    async def ask(desk, query, **variables):
        answer = (await desk.client.post("/graphql", json={"query": query, "variables": variables})).json()
        assert "errors" not in answer, answer
        return answer["data"]

    async def test_a_night_scores_everybody_and_keeps_the_month(self, desk):
        ids = await busy(desk, 3, customers=8)
        await desk.score()
        before = await desk.stored()
        night = {"tenant_id": str(desk.tenant.id)}
        for _ in range(2):  # the second time everything is under way already
            await desk.run(lambda unit: jobs.scoring.ScoringService(unit).start_nightly())
        runs = (await desk.get("scoring-runs", cause="schedule", order="newest"))["data"]
        assert [each["period"] for each in runs] == ["2026-10", None]
        for each in runs[::-1]:
            await jobs.score(desk.database, {**night, "run_id": each["id"]})
        assert await desk.stored() == before
        kept = (await desk.get("period-scores", period="2026-10", limit=50))["data"]
        end = datetime(2026, 10, 31, 16, tzinfo=UTC)
        expected = brute.Shop(desk.histories, await desk.definitions(), end)
        assert {each["customer_id"]: each["classes"] for each in kept} == expected.classes()
        assert {each["customer_id"] for each in kept} == set(ids)
        done = await desk.get(f"scoring-runs/{runs[0]['id']}")
        assert done["summary"]["classes"]["lifecycle"] == counted(expected.classes(), "lifecycle")


def counted(classes, dimension):
    """Return class → customers."""
    found = {}
    for each in classes.values():
        if each[dimension] is not None:
            found[each[dimension]] = found.get(each[dimension], 0) + 1
    return found
