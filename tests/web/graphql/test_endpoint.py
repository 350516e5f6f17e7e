"""``/graphql`` over HTTP: methods, media types, status codes, malformed requests."""

import httpx
import orjson
import pytest
import pytest_asyncio
from starlette.applications import Starlette

from crm_api.core.errors import Unauthenticated, Unavailable
from crm_api.web.graphql import endpoint as module
from crm_api.web.graphql.endpoint import GraphQLEndpoint, accepted, graphql_routes
from crm_api.web.pages import page_routes
from tests.support import zoo

pytestmark = [pytest.mark.asyncio, pytest.mark.database, pytest.mark.edge]

MODERN = "application/graphql-response+json"
QUERY = "{ keepers(first: 1) { nodes { name } } }"
DATA = {"keepers": {"nodes": [{"name": "k23"}]}}


@pytest_asyncio.fixture
async def http(engine, zoo_database, monkeypatch):
    async def known(request):
        if request.headers.get("authorization") == "nobody":
            raise Unauthenticated
        if request.headers.get("authorization") == "away":
            raise Unavailable
        return zoo.actor()

    monkeypatch.setattr(module, "authenticate", known)
    app = Starlette(routes=[*graphql_routes(GraphQLEndpoint(engine)), *page_routes()])
    app.state.db = zoo_database
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def post(http, body, accept=None, **headers):
    sent = {"content-type": "application/json", "accept": accept or "*/*", **headers}
    content = body if isinstance(body, (bytes, str)) else orjson.dumps(body)
    return await http.post("/graphql", content=content, headers=sent)


class TestMediaTypes:
    @pytest.mark.parametrize(
        ("accept", "answer"),
        [
            ("", "application/json"),
            ("*/*", "application/json"),
            ("application/*", "application/json"),
            ("application/json", "application/json"),
            ("application/json; charset=utf-8", "application/json"),
            (MODERN, MODERN),
            (f"{MODERN}; charset=utf-8, application/json; q=0.9", MODERN),
            (f"application/json; q=0.9, {MODERN}", MODERN),
            (f"application/json, {MODERN}; q=0.5", "application/json"),
            (f"application/json, {MODERN}", "application/json"),
            ("text/plain, */*; q=0.1", "application/json"),
            ("text/plain", None),
            (f"{MODERN}; charset=iso-8859-1", None),
            ("application/json; q=0", None),
            ("application/json; q=high", None),
            ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ],
    )
    async def test_negotiation(self, accept, answer):
        assert accepted(accept) == answer

    @pytest.mark.parametrize("accept", ["application/json", MODERN])
    async def test_the_answer_says_what_it_is(self, http, accept):
        answer = await post(http, {"query": QUERY}, accept)

        assert (answer.status_code, answer.headers["content-type"]) == (200, f"{accept}; charset=utf-8")
        assert answer.json() == {"data": DATA}

    async def test_nothing_acceptable(self, http):
        answer = await post(http, {"query": QUERY}, "image/png")

        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (406, "not_acceptable")


class TestStatus:
    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("{", "graphql_parse_failed"),
            ("", "graphql_parse_failed"),
            ("{ nothing }", "graphql_validation_failed"),
            ("query A { __typename } query B { __typename }", "bad_request"),
            ("query($n: Int!) { keepers(first: $n) { totalCount } }", "bad_request"),
            ("fragment F on Query { __typename }", "graphql_validation_failed"),
            ("subscription { x }", "graphql_validation_failed"),
            ("{ a " * 30 + "}" * 30, "graphql_limit_exceeded"),
        ],
    )
    async def test_what_cannot_run(self, http, query, code):
        modern, legacy = [await post(http, {"query": query}, accept) for accept in (MODERN, "application/json")]

        assert (modern.status_code, legacy.status_code) == (400, 200)
        assert modern.json() == legacy.json()
        assert "data" not in modern.json()
        assert modern.json()["errors"][0]["extensions"]["code"] == code

    @pytest.mark.parametrize("accept", [MODERN, "application/json"])
    async def test_a_field_that_fails_is_part_of_an_answer(self, http, accept):
        answer = await post(http, {"query": '{ keeper(id: "x") { name } t: __typename }'}, accept)

        assert answer.status_code == 200
        assert answer.json()["data"] == {"keeper": None, "t": "Query"}

    @pytest.mark.parametrize("accept", [MODERN, "application/json"])
    async def test_who_is_not_known_gets_401(self, http, accept):
        answer = await post(http, {"query": QUERY}, accept, authorization="nobody")

        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["errors"][0]["extensions"]["code"] == "unauthenticated"

    async def test_a_database_that_is_away_is_503_with_retry_after(self, http):
        answer = await post(http, {"query": QUERY}, authorization="away")

        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")

    async def test_it_is_503_too_when_the_database_goes_away_later(self, http, monkeypatch):
        async def refused(*_args):
            raise ConnectionRefusedError

        monkeypatch.setattr(zoo.CountingUnit, "fetch_plan", refused)
        answer = await post(http, {"query": QUERY})

        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert answer.json()["errors"][0]["extensions"]["code"] == "database_unavailable"

    @pytest.mark.parametrize("accept", [MODERN, "application/json"])
    async def test_a_fault_of_ours_is_masked(self, http, monkeypatch, accept):
        async def broken(*_args):
            raise RuntimeError("secret detail")

        monkeypatch.setattr(zoo.CountingUnit, "fetch_plan", broken)
        answer = await post(http, {"query": QUERY}, accept)

        assert answer.status_code == 500
        assert answer.json()["errors"] == [{"message": "Internal error", "extensions": {"code": "internal_error"}}]


class TestRequests:
    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 400),
            (b"{", 400),
            (b"[]", 400),
            (b"null", 400),
            (b'"{ __typename }"', 400),
            (b"\xff\xfe", 400),
            (b'{"query": "\\ud800"}', 400),
            (b"[" * 5000 + b"]" * 5000, 400),
            (b"{}", 400),
            (b'{"query": 7}', 400),
            (b'{"query": null}', 400),
            (b'{"query": ["{ __typename }"]}', 400),
            (b'{"query": "{ __typename }", "variables": []}', 400),
            (b'{"query": "{ __typename }", "variables": "x"}', 400),
            (b'{"query": "{ __typename }", "operationName": 1}', 400),
            (b'{"query": "{ __typename }", "extensions": "x"}', 400),
            (b'{"query": "{ __typename }", "operationName": "Other"}', 200),
            (b'{"query": "{ __typename }", "variables": null, "operationName": null, "extensions": null}', 200),
            (b'{"query": "{ __typename }", "variables": {"unused": 1}, "more": 1}', 200),
        ],
    )
    async def test_bodies(self, http, body, status):
        answer = await post(http, body)

        assert answer.status_code == status
        assert ("errors" in answer.json()) is (status == 400 or b"Other" in body)

    @pytest.mark.parametrize(
        "kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=latin1"]
    )
    async def test_only_json_is_taken(self, http, kind):
        answer = await post(http, {"query": QUERY}, **{"content-type": kind})

        assert answer.status_code == 415

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
    async def test_other_methods(self, http, method):
        assert (await http.request(method, "/graphql")).status_code == 405

    async def test_get(self, http):
        params = {"query": "query($n: Int) { keepers(first: $n) { nodes { name } } }", "variables": '{"n": 1}'}
        answer = await http.get("/graphql", params=params, headers={"accept": MODERN})

        assert (answer.status_code, answer.json()) == (200, {"data": DATA})

    @pytest.mark.parametrize("params", [{}, {"query": QUERY, "variables": "{"}, {"query": QUERY, "variables": "[]"}])
    async def test_get_badly(self, http, params):
        assert (await http.get("/graphql", params=params)).status_code == 400

    async def test_get_does_not_change_anything(self, http):
        query = 'mutation { hireKeeper(input: {name: "taken"}) { note } }'
        answer = await http.get("/graphql", params={"query": query})

        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert "data" not in answer.json()


class TestPages:
    async def test_browsers_get_graphiql(self, http):
        answer = await http.get("/graphql", headers={"accept": "text/html"})

        assert answer.headers["content-type"].startswith("text/html")
        assert "graphiql" in answer.text

    @pytest.mark.parametrize("path", ["/graphql", "/docs"])
    async def test_every_asset_comes_from_here(self, http, path):
        page = (await http.get(path, headers={"accept": "text/html"})).text

        assert "//" not in page
        links = [part.split('"')[0] for part in page.replace('href="', 'src="').split('src="')[1:]]
        assets = [link for link in links if not link.startswith("data:")]
        assert len(assets) >= 4
        for link in assets:
            packed = await http.get(link, headers={"accept-encoding": "gzip"})
            plain = await http.get(link, headers={"accept-encoding": "identity"})
            assert packed.status_code == plain.status_code == 200
            assert packed.headers["content-encoding"] == "gzip"
            assert "content-encoding" not in plain.headers
            assert packed.content == plain.content
            assert "immutable" in plain.headers["cache-control"]

    @pytest.mark.parametrize("name", ["README.md", "..%2fpages.py", "nothing.js"])
    async def test_nothing_else_is_served(self, http, name):
        assert (await http.get(f"/static/{name}")).status_code == 404
