"""Companies: contacts with their days, and what a company and its contacts add up to."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from crm_api import admin
from crm_api.loyalty.models import AdjustmentCreate
from crm_api.loyalty.service import LoyaltyService
from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.database]


async def company(here, name="浦东幼儿园"):
    return await here.customer(name, kind="company")


async def contact(here, company_id, person_id, status=201, **fields):
    return await here.post(f"/v1/customers/{company_id}/contacts", {"customer_id": person_id, **fields}, status)


async def buy(here, who, number, amount=1000, status="paid", placed_at="2026-06-01T04:00:00Z", currency="CNY"):
    body = {
        "customer_id": who,
        "status": status,
        "total": {"amount": amount, "currency": currency},
        "placed_at": placed_at,
    }
    answer = await here.client.put(f"/v1/orders/till/{number}", json=body)
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()["id"]


async def rollup(here, company_id):
    return await here.get(f"/v1/customers/{company_id}/rollup")


def faults(answer):
    return [(each["pointer"], each["code"]) for each in answer["errors"]]


class TestContacts:
    async def test_answers_with_what_was_stored(self, here):
        firm, person = await company(here), await here.customer("王芳")
        made = await contact(
            here,
            firm,
            person,
            roles=["buyer", "receiving", "buyer"],
            title="采购经理",
            is_primary=True,
            since="2026-03-01",
        )
        assert {name: made[name] for name in made if name not in {"id", "created_at", "updated_at"}} == {
            "company_id": firm,
            "customer_id": person,
            "roles": ["buyer", "receiving"],
            "title": "采购经理",
            "is_primary": True,
            "since": "2026-03-01",
            "until": None,
            "version": 1,
        }
        assert await here.get(f"/v1/company-contacts/{made['id']}") == made
        assert (await here.get(f"/v1/customers/{firm}/contacts"))["data"] == [made]
        assert (await here.get(f"/v1/customers/{person}/companies"))["data"] == [made]
        assert (await here.get("/v1/company-contacts?role=buyer&current=true"))["data"] == [made]
        assert (await here.get("/v1/company-contacts?role=finance"))["data"] == []
        assert await here.messages(made["id"]) == [
            ("company_contact.added", {"company_id": firm, "customer_id": person})
        ]

    async def test_who_may_be_what(self, house, here, other_tenant):
        firm, other_firm, person = await company(here), await company(here, "二公司"), await here.customer()
        async with client_of(house.app, other_tenant.key) as other:
            foreign = (await other.post("/v1/customers", json={"name": "韩梅梅"})).json()["id"]
        for whose, who, status, fault in (
            (person, await here.customer(), 422, ("/path/customer_id", "not_a_company")),
            (firm, other_firm, 422, ("/customer_id", "not_a_person")),
            (firm, firm, 422, ("/customer_id", "not_a_person")),
            (firm, foreign, 404, ("/customer_id", "unknown_customer")),
            (firm, str(uuid4()), 404, ("/customer_id", "unknown_customer")),
        ):
            assert faults(await contact(here, whose, who, status)) == [fault]
        assert (await contact(here, str(uuid4()), person, 404))["code"] == "not_found"
        assert (await contact(here, foreign, person, 404))["code"] == "not_found"

    @pytest.mark.parametrize(
        ("fields", "fault"),
        [
            ({"since": "2026-11-23"}, ("/since", "in_future")),
            ({"until": "2026-11-23"}, ("/until", "in_future")),
            ({"since": "2026-10-02", "until": "2026-10-01"}, ("/until", "range_reversed")),
            ({"until": "2026-10-01", "is_primary": True}, ("/is_primary", "contact_ended")),
            ({"since": 20260101}, ("/since", "invalid_date")),
            ({"roles": ["Buyer"]}, ("/roles/0", "bad_format")),
            ({"roles": "buyer"}, ("/roles", "wrong_type")),
            ({"roles": ["buyer"] * 21}, ("/roles", "too_many")),
        ],
    )
    async def test_what_cannot_be(self, here, fields, fault):
        firm, person = await company(here), await here.customer()
        assert faults(await contact(here, firm, person, 422, **fields)) == [fault]

    async def test_an_ended_contact_is_history_and_may_come_back(self, here):
        firm, person = await company(here), await here.customer()
        first = await contact(here, firm, person, is_primary=True, since="2026-01-01")
        again = await contact(here, firm, person, 409)
        assert (again["code"], again["contact_id"]) == ("duplicate", first["id"])
        ended = await here.client.patch(f"/v1/company-contacts/{first['id']}", json={"until": "2026-06-30"})
        assert (ended.json()["until"], ended.json()["is_primary"]) == ("2026-06-30", False)
        assert (await contact(here, firm, person, 409, since="2026-06-30"))["contact_id"] == first["id"]
        second = await contact(here, firm, person, since="2026-07-01")
        shown = (await here.get(f"/v1/customers/{firm}/contacts"))["data"]
        assert [each["id"] for each in shown] == [first["id"], second["id"]]
        current = (await here.get(f"/v1/customers/{firm}/contacts?current=true"))["data"]
        assert [each["id"] for each in current] == [second["id"]]
        refused = await here.client.patch(f"/v1/company-contacts/{first['id']}", json={"until": None})
        assert (refused.status_code, refused.json()["code"]) == (409, "duplicate")
        assert [kind for kind, _ in await here.messages(first["id"])] == [
            "company_contact.added",
            "company_contact.ended",
        ]

    async def test_one_is_primary(self, here):
        firm = await company(here)
        first = await contact(here, firm, await here.customer(), is_primary=True)
        second = await contact(here, firm, await here.customer(), is_primary=True)
        shown = (await here.get(f"/v1/customers/{firm}/contacts"))["data"]
        assert [(each["id"], each["is_primary"], each["version"]) for each in shown] == [
            (second["id"], True, 1),
            (first["id"], False, 2),
        ]
        stale = await here.client.patch(
            f"/v1/company-contacts/{first['id']}", json={"is_primary": True}, headers={"if-match": '"1"'}
        )
        assert stale.status_code == 412

    async def test_parallel_writers_make_one(self, here):
        firm, people = await company(here), [await here.customer() for _ in range(3)]
        bodies = [{"customer_id": who, "is_primary": True} for who in people] * 2
        path = f"/v1/customers/{firm}/contacts"
        answers = await asyncio.gather(*(here.client.post(path, json=body) for body in bodies))
        assert sorted(each.status_code for each in answers) == [201] * 3 + [409] * 3
        shown = (await here.get(path))["data"]
        assert [each["is_primary"] for each in shown] == [True, False, False]

    async def test_a_deleted_person_speaks_for_nobody(self, here):
        firm, person = await company(here), await here.customer()
        made = await contact(here, firm, person)
        await here.client.delete(f"/v1/customers/{person}")
        assert (await here.get(f"/v1/customers/{firm}/contacts"))["data"] == []
        assert (await here.client.get(f"/v1/company-contacts/{made['id']}")).status_code == 404
        assert (await rollup(here, firm))["contact_count"] == 0

    async def test_a_mistake_is_removed(self, here):
        firm, person = await company(here), await here.customer()
        made = await contact(here, firm, person)
        path = f"/v1/company-contacts/{made['id']}"
        assert (await here.client.delete(path, headers={"if-match": '"2"'})).status_code == 412
        assert (await here.client.delete(path)).status_code == 204
        assert (await here.client.delete(path)).status_code == 404


class TestRollup:
    async def test_orders_and_points_of_all_each_once(self, here):
        firm, buyer, boss = await company(here), await here.customer("采购"), await here.customer("老板")
        for who in (buyer, boss):
            await contact(here, firm, who)
        await buy(here, firm, 1, 5000, placed_at="2026-05-01T04:00:00Z")
        await buy(here, buyer, 2, 300)
        order = await buy(here, boss, 3, 200, placed_at="2026-07-01T04:00:00Z")
        await buy(here, boss, 4, 900, "cancelled")
        await buy(here, boss, 5, 700, "pending_payment")
        await buy(here, boss, 6, 100, currency="USD")
        await here.post(f"/v1/orders/{order}/refunds", {"amount": {"amount": 50, "currency": "CNY"}})
        await self._points(here, {firm: 10, buyer: 20, boss: 30})
        found = await rollup(here, firm)
        assert found == {
            "company_id": firm,
            "contact_count": 2,
            "purchases_rollup": {
                "order_count": 5,
                "paid_order_count": 4,
                "first_order_at": "2026-05-01T04:00:00+00:00",
                "last_order_at": "2026-07-01T04:00:00+00:00",
                "gross_spend": {"amount": 5500, "currency": "CNY"},
                "net_spend": {"amount": 5450, "currency": "CNY"},
                "other_currency_order_count": 1,
            },
            "points_rollup": {"available": 60, "pending": 0, "held": 0, "debt": 0},
        }
        # Somebody who is asked for twice is counted once: a contact who left and came back.
        (made, _) = (await here.get(f"/v1/customers/{firm}/contacts"))["data"]
        await here.client.patch(f"/v1/company-contacts/{made['id']}", json={"until": "2026-06-30"})
        await contact(here, firm, buyer, since="2026-07-01")
        assert await rollup(here, firm) == found

    async def _points(self, here, points):
        async def work(unit):
            for who, number in points.items():
                await LoyaltyService(unit).adjust(UUID(who), AdjustmentCreate(points=number, reason="x"))

        await here.database.run(here.tenant.actor, work)

    async def test_orders_count_while_the_person_was_a_contact(self, here):
        """Of two companies in turn, and at the same time: each has what was bought in its days."""
        old, new, also = [await company(here, name) for name in ("一公司", "二公司", "三公司")]
        person = await here.customer()
        await contact(here, old, person, since="2026-01-01", until="2026-03-31")
        await contact(here, new, person, since="2026-04-01")
        await contact(here, also, person)
        # The last second of 31 March in Shanghai, the first of 1 April, and long before all of it.
        for number, instant in enumerate(("2026-03-31T15:59:59Z", "2026-03-31T16:00:00Z", "2020-01-01T00:00:00Z")):
            await buy(here, person, number, 10**number, placed_at=instant)
        spent = [(await rollup(here, firm))["purchases_rollup"]["net_spend"]["amount"] for firm in (old, new, also)]
        assert spent == [1, 10, 111]

    async def test_a_company_without_anything(self, here):
        found = await rollup(here, await company(here))
        assert (found["purchases_rollup"]["order_count"], found["purchases_rollup"]["net_spend"]) == (
            0,
            {"amount": 0, "currency": "CNY"},
        )
        assert found["points_rollup"] == {"available": 0, "pending": 0, "held": 0, "debt": 0}

    async def test_a_person_has_none(self, house, here, other_tenant):
        firm = await company(here)
        assert (await here.client.get(f"/v1/customers/{await here.customer()}/rollup")).status_code == 404
        async with client_of(house.app, other_tenant.key) as other:
            assert (await other.get(f"/v1/customers/{firm}/rollup")).status_code == 404

    async def test_each_part_takes_its_scope(self, house, here):
        firm = await company(here)
        for scopes, parts in (
            ({"customers:read"}, set()),
            ({"customers:read", "orders:read"}, {"purchases_rollup"}),
            ({"customers:read", "loyalty:read"}, {"points_rollup"}),
        ):
            key = (await admin.create_key(house.settings, here.tenant.id, frozenset(scopes))).api_key
            async with client_of(house.app, key) as narrow:
                found = (await narrow.get(f"/v1/customers/{firm}/rollup")).json()
                assert set(found) == {"company_id", "contact_count", *parts}

    @hypothesis_settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.tuples(st.integers(0, 2), st.integers(0, 11), st.integers(0, 11)),
            max_size=6,
            unique_by=lambda period: (period[0], max(period[1:])),
        ),
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 11), st.integers(1, 9)), max_size=8),
    )
    async def test_equals_brute_force(self, here, periods, bought):
        """Any contact periods (the service lets none overlap, the sum must not need that), any orders."""
        firm = await company(here)
        people = [await here.customer() for _ in range(3)]
        rows = [(people[who], *sorted((start, end))) for who, start, end in periods]

        async def work(unit):
            await unit.connection.executemany(
                "INSERT INTO company_contacts (tenant_id, id, company_id, customer_id, since, until) "
                "VALUES ($1, $2, $3, $4, $5, $6)",
                [
                    (unit.tenant_id, uuid4(), UUID(firm), UUID(who), _first(start), _first(end))
                    for who, start, end in rows
                ],
            )

        await here.database.run(here.tenant.actor, work)
        total = 0
        for number, (who, month, amount) in enumerate(bought):
            buyer = firm if who == 3 else people[who]
            placed = datetime(2025, month + 1, 1, 4, tzinfo=UTC).isoformat()
            await buy(here, buyer, f"{firm}-{number}", amount, placed_at=placed)
            total += amount * (who == 3 or any(p == buyer and s <= month <= e for p, s, e in rows))
        found = (await rollup(here, firm))["purchases_rollup"]
        assert found["net_spend"]["amount"] == total


def _first(month):
    return datetime(2025, month + 1, 1, tzinfo=UTC).date()


class TestGraphQL:
    async def test_all_of_it(self, here):
        firm, person = await company(here), await here.customer("王芳")
        await buy(here, firm, 1, 700)
        made = await here.ask(
            """mutation ($firm: ID!, $person: ID!) {
              companyContactAdd(input: {id: $firm, customerId: $person, roles: ["buyer"], isPrimary: true}) {
                contact { id roles company { name } customer { name } } userErrors { code } }
              again: companyContactAdd(input: {id: $firm, customerId: $person}) { userErrors { code path } } }""",
            firm=f"Customer:{firm}",
            person=f"Customer:{person}",
        )
        added = made["companyContactAdd"]["contact"]
        assert (added["company"]["name"], added["customer"]["name"]) == ("浦东幼儿园", "王芳")
        assert made["again"]["userErrors"][0]["code"] == "duplicate"
        shown = await here.ask(
            """query ($firm: ID!, $person: ID!) {
              firm: customer(id: $firm) {
                contacts { nodes { isPrimary customer { name } } }
                rollup { contactCount purchasesRollup { orderCount netSpend { amount } } pointsRollup { available } } }
              person: customer(id: $person) { companies { nodes { company { name } } } rollup { contactCount } }
              companyContacts(role: "buyer") { totalCount } }""",
            firm=f"Customer:{firm}",
            person=f"Customer:{person}",
        )
        assert shown == {
            "firm": {
                "contacts": {"nodes": [{"isPrimary": True, "customer": {"name": "王芳"}}]},
                "rollup": {
                    "contactCount": 1,
                    "purchasesRollup": {"orderCount": 1, "netSpend": {"amount": 700}},
                    "pointsRollup": {"available": 0},
                },
            },
            "person": {"companies": {"nodes": [{"company": {"name": "浦东幼儿园"}}]}, "rollup": None},
            "companyContacts": {"totalCount": 1},
        }
        changed = await here.ask(
            """mutation ($id: ID!) {
              companyContactUpdate(input: {id: $id, until: "2026-11-01"}) { contact { until isPrimary } }
              companyContactRemove(input: {id: $id}) { deleted } }""",
            id=added["id"],
        )
        assert changed["companyContactUpdate"]["contact"] == {"until": "2026-11-01", "isPrimary": False}
        assert changed["companyContactRemove"] == {"deleted": True}
