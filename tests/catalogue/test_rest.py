"""Products over REST."""

import pytest

from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

SHRIMP = {
    "sku": "S-1",
    "name": "青岛大虾 500g",
    "category": " 海鲜 / 虾 ",
    "brand": "渔港",
    "price": {"amount": 12_800, "currency": "CNY"},
    "new_arrival_on": "2026-11-01",
}


async def create(client, **fields):
    response = await client.post("/v1/products", json={**SHRIMP, **fields})
    assert response.status_code == 201, response.text
    return response.json()


class TestCreate:
    async def test_answers_with_what_was_stored(self, client):
        response = await client.post("/v1/products", json=SHRIMP)
        body = response.json()
        assert response.status_code == 201
        assert {name: body[name] for name in SHRIMP} == {**SHRIMP, "category": "海鲜/虾"}
        assert body["active"] is True
        assert (await client.get(response.headers["location"])).json() == body

    async def test_sku_is_unique_within_the_tenant(self, app, client, other_tenant):
        await create(client)
        again = await client.post("/v1/products", json=SHRIMP)
        assert (again.status_code, again.json()["errors"][0]["pointer"]) == (409, "/sku")
        async with client_of(app, other_tenant.key) as stranger:
            assert (await stranger.post("/v1/products", json=SHRIMP)).status_code == 201

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"sku": "a b"}, "/sku"),
            ({"name": ""}, "/name"),
            ({"category": "海鲜//虾"}, "/category"),
            ({"price": {"amount": -1, "currency": "CNY"}}, "/price/amount"),
            ({"new_arrival_on": "2026-02-30"}, "/new_arrival_on"),
            ({"colour": "red"}, "/colour"),
        ],
    )
    async def test_names_the_wrong_field(self, client, changes, pointer):
        response = await client.post("/v1/products", json={**SHRIMP, **changes})
        assert response.status_code == 422
        assert [each["pointer"] for each in response.json()["errors"]] == [pointer]


class TestUpdate:
    async def test_changes_what_is_given_and_clears_with_null(self, client):
        product = await create(client)
        response = await client.patch(
            f"/v1/products/{product['id']}", json={"price": None, "active": False}, headers={"if-match": '"1"'}
        )
        assert response.status_code == 200, response.text
        assert response.json() | {"updated_at": ""} == product | {
            "price": None,
            "active": False,
            "version": 2,
            "updated_at": "",
        }
        stale = await client.patch(f"/v1/products/{product['id']}", json={"name": "x"}, headers={"if-match": '"1"'})
        assert stale.status_code == 412

    async def test_sku_may_not_become_anothers(self, client):
        await create(client)
        other = await create(client, sku="S-2")
        assert (await client.patch(f"/v1/products/{other['id']}", json={"sku": "S-1"})).status_code == 409


class TestList:
    async def test_filters(self, client):
        for sku, category in [("1", "海鲜"), ("2", "海鲜/虾"), ("3", "海鲜0"), ("4", "海"), ("5", None)]:
            await create(client, sku=sku, category=category, active=sku != "2")

        async def skus(query):
            return [each["sku"] for each in (await client.get(f"/v1/products?{query}")).json()["data"]]

        assert await skus("") == ["5", "4", "3", "2", "1"]
        assert await skus("category=海鲜") == ["2", "1"]
        assert await skus("active=false") == ["2"]
        assert await skus("sku=4") == ["4"]
        assert await skus("brand=渔港&limit=1") == ["5"]
