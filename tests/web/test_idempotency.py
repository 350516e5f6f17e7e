"""Idempotency-Key: one effect, whatever clients and networks do."""

import asyncio

import asyncpg
import pytest

from crm_api.customers.service import CustomerService
from tests.support.api import client_of, make_tenant

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


async def total(client):
    return (await client.get("/v1/customers?count=exact")).json()["page"]["total"]


async def create(client, key="k1", name="王小明"):
    return await client.post("/v1/customers", json={"name": name}, headers={"idempotency-key": key})


async def move_back(settings, tenant, hours):
    owner = await asyncpg.connect(settings.database_url)
    await owner.execute(
        "UPDATE idempotency_keys SET created_at = created_at - make_interval(hours => $2) WHERE tenant_id = $1",
        tenant.id,
        hours,
    )
    await owner.close()


async def test_at_the_same_time(client):
    answers = await asyncio.gather(*(create(client) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sorted("idempotency-replayed" in answer.headers for answer in answers) == [False] + [True] * 7
    assert await total(client) == 1


async def test_another_request_at_the_same_time(client):
    answers = await asyncio.gather(*(create(client, name=f"n{number}") for number in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 5
    assert await total(client) == 1


async def test_is_kept_for_a_day(client, settings, tenant):
    first = await create(client)
    await move_back(settings, tenant, 23)
    assert (await create(client)).content == first.content
    await move_back(settings, tenant, 2)
    later = await create(client)
    assert later.status_code == 201
    assert later.json()["id"] != first.json()["id"]
    assert await total(client) == 2


async def test_after_a_day_the_key_serves_another_request(client, settings, tenant):
    await create(client)
    await move_back(settings, tenant, 25)
    assert (await create(client, name="other")).status_code == 201


async def test_two_callers_may_use_the_same_key(client, app, settings):
    other = await make_tenant(settings)
    async with client_of(app, other.key) as theirs:
        mine, yours = await create(client), await create(theirs)
    assert mine.json()["id"] != yours.json()["id"]
    assert "idempotency-replayed" not in yours.headers


async def test_the_path_is_part_of_the_request(client):
    await create(client)
    answer = await client.post("/v1/stores", json={"name": "王小明"}, headers={"idempotency-key": "k1"})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("status", [404, 409, 422])
async def test_refusals_are_not_remembered(client, status):
    body = {
        404: {"name": "x", "owner_id": None, "identities": [], "nothing": 1},
        409: {"name": "x", "identities": [{"platform": "p", "external_id": "1"}]},
        422: {"name": ""},
    }[status]
    if status == 409:
        await client.post("/v1/customers", json=body)
    refused = await client.post("/v1/customers", json=body, headers={"idempotency-key": "k"})
    assert 400 <= refused.status_code < 500
    assert (await create(client, "k")).status_code == 201


async def test_replays_have_the_same_headers(client):
    first, second = await create(client), await create(client)
    for name in ("etag", "location", "content-type"):
        assert first.headers[name] == second.headers[name]
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def test_a_deletion_is_replayed(client):
    path = f"/v1/customers/{(await create(client)).json()['id']}"
    answers = [await client.delete(path, headers={"idempotency-key": "d"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 204]


async def test_a_lost_race_runs_again_with_its_key(client, monkeypatch):
    original, runs = CustomerService.create, []

    async def unlucky(self, data, **how):
        made = await original(self, data, **how)
        runs.append(made)
        if len(runs) < 3:
            raise asyncpg.SerializationError("could not serialize access")
        return made

    monkeypatch.setattr(CustomerService, "create", unlucky)
    answer = await create(client)
    assert answer.status_code == 201
    assert answer.json()["id"] == str(runs[-1])
    assert len(runs) == 3
    assert await total(client) == 1
    assert (await create(client)).headers["idempotency-replayed"] == "true"
