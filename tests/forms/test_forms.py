"""Capture forms: what strangers may and may not do."""

import asyncio
from uuid import uuid4

import pytest

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

FORM = {
    "name": "孕妈课堂",
    "kind": "activity",
    "title": "孕妈课堂报名",
    "fields": [
        {"key": "name", "label": "姓名", "maps_to": "name"},
        {"key": "phone", "label": "手机号", "type": "mobile", "required": True, "maps_to": "mobile"},
        {"key": "week", "label": "孕周", "type": "choice", "choices": ["12 周以内", "28 周以上"]},
    ],
    "source": "孕妈课堂",
    "tags": ["孕妈"],
    "minimum_seconds": 0,
}
ANSWERS = {"name": "王小明", "phone": "138 1234 5678", "week": "28 周以上"}


async def add_form(client, **changes):
    answer = await client.post("/v1/forms", json={**FORM, **changes})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def add_text(client):
    text = {"purpose": "marketing", "language": "zh", "title": "提醒", "body": "我同意收到课堂提醒。"}
    answer = await client.post("/v1/consent-texts", json=text)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def load(client, form):
    answer = await client.get(form["public_path"], headers={"authorization": ""})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def send(client, form, answers=ANSWERS, *, ticket=None, headers=None, **more):
    ticket = ticket or (await load(client, form))["ticket"]
    body = {"ticket": ticket, "answers": answers, **more}
    headers = {"authorization": "", **(headers or {})}
    return await client.post(f"{form['public_path']}/submissions", json=body, headers=headers)


async def submission(client, answer):
    assert answer.status_code == 201, answer.text
    return (await client.get(f"/v1/form-submissions/{answer.json()['submission_id']}")).json()


class TestSubmission:
    async def test_a_stranger_becomes_a_customer_with_interaction_and_consent(self, client):
        text = await add_text(client)
        form = await add_form(client, consent_text_ids=[text["id"]])
        [shown] = (await load(client, form))["consents"]
        assert shown == {name: text[name] for name in ("id", "purpose", "title", "body")}
        done = await submission(client, await send(client, form, consents=[text["id"]]))
        assert (done["state"], done["new_customer"], done["consents"]) == ("accepted", True, [text["id"]])
        customer = (await client.get(f"/v1/customers/{done['customer_id']}")).json()
        assert (customer["name"], customer["source"], customer["tags"]) == ("王小明", "孕妈课堂", ["孕妈"])
        [point] = customer["contact_points"]
        assert (point["kind"], point["value"], point["verified_at"]) == ("mobile", "+8613812345678", None)
        spoken = (await client.get(f"/v1/interactions/{done['interaction_id']}")).json()
        assert (spoken["channel"], spoken["subject"]) == ("web", "孕妈课堂报名")
        assert spoken["body"] == "姓名: 王小明\n手机号: 138 1234 5678\n孕周: 28 周以上"
        [consent] = (await client.get(f"/v1/customers/{customer['id']}/consents")).json()["data"]
        assert (consent["purpose"], consent["action"], consent["source"]) == ("marketing", "granted", "form")
        kinds = {each["kind"] for each in (await client.get(f"/v1/customers/{customer['id']}/timeline")).json()["data"]}
        assert {"form", "interaction", "consent"} <= kinds

    async def test_who_has_the_number_is_noted_and_left_as_is(self, client):
        known = await client.post(
            "/v1/customers", json={"name": "李娜", "contact_points": [{"kind": "mobile", "value": "13812345678"}]}
        )
        before = known.json()
        done = await submission(client, await send(client, await add_form(client)))
        assert (done["customer_id"], done["new_customer"]) == (before["id"], False)
        assert (await client.get(f"/v1/customers/{before['id']}")).json() == before
        assert (await client.get(f"/v1/customers/{before['id']}/consents")).json()["data"] == []

    async def test_a_nameless_visitor_is_told_by_the_number(self, client):
        done = await submission(client, await send(client, await add_form(client), {"phone": "13800001234"}))
        assert (await client.get(f"/v1/customers/{done['customer_id']}")).json()["name"] == "访客 1234"

    async def test_a_line_break_in_an_answer_is_a_space(self, client):
        fields = [*FORM["fields"], {"key": "home", "label": "地址", "type": "long_text", "maps_to": "address"}]
        answers = {**ANSWERS, "name": "王\n小明", "home": "上海市\n浦东新区"}
        done = await submission(client, await send(client, await add_form(client, fields=fields), answers))
        customer = (await client.get(f"/v1/customers/{done['customer_id']}")).json()
        assert (customer["name"], customer["address"]) == ("王 小明", "上海市 浦东新区")
        said = (await client.get(f"/v1/interactions/{done['interaction_id']}")).json()["body"]
        assert "地址: 上海市\n浦东新区" in said

    async def test_the_same_ticket_has_its_effect_once_however_often_it_is_sent_at_once(self, client):
        form = await add_form(client)
        ticket = (await load(client, form))["ticket"]
        answers = await asyncio.gather(*(send(client, form, ticket=ticket) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["submission_id"] for answer in answers}) == 1
        page = (await client.get("/v1/customers?count=exact")).json()["page"]
        assert page["total"] == 1

    async def test_two_visitors_with_one_number_at_once_are_one_customer(self, client):
        form = await add_form(client)
        answers = await asyncio.gather(*(send(client, form) for _ in range(6)))
        found = [await submission(client, answer) for answer in answers]
        assert len({each["customer_id"] for each in found}) == 1
        assert sum(each["new_customer"] for each in found) == 1


class TestSpam:
    async def test_a_filled_trap_does_nothing_and_looks_like_success(self, client):
        form = await add_form(client)
        done = await submission(client, await send(client, form, website="http://spam.example.com"))
        assert (done["state"], done["customer_id"]) == ("spam", None)
        assert (await client.get("/v1/customers")).json()["data"] == []
        accepted = await client.post(f"/v1/form-submissions/{done['id']}/accept")
        assert (accepted.json()["state"], accepted.json()["new_customer"]) == ("accepted", True)
        again = await client.post(f"/v1/form-submissions/{done['id']}/accept")
        assert again.json() == accepted.json()

    async def test_inhuman_speed_is_spam(self, client):
        form = await add_form(client, minimum_seconds=60)
        assert (await submission(client, await send(client, form)))["state"] == "spam"

    async def test_limits_hold_under_parallel_sending(self, client):
        form = await add_form(client, visitor_hourly_limit=3)
        answers = await asyncio.gather(*(send(client, form) for _ in range(8)))
        assert sorted(answer.status_code for answer in answers) == [201] * 3 + [429] * 5
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json()["code"] == "too_many_requests"
        assert 3_500 < int(refused.headers["retry-after"]) <= 3_600


class TestRefusals:
    @pytest.mark.parametrize(
        ("answers", "pointer", "code"),
        [
            ({"name": "王"}, "/answers/phone", "required"),
            ({"phone": "123"}, "/answers/phone", "invalid_phone"),
            ({"phone": "13812345678", "week": "20"}, "/answers/week", "unknown_choice"),
            ({"phone": "13812345678", "age": "3"}, "/answers/age", "unknown_field"),
            ({"phone": "13812345678", "name": "x" * 300}, "/answers/name", "too_long"),
        ],
    )
    async def test_answers(self, client, answers, pointer, code):
        answer = await send(client, await add_form(client), answers)
        assert answer.status_code == 422
        assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == [(pointer, code)]
        assert (await client.get("/v1/customers")).json()["data"] == []
        assert (await client.get("/v1/form-submissions")).json()["data"] == []

    async def test_tickets_of_others_and_old_ones(self, client, app):
        form, other = await add_form(client), await add_form(client, name="other")
        foreign = (await load(client, other))["ticket"]
        for ticket in (foreign, "x", "AAAA", foreign[:-2]):
            answer = await send(client, form, ticket=ticket)
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "bad_ticket")

    async def test_switched_off_and_unknown(self, client):
        form = await add_form(client)
        ticket = (await load(client, form))["ticket"]
        assert (await client.patch(f"/v1/forms/{form['id']}", json={"active": False})).status_code == 200
        assert (await send(client, form, ticket=ticket)).status_code == 404
        assert (await client.get(f"/v1/public/forms/{uuid4()}", headers={"authorization": ""})).status_code == 404

    async def test_other_pages_may_not_post(self, client):
        form = await add_form(client, allowed_origins=["https://shop.example.com"])
        ticket = (await load(client, form))["ticket"]
        refused = await send(client, form, ticket=ticket, headers={"origin": "https://evil.example.com"})
        assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")
        path = f"{form['public_path']}/submissions"
        headers = {"authorization": "", "origin": "https://shop.example.com"}
        asked = await client.request("OPTIONS", path, headers=headers)
        assert asked.status_code == 204
        assert asked.headers["access-control-allow-origin"] == "https://shop.example.com"
        taken = await send(client, form, ticket=ticket, headers={"origin": "https://shop.example.com"})
        assert taken.headers["access-control-allow-origin"] == "https://shop.example.com"

    async def test_a_form_by_which_nobody_is_known_is_refused(self, client):
        answer = await client.post("/v1/forms", json={**FORM, "fields": FORM["fields"][:1]})
        assert answer.status_code == 422

    async def test_consent_texts_that_are_not_there(self, client):
        unknown = str(uuid4())
        made = await client.post("/v1/forms", json={**FORM, "consent_text_ids": [unknown]})
        assert (made.status_code, made.json()["errors"][0]["pointer"]) == (422, "/consent_text_ids/0")
        form = await add_form(client)
        changed = await client.patch(f"/v1/forms/{form['id']}", json={"consent_text_ids": [unknown]})
        assert (changed.status_code, changed.json()["errors"][0]["code"]) == (422, "unknown_consent_text")
        text = await add_text(client)
        sent = await send(client, form, consents=[text["id"]])
        assert (sent.status_code, sent.json()["errors"][0]["pointer"]) == (422, "/consents/0")


async def test_graphql(client):
    made = await client.post(
        "/graphql",
        json={
            "query": "mutation($i: CaptureFormCreateInput!) "
            "{ captureFormCreate(input: $i) { form { id publicPath } userErrors { code } } }",
            "variables": {
                "i": {
                    "name": "a",
                    "kind": "CONSULTATION",
                    "title": "咨询",
                    "fields": [{"key": "m", "label": "手机", "type": "MOBILE", "mapsTo": "MOBILE"}],
                    "minimumSeconds": 0,
                }
            },
        },
    )
    assert "data" in made.json(), made.text
    form = made.json()["data"]["captureFormCreate"]["form"]
    await send(client, {"public_path": form["publicPath"]}, {"m": "13812345678"})
    query = "query($id: ID!) { captureForm(id: $id) { title submissions { nodes { state customer { name } } } } }"
    shown = await client.post("/graphql", json={"query": query, "variables": {"id": form["id"]}})
    [sent] = shown.json()["data"]["captureForm"]["submissions"]["nodes"]
    assert sent == {"state": "ACCEPTED", "customer": {"name": "访客 5678"}}
