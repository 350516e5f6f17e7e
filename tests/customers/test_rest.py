"""Customers over REST."""

from uuid import uuid4

import pytest

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

PERSON = {"name": "王小明", "contact_points": [{"kind": "mobile", "value": "138 1234 5678", "is_primary": True}]}


async def create(client, **fields):
    response = await client.post("/v1/customers", json={"name": "王小明", **fields})
    assert response.status_code == 201, response.text
    return response.json()


class TestCreate:
    async def test_answers_with_what_was_stored(self, client):
        response = await client.post(
            "/v1/customers",
            json={
                **PERSON,
                "gender": "female",
                "birthday": {"calendar": "lunar", "month": 8, "day": 15},
                "tags": ["vip", "vip", "母婴"],
                "identities": [{"platform": "taobao", "external_id": "tb_1"}],
            },
        )
        assert response.status_code == 201
        body = response.json()
        assert response.headers["etag"] == '"1"'
        assert response.headers["location"] == f"/v1/customers/{body['id']}"
        assert body["tags"] == ["vip", "母婴"]
        assert body["birthday"] == {"calendar": "lunar", "year": None, "month": 8, "day": 15, "leap_month": False}
        assert [(point["kind"], point["value"]) for point in body["contact_points"]] == [("mobile", "+8613812345678")]
        again = await client.get(response.headers["location"])
        assert again.status_code == 200
        assert again.json() == body

    async def test_collects_every_wrong_field(self, client):
        response = await client.post(
            "/v1/customers",
            json={
                "name": "x",
                "contact_points": [{"kind": "mobile", "value": "12"}, {"kind": "email", "value": "nobody"}],
            },
        )
        assert response.status_code == 422
        assert response.headers["content-type"] == "application/problem+json"
        assert [(each["pointer"], each["code"]) for each in response.json()["errors"]] == [
            ("/contact_points/0/value", "invalid_phone"),
            ("/contact_points/1/value", "invalid_email"),
        ]
        assert (await client.get("/v1/customers?count=exact")).json()["page"]["total"] == 0

    async def test_speaks_chinese(self, client):
        response = await client.post("/v1/customers", json={}, headers={"accept-language": "zh-CN,en;q=0.5"})
        assert response.json()["errors"] == [{"pointer": "/name", "code": "required", "message": "缺少必填字段"}]

    async def test_identity_belongs_to_one_customer(self, client):
        identity = {"platform": "taobao", "external_id": "tb_1"}
        await create(client, identities=[identity])
        response = await client.post("/v1/customers", json={"name": "other", "identities": [identity]})
        assert (response.status_code, response.json()["code"]) == (409, "duplicate")
        assert (await client.get("/v1/customers?count=exact")).json()["page"]["total"] == 1

    async def test_a_masked_id_identifies_nobody(self, client):
        masked = {"platform": "taobao", "external_id": "t***b"}
        customer = await create(client)
        chinese = {"accept-language": "zh"}
        added = await client.post(f"/v1/customers/{customer['id']}/identities", json=masked, headers=chinese)
        assert (added.status_code, added.json()["errors"]) == (
            422,
            [
                {
                    "pointer": "/external_id",
                    "code": "masked_id",
                    "message": "t***b 这类脱敏账号由多人共用：请提供完整账号或 OAID，或不填写",
                }
            ],
        )
        batch = await client.post("/v1/customers/batch", json={"items": [{"name": "x", "identities": [masked]}]})
        assert [each["code"] for each in batch.json()["errors"]] == ["masked_id"]
        assert (await client.get("/v1/customers?count=exact")).json()["page"]["total"] == 1

    async def test_unknown_owner_is_named(self, client):
        response = await client.post("/v1/customers", json={"name": "x", "owner_id": str(uuid4())})
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"] == "/owner_id"

    @pytest.mark.parametrize(
        "birthday",
        [
            {"month": 2, "day": 30},
            {"month": 2, "day": 29, "year": 2023},
            {"month": 13, "day": 1},
            {"calendar": "lunar", "month": 1, "day": 31},
            {"month": 4, "day": 4, "leap_month": True},
        ],
    )
    async def test_impossible_birthdays(self, client, birthday):
        response = await client.post("/v1/customers", json={"name": "x", "birthday": birthday})
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"].startswith("/birthday")


class TestIdempotency:
    async def test_same_request_has_one_effect_and_one_answer(self, client):
        headers = {"idempotency-key": "k1"}
        first = await client.post("/v1/customers", json=PERSON, headers=headers)
        second = await client.post("/v1/customers", json=PERSON, headers=headers)
        assert first.status_code == second.status_code == 201
        assert second.content == first.content
        assert second.headers["etag"] == first.headers["etag"]
        assert second.headers["idempotency-replayed"] == "true"
        assert (await client.get("/v1/customers?count=exact")).json()["page"]["total"] == 1

    async def test_another_request_with_the_key_is_refused(self, client):
        headers = {"idempotency-key": "k1"}
        await client.post("/v1/customers", json=PERSON, headers=headers)
        response = await client.post("/v1/customers", json={"name": "other"}, headers=headers)
        assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")

    async def test_a_failed_request_does_not_use_up_the_key(self, client):
        headers = {"idempotency-key": "k1"}
        assert (await client.post("/v1/customers", json={}, headers=headers)).status_code == 422
        assert (await client.post("/v1/customers", json=PERSON, headers=headers)).status_code == 201


class TestUpdate:
    async def test_changes_only_what_is_given(self, client):
        before = await create(client, city="上海", notes="n")
        response = await client.patch(f"/v1/customers/{before['id']}", json={"city": None, "name": "王大明"})
        assert response.status_code == 200
        after = response.json()
        assert (after["city"], after["name"], after["notes"], after["version"]) == (None, "王大明", "n", 2)

    async def test_old_etag_is_refused(self, client):
        before = await create(client)
        path = f"/v1/customers/{before['id']}"
        assert (await client.patch(path, json={"notes": "a"}, headers={"if-match": '"1"'})).status_code == 200
        response = await client.patch(path, json={"notes": "b"}, headers={"if-match": '"1"'})
        assert (response.status_code, response.json()["code"]) == (412, "precondition_failed")
        assert (await client.get(path)).json()["notes"] == "a"

    async def test_audit_shows_before_and_after(self, client):
        before = await create(client, city="上海")
        await client.patch(f"/v1/customers/{before['id']}", json={"city": "北京"})
        entry = (await client.get(f"/v1/audit-log?subject_id={before['id']}&limit=1")).json()["data"][0]
        assert entry["operation"] == "customer.updated"
        assert (entry["before"], entry["after"]) == ({"city": "上海"}, {"city": "北京"})


class TestDelete:
    async def test_disappears_everywhere(self, client):
        gone = await create(client, contact_points=PERSON["contact_points"])
        path = f"/v1/customers/{gone['id']}"
        assert (await client.delete(path)).status_code == 204
        assert (await client.get(path)).status_code == 404
        assert (await client.get("/v1/customers?q=5678")).json()["data"] == []
        assert (await client.delete(path)).status_code == 404


class TestSearch:
    @pytest.mark.parametrize(
        "q",
        [
            "小",
            "小明",
            "王小明",
            "5678",
            "138 1234",
            "138-1234-5678",
            "8613812345678",
            "MING@Example",
            "tb_1",
            "１３８",
        ],
    )
    async def test_finds_by_any_part(self, client, q):
        wanted = await create(
            client,
            contact_points=[*PERSON["contact_points"], {"kind": "email", "value": "Xiaoming@example.com"}],
            identities=[{"platform": "taobao", "external_id": "tb_1"}],
        )
        await create(client, name="李雷", contact_points=[{"kind": "mobile", "value": "13900000000"}])
        found = (await client.get("/v1/customers", params={"q": q})).json()["data"]
        assert [each["id"] for each in found] == [wanted["id"]]

    @pytest.mark.parametrize("q", ["%", "_", "小_", "\\", "%%%", "王%明"])
    async def test_wildcards_are_text(self, client, q):
        await create(client)
        assert (await client.get("/v1/customers", params={"q": q})).json()["data"] == []


class TestTags:
    async def test_add_and_remove_are_idempotent(self, client):
        path = f"/v1/customers/{(await create(client))['id']}"
        for _ in range(2):
            assert (await client.put(f"{path}/tags/vip")).json()["tags"] == ["vip"]
        assert (await client.get(path)).json()["version"] == 2
        for _ in range(2):
            assert (await client.delete(f"{path}/tags/vip")).status_code == 204
        assert (await client.get(path)).json()["tags"] == []


class TestPaging:
    async def test_walks_all_in_order_both_ways(self, client):
        ids = [(await create(client, name=f"客户{n}"))["id"] for n in range(7)]
        forward, cursor = [], None
        while True:
            page = (
                await client.get("/v1/customers", params={"limit": 3, **({"after": cursor} if cursor else {})})
            ).json()
            forward += [each["id"] for each in page["data"]]
            cursor = page["page"]["next"]
            if not page["page"]["has_more"]:
                break
        assert forward == ids[::-1]
        last = (await client.get("/v1/customers", params={"limit": 3, "after": page["page"]["previous"]})).json()
        back = (await client.get("/v1/customers", params={"limit": 3, "before": page["page"]["previous"]})).json()
        assert [each["id"] for each in back["data"]] == forward[3:6]
        assert last["data"] == []

    @pytest.mark.parametrize("cursor", ["x", "e30", "WyJhIl0", "%00", "中文", "A" * 1999])
    async def test_foreign_cursors_are_refused(self, client, cursor):
        response = await client.get("/v1/customers", params={"after": cursor})
        assert response.status_code in {400, 422}

    async def test_fields_trim_the_answer(self, client):
        await create(client)
        page = (await client.get("/v1/customers?fields=id,name")).json()
        assert set(page["data"][0]) == {"id", "name"}
        response = await client.get("/v1/customers?fields=id,nope")
        assert response.status_code == 422


class TestReturning:
    """What happens when a platform goes on speaking of a deleted customer."""

    async def test_the_next_order_makes_a_living_customer(self, client):
        order = {
            "customer": {"external_id": "tb_9", "name": "张三"},
            "status": "paid",
            "total": {"amount": 100, "currency": "CNY"},
            "placed_at": "2026-11-01T00:00:00Z",
        }
        first = (await client.put("/v1/orders/taobao/T1", json=order)).json()
        assert (await client.delete(f"/v1/customers/{first['customer_id']}")).status_code == 204
        second = (await client.put("/v1/orders/taobao/T2", json=order)).json()
        assert second["customer_id"] != first["customer_id"]
        living = await client.get(f"/v1/customers/{second['customer_id']}")
        assert [each["external_id"] for each in living.json()["identities"]] == ["tb_9"]
        entry = (await client.get(f"/v1/audit-log?subject_id={first['customer_id']}&limit=1")).json()["data"][0]
        assert entry["before"] == {"identities": [{"platform": "taobao", "external_id": "tb_9"}]}

    async def test_its_identity_may_be_given_again(self, client):
        identity = {"platform": "taobao", "external_id": "tb_1"}
        gone = await create(client, identities=[identity])
        await client.delete(f"/v1/customers/{gone['id']}")
        await create(client, identities=[identity])


class TestUnchanged:
    @pytest.mark.parametrize("body", [{}, {"name": "王小明"}, {"tags": []}])
    async def test_saying_what_is_known_leaves_no_trace(self, client, body):
        before = await create(client)
        after = await client.patch(f"/v1/customers/{before['id']}", json=body)
        assert after.json() == before
        log = (await client.get(f"/v1/audit-log?subject_id={before['id']}")).json()["data"]
        assert [entry["operation"] for entry in log] == ["customer.created"]
