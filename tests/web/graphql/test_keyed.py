"""Idempotency-Key on mutations: one effect and one answer, as over REST."""

import asyncio

import asyncpg
import pytest
import pytest_asyncio

from crm_api.db.uow import UnitOfWork
from crm_api.loyalty.service import LoyaltyService

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

MODERN = "application/graphql-response+json"
REDEEM = """mutation Redeem($input: LoyaltyRedeemInput!) {
  loyaltyRedeem(input: $input) { entry { id points } userErrors { code path } } }"""
ADJUST = """mutation($input: LoyaltyAdjustInput!) { loyaltyAdjust(input: $input) { userErrors { code } } }"""
CREATE = """mutation($name: String!) { customerCreate(input: {name: $name}) { customer { id } userErrors { code } } }"""


async def send(client, query, key=None, accept=MODERN, *, extra=None, **variables):
    headers = {"accept": accept} | ({} if key is None else {"idempotency-key": key})
    body = {"query": query, "variables": variables, **(extra or {})}
    return await client.post("/graphql", json=body, headers=headers)


def code(answer):
    return answer.json()["errors"][0]["extensions"]["code"]


@pytest_asyncio.fixture
async def customer(client):
    made = (await client.post("/v1/customers", json={"name": "王小明"})).json()["id"]
    given = await send(client, ADJUST, input={"id": f"Customer:{made}", "points": 10, "reason": "welcome"})
    assert given.json()["data"]["loyaltyAdjust"]["userErrors"] == []
    return f"Customer:{made}"


@pytest.fixture
def redeem(client, customer):
    async def redeem(key="once", points=4, **how):
        return await send(client, REDEEM, key, input={"id": customer, "points": points, "reason": "mug"}, **how)

    return redeem


@pytest.fixture
def available(client, customer):
    async def available():
        text = "query($id: ID!) { loyaltyAccount(customerId: $id) { available } }"
        return (await send(client, text, id=customer)).json()["data"]["loyaltyAccount"]["available"]

    return available


async def test_twice_is_once(redeem, available):
    first, second = await redeem(), await redeem()

    assert first.json()["data"]["loyaltyRedeem"]["entry"]["points"] == -4
    assert (second.status_code, second.content) == (200, first.content)
    assert second.headers["content-type"] == first.headers["content-type"]
    assert ["idempotency-replayed" in each.headers for each in (first, second)] == [False, True]
    assert await available() == 6


async def test_without_a_key_twice_is_twice(redeem, available):
    await redeem(None)
    await redeem(None)

    assert await available() == 2


async def test_at_the_same_time(redeem, available):
    answers = await asyncio.gather(*(redeem() for _ in range(8)))

    assert {each.status_code for each in answers} == {200}
    assert len({each.content for each in answers}) == 1
    assert sorted("idempotency-replayed" in each.headers for each in answers) == [False] + [True] * 7
    assert await available() == 6


@pytest.mark.parametrize(("accept", "status"), [(MODERN, 400), ("application/json", 200)])
async def test_another_request(redeem, available, accept, status):
    await redeem()
    answer = await redeem(points=3, accept=accept)

    assert (answer.status_code, code(answer)) == (status, "idempotency_key_reused")
    assert "data" not in answer.json()
    assert await available() == 6


async def test_the_document_is_part_of_the_request(client, redeem, customer):
    await redeem()
    answer = await send(
        client, REDEEM.replace("entry { id points }", ""), "once", input={"id": customer, "points": 4, "reason": "mug"}
    )

    assert code(answer) == "idempotency_key_reused"


async def test_order_of_variables_name_and_media_type_are_not(client, redeem, customer):
    first = await redeem()
    answer = await send(
        client,
        REDEEM,
        "once",
        accept="application/json",
        extra={"operationName": "Redeem", "extensions": {"client": "2"}},
        input={"reason": "mug", "points": 4, "id": customer},
    )

    assert answer.content == first.content
    assert answer.headers["idempotency-replayed"] == "true"
    assert answer.headers["content-type"].startswith("application/json")


async def test_what_was_refused_is_not_remembered(redeem, client, customer, available):
    for _ in range(2):
        refused = await redeem(points=11)
        assert refused.json()["data"]["loyaltyRedeem"]["userErrors"][0]["code"] == "insufficient_balance"
        assert "idempotency-replayed" not in refused.headers
    await send(client, ADJUST, input={"id": customer, "points": 5, "reason": "more"})
    done = await redeem(points=11)

    assert done.json()["data"]["loyaltyRedeem"]["userErrors"] == []
    assert (await redeem(points=11)).content == done.content
    assert await available() == 4


async def test_a_refusal_names_the_field_as_without_a_key(redeem):
    assert (await redeem(points=0)).content == (await redeem(None, points=0)).content


async def test_a_fault_is_undone_and_not_remembered(redeem, available, monkeypatch):
    with monkeypatch.context() as patch:

        async def broken(*_args, **_how):
            raise RuntimeError("secret detail")

        patch.setattr(UnitOfWork, "fetch_plan", broken)  # after the work, when the answer is read
        answer = await redeem()
        assert code(answer) == "internal_error"
        assert "secret" not in answer.text
    assert await available() == 10
    assert "idempotency-replayed" not in (await redeem()).headers
    assert await available() == 6


async def test_a_commit_that_fails_is_answered_and_not_remembered(redeem, available, monkeypatch):
    with monkeypatch.context() as patch:

        async def gone(_self):
            raise ConnectionResetError

        patch.setattr(UnitOfWork, "flush", gone)
        answer = await redeem()
        assert (answer.status_code, code(answer)) == (503, "database_unavailable")
        assert answer.headers["retry-after"]
    assert await available() == 10
    assert (await redeem()).json()["data"]["loyaltyRedeem"]["userErrors"] == []


async def test_a_lost_race_runs_again_with_its_key(redeem, available, monkeypatch):
    original, runs = LoyaltyService.redeem, []

    async def unlucky(self, *args, **how):
        runs.append(await original(self, *args, **how))
        if len(runs) < 3:
            raise asyncpg.SerializationError("could not serialize access")
        return runs[-1]

    monkeypatch.setattr(LoyaltyService, "redeem", unlucky)
    first = await redeem()

    assert first.json()["data"]["loyaltyRedeem"]["userErrors"] == []
    assert len(runs) == 3
    assert (await redeem()).content == first.content
    assert await available() == 6


async def test_one_mutation_a_request(client):
    two = 'mutation { a: customerCreate(input: {name: "a"}) { userErrors { code } } ...B }'
    two += ' fragment B on Mutation { b: customerCreate(input: {name: "b"}) { userErrors { code } } }'
    refused = await send(client, two, "once")

    assert (refused.status_code, code(refused)) == (400, "idempotency_one_mutation")
    assert (await client.get("/v1/customers?count=exact")).json()["page"]["total"] == 0
    assert "errors" not in (await send(client, two)).json()
    left_out = 'mutation($yes: Boolean!) { __typename a: customerCreate(input: {name: "a"}) { userErrors { code } }'
    left_out += ' b: customerCreate(input: {name: "b"}) @include(if: $yes) { userErrors { code } } }'
    assert "errors" not in (await send(client, left_out, "other", yes=False)).json()


@pytest.mark.parametrize(
    ("key", "said"),
    [("", "too_short"), ("x" * 256, "too_long"), ("with space", "bad_format"), ("schlüssel", "bad_format")],
)
async def test_keys_are_checked_as_over_rest(client, key, said):
    headers = {"idempotency-key": key.encode()}
    rest = await client.post("/v1/customers", json={"name": "x"}, headers=headers)
    answer = await client.post(
        "/graphql", json={"query": CREATE, "variables": {"name": "x"}}, headers={**headers, "accept": MODERN}
    )

    assert (answer.status_code, code(answer)) == (400, rest.json()["code"])
    assert answer.json()["errors"][0]["extensions"]["errors"] == rest.json()["errors"]
    assert [(each["pointer"], each["code"]) for each in rest.json()["errors"]] == [("/header/idempotency-key", said)]
    assert (await client.get("/v1/customers?count=exact")).json()["page"]["total"] == 0


async def test_rest_and_graphql_are_different_requests(client):
    created = await client.post("/v1/customers", json={"name": "x"}, headers={"idempotency-key": "k1"})
    assert created.status_code == 201
    assert code(await send(client, CREATE, "k1", name="x")) == "idempotency_key_reused"

    await send(client, CREATE, "k2", name="x")
    answer = await client.post("/v1/customers", json={"name": "x"}, headers={"idempotency-key": "k2"})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


async def test_queries_need_none(client):
    for name in ("{ __typename }", "{ customers { totalCount } }"):
        answer = await send(client, name, "with space")
        assert (answer.status_code, "errors" in answer.json()) == (200, False)
        assert "idempotency-replayed" not in answer.headers
