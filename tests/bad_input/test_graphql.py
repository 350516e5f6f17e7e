"""Bad GraphQL requests: a coded error or a user error that names the argument, and nothing changed."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.bad_input.test_corpus import CHINESE, check_unchanged
from tests.bad_input.world import shown

pytestmark = pytest.mark.edge

MODERN = "application/graphql-response+json"
JSON = {"content-type": "application/json"}
CREATE = (
    "mutation($input: CustomerCreateInput!) "
    "{ customerCreate(input: $input) { customer { id } userErrors { code path message } } }"
)
UPDATE = (
    "mutation($input: CustomerUpdateInput!) "
    "{ customerUpdate(input: $input) { customer { id } userErrors { code path message } } }"
)
REDEEM = "mutation($input: LoyaltyRedeemInput!) { loyaltyRedeem(input: $input) { userErrors { code path message } } }"
SEGMENT = "mutation($input: SegmentCreateInput!) { segmentCreate(input: $input) { userErrors { code path message } } }"


@dataclass(frozen=True)
class Call:
    """A GraphQL request that must be refused as a whole."""

    name: str
    body: Any
    status: int
    code: str
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON))


@dataclass(frozen=True)
class Mutation:
    """A mutation whose payload must name what is wrong."""

    name: str
    query: str
    input: dict[str, Any]
    code: str
    path: tuple[str, ...] | None


def _query(name: str, query: Any, code: str, status: int = 400, **variables: Any) -> Call:
    return Call(name, {"query": query, "variables": variables}, status, code)


CALLS = [
    Call("empty", b"", 400, "malformed_body"),
    Call("no JSON", b"{", 400, "malformed_body"),
    Call("invalid UTF-8", b'{"query": "\xff"}', 400, "malformed_body"),
    Call("a list", b"[]", 400, "malformed_body"),
    Call("a batch", [{"query": "{ __typename }"}], 400, "malformed_body"),
    Call("null", b"null", 400, "malformed_body"),
    Call("100,000 levels", b'{"query": "{ __typename }", "variables": {"a": ' + b"[" * 100_000, 400, "too_deep"),
    Call(
        "66 levels", b'{"query": "{ __typename }", "variables": {"a": ' + b"[" * 66 + b"]" * 66 + b"}}", 400, "too_deep"
    ),
    Call("lone surrogate", rb'{"query": "{ node(id: \"\ud800\") { id } }"}', 400, "malformed_body"),
    Call("NaN", b'{"query": "{ __typename }", "variables": {"a": NaN}}', 400, "malformed_body"),
    Call("query twice", b'{"query": "{ a }", "query": "{ __typename }"}', 400, "duplicate_key"),
    Call(
        "NUL in a variable",
        rb'{"query": "query($a: String) { customers(q: $a) { nodes { id } } }", "variables": {"a": "\u0000"}}',
        422,
        "invalid",
    ),
    Call("no query", {}, 400, "bad_request"),
    Call("query is a number", {"query": 1}, 400, "bad_request"),
    Call("query is null", {"query": None}, 400, "bad_request"),
    Call("variables are a list", {"query": "{ __typename }", "variables": []}, 400, "bad_request"),
    Call("variables are text", {"query": "{ __typename }", "variables": "{}"}, 400, "bad_request"),
    Call("extensions are text", {"query": "{ __typename }", "extensions": "x"}, 400, "bad_request"),
    Call("operationName is a number", {"query": "{ __typename }", "operationName": 1}, 400, "bad_request"),
    Call(
        "content-type: text", {"query": "{ __typename }"}, 415, "unsupported_media_type", {"content-type": "text/plain"}
    ),
    Call("content-type: none", {"query": "{ __typename }"}, 415, "unsupported_media_type", {}),
    Call(
        "content-type: graphql",
        b"{ __typename }",
        415,
        "unsupported_media_type",
        {"content-type": "application/graphql"},
    ),
    Call(
        "charset",
        {"query": "{ __typename }"},
        415,
        "unsupported_media_type",
        {"content-type": "application/json; charset=gbk"},
    ),
    _query("empty document", "", "graphql_parse_failed"),
    _query("a comment", "# nothing", "graphql_parse_failed"),
    _query("cut short", "{ customers {", "graphql_parse_failed"),
    _query("unknown field", "{ dreams { id } }", "graphql_validation_failed"),
    _query("unknown argument", "{ customers(page: 2) { nodes { id } } }", "graphql_validation_failed"),
    _query("unknown fragment", "{ customers { nodes { ...Nobody } } }", "graphql_validation_failed"),
    _query(
        "fragment of itself",
        "{ customers { nodes { ...A } } } fragment A on Customer { id ...A }",
        "graphql_validation_failed",
    ),
    _query("no selection", "{ customers }", "graphql_validation_failed"),
    _query("selection of a leaf", "{ customers { nodes { id { x } } } }", "graphql_validation_failed"),
    _query("undeclared variable", "{ customers(first: $n) { nodes { id } } }", "graphql_validation_failed"),
    _query("literal of the wrong type", '{ customers(first: "ten") { nodes { id } } }', "graphql_validation_failed"),
    _query("unknown choice", "{ customers(kind: GHOST) { nodes { id } } }", "graphql_validation_failed"),
    _query(
        "integer beyond 32 bits",
        "{ customers(first: 9223372036854775808) { nodes { id } } }",
        "graphql_limit_exceeded",
    ),
    _query("subscription", "subscription { customers { nodes { id } } }", "graphql_validation_failed"),
    _query("two operations, none named", "query A { __typename } query B { __typename }", "bad_request"),
    Call("operation that is not there", {"query": "query A { __typename }", "operationName": "B"}, 400, "bad_request"),
    _query("variable missing", "query($id: ID!) { customer(id: $id) { id } }", "bad_request"),
    _query(
        "variable of the wrong type", "query($n: Int) { customers(first: $n) { nodes { id } } }", "bad_request", n="ten"
    ),
    _query("variable 1.5", "query($n: Int) { customers(first: $n) { nodes { id } } }", "bad_request", n=1.5),
    _query(
        "too deep",
        "{ customers " + "{ nodes { orders " * 10 + "{ nodes { id } }" + "} }" * 10 + " }",
        "graphql_limit_exceeded",
    ),
    _query("too many aliases", "{" + " ".join(f"a{n}: __typename" for n in range(60)) + "}", "graphql_limit_exceeded"),
    _query("too many tokens", "{" + " __typename" * 6000 + "}", "graphql_parse_failed"),
    _query(
        "too costly",
        "{ customers(first: 100) { nodes { orders(first: 100) { nodes { refunds { id } lines { id title } } } } } }",
        "graphql_limit_exceeded",
    ),
]
MUTATIONS = [
    Mutation("name empty", CREATE, {"name": ""}, "too_short", ("input", "name")),
    Mutation(
        "impossible birthday",
        CREATE,
        {"name": "x", "birthday": {"month": 2, "day": 30}},
        "invalid_value",
        ("input", "birthday"),
    ),
    Mutation(
        "bad phone",
        CREATE,
        {"name": "x", "contactPoints": [{"kind": "MOBILE", "value": "12"}]},
        "invalid_phone",
        ("input", "contactPoints", "0", "value"),
    ),
    Mutation("customer nobody has", UPDATE, {"id": "Customer:{missing}", "notes": "x"}, "not_found", None),
    Mutation("another shop's customer", UPDATE, {"id": "Customer:{foreign}", "notes": "x"}, "not_found", None),
    Mutation("a segment's id", UPDATE, {"id": "Segment:{customer}", "notes": "x"}, "invalid_id", ("input", "id")),
    Mutation(
        "an owner who is a customer",
        CREATE,
        {"name": "x", "ownerId": "Customer:{customer}"},
        "invalid_id",
        ("input", "ownerId"),
    ),
    Mutation(
        "old version",
        UPDATE,
        {"id": "Customer:{customer}", "notes": "x", "expectedVersion": 7},
        "precondition_failed",
        None,
    ),
    Mutation(
        "no points",
        REDEEM,
        {"id": "Customer:{customer}", "points": 0, "reason": "x"},
        "out_of_range",
        ("input", "points"),
    ),
    Mutation(
        "too many points",
        REDEEM,
        {"id": "Customer:{customer}", "points": 10**6, "reason": "x"},
        "insufficient_balance",
        ("input", "points"),
    ),
    Mutation(
        "rule without sense",
        SEGMENT,
        {"name": "new", "rule": {"field": "dreams", "op": "eq", "value": 1}},
        "rule_field_unknown",
        ("input", "rule", "field"),
    ),
    Mutation(
        "segment twice",
        SEGMENT,
        {"name": "上海", "rule": {"field": "city", "op": "eq", "value": "上海"}},
        "duplicate",
        ("input", "name"),
    ),
]


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.database
class TestGraphQL:
    @pytest.mark.parametrize("case", CALLS, ids=lambda case: case.name)
    async def test_call(self, shop, case):
        body = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()
        answer = await shop.client.post("/graphql", content=body, headers={"accept": MODERN, **case.headers})
        assert answer.status_code == case.status, shown(answer)
        [error] = answer.json()["errors"][:1]
        assert error["extensions"]["code"] == case.code, shown(answer)
        assert error["message"]
        await check_unchanged(shop)
        if case.code.startswith("graphql_") or "operation" in case.name or "variable" in case.name:
            return  # told by graphql-core, in English
        headers = {"accept": MODERN, "accept-language": "zh", **case.headers}
        answer = await shop.client.post("/graphql", content=body, headers=headers)
        assert CHINESE.search(answer.json()["errors"][0]["message"])

    @pytest.mark.parametrize("case", MUTATIONS, ids=lambda case: case.name)
    async def test_mutation(self, shop, case):
        given = json.loads(shop.fill(json.dumps(case.input)))
        for language in ("en", "zh"):
            answer = await shop.client.post(
                "/graphql",
                json={"query": case.query, "variables": {"input": given}},
                headers={"accept-language": language},
            )
            assert answer.status_code == 200, shown(answer)
            assert "errors" not in answer.json(), shown(answer)
            [payload] = answer.json()["data"].values()
            [error] = payload["userErrors"]
            assert error["code"] == case.code
            assert (None if error["path"] is None else tuple(error["path"])) == case.path
            assert bool(CHINESE.search(error["message"])) == (language == "zh")
        await check_unchanged(shop)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "x",
            "Customer:",
            ":",
            "Customer:x",
            "Dream:{customer}",
            "{customer}",
            "Customer:{missing}",
            "Order:{customer}",
            "Q3VzdG9tZXI6MQ==",
            "Customer:{foreign}",
            "Customer:{customer}\n",
        ],
    )
    async def test_ids_of_nothing(self, shop, text):
        query = "query($id: ID!) { node(id: $id) { id } customer(id: $id) { id } }"
        answer = await shop.client.post("/graphql", json={"query": query, "variables": {"id": shop.fill(text)}})
        body = answer.json()
        if body.get("data"):
            assert body["data"]["customer"] is None
            assert body["data"]["node"] is None
        else:
            assert body["errors"][0]["extensions"]["code"] in {
                "bad_request",
                "invalid",
                "not_found",
                "bad_id",
                "invalid_id",
            }, body
        await check_unchanged(shop)

    @pytest.mark.parametrize("header", [None, "", "Bearer x", "Basic x"])
    async def test_strangers(self, shop, header):
        request = shop.client.build_request("POST", "/graphql", json={"query": "{ __typename }"})
        del request.headers["authorization"]
        if header is not None:
            request.headers["authorization"] = header
        answer = await shop.client.send(request)
        assert answer.status_code == 401
        assert answer.json()["errors"][0]["extensions"]["code"] == "unauthenticated"

    async def test_a_get_changes_nothing(self, shop):
        query = 'mutation { customerCreate(input: {name: "x"}) { customer { id } } }'
        answer = await shop.client.get("/graphql", params={"query": query})
        assert answer.status_code == 405
        assert answer.headers["allow"] == "POST"
        await check_unchanged(shop)
