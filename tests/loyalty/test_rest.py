"""Points over REST."""

import asyncio
from uuid import uuid4

import pytest

from crm_api import admin
from tests.support.api import client_of, make_tenant

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


@pytest.fixture
def accounts():
    return "/v1/loyalty/accounts"


async def customer_with(client, points=0):
    created = await client.post("/v1/customers", json={"name": "王小明"})
    customer = created.json()["id"]
    if points:
        response = await client.post(
            f"/v1/loyalty/accounts/{customer}/adjustments", json={"points": points, "reason": "welcome"}
        )
        assert response.status_code == 201, response.text
    return customer


class TestAccount:
    async def test_a_customer_without_points_shows_zeros(self, client, accounts):
        customer = await customer_with(client)
        response = await client.get(f"{accounts}/{customer}")
        assert response.status_code == 200
        assert response.headers["etag"] == '"0"'
        [programme] = (await client.get("/v1/loyalty/programmes")).json()["data"]
        assert response.json() == {
            "customer_id": customer,
            "available": 0,
            "pending": 0,
            "held": 0,
            "debt": 0,
            "currency_name": "积分",
            "scale": 0,
            "programme_id": programme["id"],
        }

    @pytest.mark.parametrize("path", ["", "/entries"])
    async def test_unknown_or_foreign_customers(self, client, app, settings, accounts, path):
        other = await make_tenant(settings)
        async with client_of(app, other.key) as theirs:
            foreign = await customer_with(theirs, 5)
        for customer in (uuid4(), foreign):
            response = await client.get(f"{accounts}/{customer}{path}")
            assert (response.status_code, response.json()["code"]) == (404, "not_found")

    async def test_field_selection_and_unknown_parameters(self, client, accounts):
        customer = await customer_with(client, 5)
        assert (await client.get(f"{accounts}/{customer}?fields=available")).json() == {"available": 5}
        assert (await client.get(f"{accounts}/{customer}?x=1")).status_code == 422


class TestEntries:
    async def test_newest_first_with_balances_and_pages(self, client, accounts):
        customer = await customer_with(client, 10)
        for points in (1, 2, 3):
            await client.post(f"{accounts}/{customer}/redemptions", json={"points": points, "reason": f"mug {points}"})
        seen, after = [], None
        while True:
            query = {"limit": 2, **({"after": after} if after else {})}
            page = (await client.get(f"{accounts}/{customer}/entries", params=query)).json()
            seen += page["data"]
            after = page["page"]["next"]
            if not page["page"]["has_more"]:
                break
        assert [(e["type"], e["points"], e["reason"], e["balance_after"]["available"]) for e in seen] == [
            ("redeem", -3, "mug 3", 4),
            ("redeem", -2, "mug 2", 7),
            ("redeem", -1, "mug 1", 9),
            ("adjust", 10, "welcome", 10),
        ]
        only = (await client.get(f"{accounts}/{customer}/entries?type=adjust&count=exact")).json()
        assert only["page"]["total"] == 1
        one = await client.get(f"/v1/loyalty/entries/{seen[0]['id']}")
        assert one.json() == seen[0]

    async def test_nothing_yet(self, client, accounts):
        customer = await customer_with(client)
        assert (await client.get(f"{accounts}/{customer}/entries")).json()["data"] == []


class TestRedemptions:
    async def test_answers_with_the_entry_and_the_account(self, client, accounts):
        customer = await customer_with(client, 10)
        response = await client.post(f"{accounts}/{customer}/redemptions", json={"points": 4, "reason": "mug"})
        assert response.status_code == 201
        body = response.json()
        assert body["transaction"]["points"] == body["transaction"]["available_change"] == -4
        assert body["transaction"]["balance_after"] == {"available": 6, "pending": 0, "held": 0, "debt": 0}
        assert body["account"]["available"] == 6
        assert response.headers["location"] == f"/v1/loyalty/entries/{body['transaction']['id']}"
        assert response.headers["etag"] == '"2"'
        assert (await client.get(response.headers["location"])).json() == body["transaction"]

    async def test_too_few(self, client, accounts):
        customer = await customer_with(client, 10)
        response = await client.post(
            f"{accounts}/{customer}/redemptions",
            json={"points": 11, "reason": "mug"},
            headers={"accept-language": "zh"},
        )
        assert (response.status_code, response.json()["code"]) == (409, "insufficient_balance")
        assert "可用 10 积分" in response.json()["detail"]

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"points": 1},
            {"points": 0, "reason": "x"},
            {"points": -(10**9) - 1, "reason": "x"},
            {"points": 10**9 + 1, "reason": "x"},
            {"points": 10**30, "reason": "x"},
            {"points": 1.5, "reason": "x"},
            {"points": "1", "reason": "x"},
            {"points": True, "reason": "x"},
            {"points": None, "reason": "x"},
            {"points": 1, "reason": ""},
            {"points": 1, "reason": "x" * 10_000},
            {"points": 1, "reason": "x", "extra": 1},
            [],
        ],
    )
    @pytest.mark.parametrize("operation", ["redemptions", "adjustments"])
    async def test_bad_input_changes_nothing(self, client, accounts, body, operation):
        customer = await customer_with(client, 10)
        response = await client.post(f"{accounts}/{customer}/{operation}", json=body)
        assert response.status_code == 422
        assert response.json()["errors"]
        assert (await client.get(f"{accounts}/{customer}")).json()["available"] == 10

    async def test_fifty_at_once_for_a_balance_of_seven(self, client, accounts):
        customer = await customer_with(client, 7)
        path = f"{accounts}/{customer}/redemptions"
        answers = await asyncio.gather(*(client.post(path, json={"points": 1, "reason": "mug"}) for _ in range(50)))
        statuses = [answer.status_code for answer in answers]
        assert (statuses.count(201), statuses.count(409)) == (7, 43)
        assert (await client.get(f"{accounts}/{customer}")).json()["available"] == 0

    async def test_idempotency_key(self, client, accounts):
        customer = await customer_with(client, 10)
        answers = await asyncio.gather(
            *(
                client.post(
                    f"{accounts}/{customer}/redemptions",
                    json={"points": 4, "reason": "mug"},
                    headers={"idempotency-key": "once"},
                )
                for _ in range(5)
            )
        )
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1
        assert (await client.get(f"{accounts}/{customer}")).json()["available"] == 6

    async def test_scopes(self, client, app, settings, tenant, accounts):
        customer = await customer_with(client, 10)
        reader = await admin.create_key(settings, tenant.id, frozenset({"loyalty:read"}))
        async with client_of(app, reader.api_key) as reading:
            assert (await reading.get(f"{accounts}/{customer}")).status_code == 200
            response = await reading.post(f"{accounts}/{customer}/redemptions", json={"points": 1, "reason": "x"})
            assert response.status_code == 403


class TestReversal:
    async def test_gives_back_once(self, client, accounts):
        customer = await customer_with(client, 10)
        spent = await client.post(f"{accounts}/{customer}/redemptions", json={"points": 4, "reason": "mug"})
        redemption = spent.json()["transaction"]["id"]
        path = f"/v1/loyalty/redemptions/{redemption}/reversal"
        response = await client.post(path, json={"reason": "broken"})
        assert response.status_code == 201
        assert response.json()["transaction"]["reverses_id"] == redemption
        assert response.json()["account"]["available"] == 10
        again = await client.post(path)
        assert (again.status_code, again.json()["code"]) == (409, "already_reversed")

    async def test_only_redemptions(self, client):
        response = await client.post(f"/v1/loyalty/redemptions/{uuid4()}/reversal", json={})
        assert response.status_code == 404


class TestAdjustments:
    async def test_gives_and_takes(self, client, accounts):
        customer = await customer_with(client, 10)
        response = await client.post(f"{accounts}/{customer}/adjustments", json={"points": -4, "reason": "mistake"})
        assert (response.status_code, response.json()["account"]["available"]) == (201, 6)
        response = await client.post(f"{accounts}/{customer}/adjustments", json={"points": -7, "reason": "mistake"})
        assert (response.status_code, response.json()["code"]) == (409, "insufficient_balance")

    async def test_is_on_the_timeline(self, client):
        customer = await customer_with(client, 10)
        entries = (await client.get(f"/v1/customers/{customer}/timeline?kind=points")).json()["data"]
        assert [(e["kind"], e["title"], e["data"]["points"]) for e in entries] == [("points", "welcome", 10)]
