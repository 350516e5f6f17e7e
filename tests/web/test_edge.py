"""Problems, languages, request ids, versions, limits: what holds for every request."""

import io
import sys
from uuid import uuid4

import asyncpg
import httpx
import pytest

from crm_api import admin
from crm_api.core.errors import CrmError
from crm_api.settings import Settings
from crm_api.web.problems import locale_of
from tests.bad_input.corpus.operations import filled, operations
from tests.support.api import application, client_of

pytestmark = pytest.mark.edge


class TestLanguage:
    @pytest.mark.parametrize(
        ("header", "wanted"),
        [
            ("", "en"),
            ("zh", "zh"),
            ("zh-CN", "zh"),
            ("zh-Hant-TW", "zh"),
            ("ZH-cn", "zh"),
            ("zh-CN,en;q=0.5", "zh"),
            ("en;q=0.5,zh;q=0.9", "zh"),
            ("en,zh", "en"),
            ("zh;q=0.1,en;q=0.2", "en"),
            ("fr,de", "en"),
            ("fr,zh;q=0.1", "zh"),
            ("zh;q=0", "en"),
            ("*", "en"),
            ("zh;q=much", "en"),
            ("zh;q=NaN", "en"),
            (";;;,,,=", "en"),
            (",".join(["fr"] * 10_000), "en"),
            ("zh;q=0.8;level=1", "zh"),
        ],
    )
    def test_the_better_of_two(self, header, wanted):
        assert locale_of(header) == wanted

    @pytest.mark.asyncio
    @pytest.mark.database
    @pytest.mark.parametrize("header", ["x" * 9000, "\x00", "zh;q=" + "9" * 5000, "中文", "q=1"])
    async def test_nonsense_changes_nothing_but_the_language(self, client, header):
        answer = await client.get("/v1/customers", headers={b"accept-language": header.encode()})
        assert answer.status_code == 200


def _tree(kind):
    for each in kind.__subclasses__():
        yield each
        yield from _tree(each)


@pytest.mark.parametrize("kind", [CrmError, *_tree(CrmError)], ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_error_speaks_both_languages(kind):
    assert set(kind.title) == {"en", "zh"}
    assert kind.code
    assert kind.title["en"].isascii() or "…" in kind.title["en"]
    assert not kind.title["zh"].isascii()
    assert 400 <= kind.status < 600


@pytest.mark.asyncio
@pytest.mark.database
class TestRequestId:
    @pytest.mark.parametrize("given", ["abc", "A.b:c-d_1", "x" * 64])
    async def test_is_echoed(self, client, given):
        answer = await client.get("/v1/customers/x", headers={"x-request-id": given})
        assert answer.headers["x-request-id"] == answer.json()["request_id"] == given

    @pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a\nb", "<script>", "é"])
    async def test_nonsense_is_replaced(self, client, given):
        answer = await client.get("/v1/customers/x", headers={b"x-request-id": given.encode()})
        assert answer.headers["x-request-id"] == answer.json()["request_id"] != given
        assert len(answer.headers["x-request-id"]) == 36

    async def test_reaches_the_audit_log(self, client):
        made = await client.post("/v1/customers", json={"name": "x"}, headers={"x-request-id": "from-me"})
        entry = (await client.get("/v1/audit-log", params={"subject_id": made.json()["id"]})).json()["data"][0]
        assert entry["request_id"] == "from-me"

    @pytest.mark.parametrize("path", ["/livez", "/metrics", "/openapi.json", "/nothing", "/graphql"])
    async def test_is_on_every_answer(self, client, path):
        assert (await client.get(path)).headers["x-request-id"]


NOT_THERE = {"/v1/churn/outlooks/{id}", "/v1/churn/transitions/{id}", "/v1/loyalty/reviews/{id}"}
"""The shop's own model is not fitted, so nobody has an outlook; nor was anybody assessed, nor does a refund wait."""
RESOURCES = [
    path
    for method, path, each in operations()
    if method == "GET" and "ETag" in str(each["responses"]["200"]) and path not in NOT_THERE
]
VERSIONED = [
    (method, path)
    for method, path, each in operations()
    if any(parameter["name"].lower() == "if-match" for parameter in each.get("parameters", []))
]


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.database
class TestVersions:
    @pytest.mark.parametrize("path", RESOURCES)
    async def test_resources_have_an_etag(self, shop, path):
        answer = await shop.client.get(shop.fill(filled(path)))
        assert answer.status_code == 200
        # A consent text's version is the text's own: it never changes.
        if ("version" in answer.json() and "consent-texts" not in path) or "loyalty/accounts" in path:
            assert answer.headers["etag"].strip('"').isdigit()

    @pytest.mark.parametrize(("method", "path"), VERSIONED)
    async def test_an_old_version_is_refused(self, shop, method, path):
        body = {"action": "acknowledge"} if path.endswith("transitions") else {}
        if path.startswith("/v1/corrective-actions"):
            body = {"action": "start"} if path.endswith("transitions") else {}
        if path.endswith("/answer"):
            body = {"csat": 5}
        if path.startswith("/v1/referrals"):
            body = {"action": "void", "reason": "x"}
        if path.endswith("holidays"):
            body = {"country": "CN"}
        if path.endswith("birth"):
            body = {"birthday": {"year": 2025, "month": 1, "day": 1}}
        if path.startswith("/v1/contact-standards"):
            body = {"every_days": 30}
        if path.startswith("/v1/compensations") and path.endswith(("/reject", "/cancel", "/reverse")):
            body = {"reason": "x"}
        if path.startswith("/v1/follow-ups"):
            steps = {"complete": {"result": "reached"}, "skip": {"reason": "x"}}
            steps["snooze"] = {"until": "2026-11-30T00:00:00Z"}
            body = steps.get(path.rpartition("/")[2], {})
        if path.startswith("/v1/orders"):
            money = {"amount": 1999, "currency": "CNY"}
            body = {"customer_id": shop.places["customer"], "status": "paid", "total": money}
            body["placed_at"] = "2026-05-01T00:00:00Z"
        more = {"json": body} if method != "DELETE" else {}
        path = shop.fill(filled(path))
        answer = await shop.client.request(method, path, headers={"if-match": '"999"'}, **more)
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed"), answer.text


LAST_WORD_COUNTS = {
    "/v1/household-settings",
    "/v1/pattern-settings",
    "/v1/consent-settings",
    "/v1/privacy-settings",
    "/v1/customers/{id}/addresses/{address_id}",
}
"""Settings, and what hangs on a resource and has no version of its own: the last who changes it wins."""


def test_every_change_takes_a_version():
    changes = {(method, path) for method, path, _ in operations() if method == "PATCH"}
    assert {path for _, path in changes - set(VERSIONED)} == LAST_WORD_COUNTS


@pytest.mark.asyncio
@pytest.mark.database
class TestLimits:
    async def test_the_largest_body_is_read(self, client):
        body = b'{"name": "x"}'
        assert (
            await client.post("/v1/customers", content=body.ljust(2 * 1024 * 1024), headers=JSON)
        ).status_code == 201

    async def test_a_body_without_length_is_counted(self, client):
        async def stream():
            for _ in range(40):
                yield b" " * 65536

        answer = await client.post("/v1/customers", content=stream(), headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")

    async def test_the_limit_can_be_set(self, settings, database, tenant):
        small = settings.model_copy(update={"max_body_bytes": 100})
        async with application(small, database) as app, client_of(app, tenant.key) as client:
            answer = await client.post("/v1/customers", json={"name": "x" * 100})
            assert answer.status_code == 413
            assert "100" in answer.json()["detail"]


JSON = {"content-type": "application/json"}


@pytest.mark.asyncio
@pytest.mark.database
class TestOperations:
    async def test_health_needs_no_key(self, app):
        async with client_of(app, None) as stranger:
            for path in ("/livez", "/readyz", "/metrics"):
                assert (await stranger.get(path)).status_code == 200, path

    async def test_metrics_count_by_route_and_never_by_path(self, client):
        made = (await client.post("/v1/customers", json={"name": "王小明"})).json()
        await client.get(f"/v1/customers/{made['id']}")
        await client.get("/v1/customers?q=13812345678")
        await client.get("/some/13812345678")
        text = (await client.get("/metrics")).text
        assert 'crm_http_requests_total{method="GET",route="/v1/customers/{id}",status="200"}' in text
        assert 'route="unmatched",status="404"' in text
        assert made["id"] not in text
        assert "13812345678" not in text

    async def test_not_ready_without_a_database(self, settings):
        away = Settings(database_url="postgresql://nobody@127.0.0.1:1/none", connect_timeout=0.5)
        async with application(away) as app, client_of(app, "crm_" + "A" * 43) as client:
            answer = await client.get("/readyz")
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert (await client.get("/livez")).status_code == 200
            for path in ("/v1/customers", "/graphql?query={__typename}"):
                answer = await client.get(path)
                assert answer.status_code == 503, answer.text
                assert answer.headers["retry-after"]


PERSONAL = ["王小明", "13812345678", "8613812345678", "xiaoming@example.com", "tb_secret", "南京西路1号", "crm_"]


@pytest.mark.asyncio
@pytest.mark.database
async def test_logs_join_requests_and_hold_no_personal_data(settings, database, tenant, monkeypatch):
    kept = io.StringIO()
    monkeypatch.setattr(sys, "stderr", kept)
    person = {
        "name": "王小明",
        "address": "南京西路1号",
        "contact_points": [
            {"kind": "mobile", "value": "13812345678"},
            {"kind": "email", "value": "xiaoming@example.com"},
        ],
        "identities": [{"platform": "taobao", "external_id": "tb_secret"}],
    }
    async with application(settings, database) as app, client_of(app, tenant.key) as client:
        made = await client.post("/v1/customers", json=person, headers={"x-request-id": "req-1"})
        await client.post("/v1/customers", json=person)
        await client.get("/v1/customers", params={"q": "13812345678"})
        await client.get("/v1/customers/王小明")
        await client.put("/v1/orders/taobao/tb_secret", json={"customer": {"external_id": "tb_secret"}})
        await client.post("/graphql", json={"query": '{ customers(q: "王小明") { nodes { name } } }'})
        await client.post("/v1/customers", content="王小明 13812345678".encode(), headers=JSON)
    assert made.status_code == 201
    text = kept.getvalue()
    lines = [line for line in text.splitlines() if "request_id" in line]
    assert len(lines) >= 7, text
    assert any("req-1" in line and str(tenant.id) in line for line in lines)
    for each in PERSONAL:
        assert each not in text


@pytest.mark.asyncio
@pytest.mark.database
class TestWhoMayKnow:
    async def test_401_before_404_and_422(self, app):
        async with client_of(app, None) as stranger:
            for path in ("/v1/customers/x", "/v1/customers?limit=0", "/v1/orders/T/T"):
                assert (await stranger.get(path)).status_code == 401

    async def test_missing_and_foreign_look_the_same(self, app, client, other_tenant):
        async with client_of(app, other_tenant.key) as theirs:
            foreign = (await theirs.post("/v1/customers", json={"name": "x"})).json()["id"]
        seen, missing = await client.get(f"/v1/customers/{foreign}"), await client.get(f"/v1/customers/{uuid4()}")
        assert seen.status_code == missing.status_code == 404
        assert _without_names(seen) == _without_names(missing)

    async def test_revoked_and_unknown_keys_look_the_same(self, app, settings, tenant):
        key = await admin.create_key(settings, tenant.id, frozenset({"customers:read"}))
        owner = await asyncpg.connect(settings.database_url)
        await owner.execute("UPDATE api_keys SET revoked_at = now() WHERE tenant_id = $1", tenant.id)
        await owner.close()
        answers = []
        for each in (key.api_key, "crm_" + "A" * 43):
            async with client_of(app, each) as client:
                answers.append(await client.get("/v1/customers"))
        assert {answer.status_code for answer in answers} == {401}
        assert _without_names(answers[0]) == _without_names(answers[1])


def _without_names(answer: httpx.Response):
    return {name: value for name, value in answer.json().items() if name not in {"instance", "request_id"}}
