"""Attributes from their definition to rules, filters, orders and documents, over REST."""

from uuid import uuid4

import pytest

from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

LABEL = {"en": "X", "zh": "某"}
SKIN = [{"value": "dry", "label": {"zh": "干性"}}, {"value": "oily", "label": {"zh": "油性"}}]
KINDS = {
    "nickname": {"type": "text"},
    "shoe_size": {"type": "number", "minimum": 20, "maximum": 60},
    "budget": {"type": "money"},
    "wedding": {"type": "date"},
    "vegetarian": {"type": "boolean"},
    "skin": {"type": "choice", "choices": SKIN},
    "hobbies": {
        "type": "multi_choice",
        "choices": [{"value": value, "label": {"en": value}} for value in ("golf", "tea", "opera")],
    },
    "friend": {"type": "reference", "refers_to": "customer"},
}


MISFITS = [
    ({"type": "choice"}, "/choices", "required"),
    ({"type": "choice", "choices": [SKIN[0], SKIN[0]]}, "/choices/1/value", "duplicate"),
    ({"type": "text", "choices": SKIN}, "/choices", "not_allowed"),
    ({"type": "text", "minimum": 1}, "/minimum", "not_allowed"),
    ({"type": "number", "max_length": 1}, "/max_length", "not_allowed"),
    ({"type": "number", "minimum": 2, "maximum": 1}, "/maximum", "out_of_range"),
    ({"type": "reference"}, "/refers_to", "required"),
    ({"type": "text", "refers_to": "store"}, "/refers_to", "not_allowed"),
    ({"type": "text", "label": {}}, "/label", "label_required"),
    ({"type": "text", "key": "Shoe Size"}, "/key", "bad_format"),
]
FOUND = [
    ("attribute=shoe_size:40", "a"),
    ("attribute=shoe_size:40.0", "a"),
    ("attribute=nickname:40", "c"),
    ("attribute=skin:dry", "ba"),
    ("attribute=hobbies:golf", "a"),
    ("attribute=vegetarian:true", "a"),
    ("attribute=budget:19.99 CNY", "b"),
    ("attribute=shoe_size>=40", "ca"),
    ("attribute=shoe_size<40", "b"),
    ("attribute=wedding<=2020-12-31", "a"),
    ("attribute=skin:dry&attribute=shoe_size>38", "a"),
    ("order=attributes.shoe_size", "bacd"),
    ("order=-attributes.shoe_size", "cabd"),
]
MEANINGLESS = [
    ("attribute=nope:1", "/query/attribute/0", "unknown_attribute"),
    ("attribute=shoe_size", "/query/attribute", "malformed_filter"),
    ("order=attributes.nope", "/query/order", "unknown_attribute"),
    ("order=attributes.", "/query/order", "unknown_choice"),
    ("&".join(["attribute=skin:dry"] * 6), "/query/attribute", "too_many"),
]


async def define(client, key, **fields):
    answer = await client.post("/v1/attribute-definitions", json={"key": key, "label": LABEL, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def define_all(client):
    return {key: await define(client, key, **fields) for key, fields in KINDS.items()}


async def create(client, name="王小明", **attributes):
    answer = await client.post("/v1/customers", json={"name": name, "attributes": attributes})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def problem(answer, status, code=None):
    assert answer.status_code == status, answer.text
    body = answer.json()
    return [(each["pointer"], each["code"]) for each in body["errors"]] if code is None else body["code"]


async def names(client, field=None, op=None, value=None, rule=None, **search):
    leaf = {"field": f"attributes.{field}", "op": op} | ({} if value is None else {"value": value})
    answer = await client.post("/v1/customers/search", json={"rule": rule or leaf, "fields": ["name"], **search})
    assert answer.status_code == 200, answer.text
    return [each["name"] for each in answer.json()["data"]]


class TestDefinitions:
    async def test_answers_with_what_was_stored(self, client):
        made = await define(client, "skin", type="choice", choices=SKIN, description="自述", required=True)
        assert made["choices"][0] == {"value": "dry", "label": {"en": "干性", "zh": "干性"}, "archived": False}
        assert (made["label"], made["required"], made["archived"]) == (LABEL, True, False)
        again = await client.get(f"/v1/attribute-definitions/{made['id']}")
        assert again.json() == made
        listed = await client.get("/v1/attribute-definitions?entity=customer&type=choice")
        assert [each["key"] for each in listed.json()["data"]] == ["skin"]

    async def test_a_key_is_taken_once(self, client):
        await define(client, "x", type="text")
        answer = await client.post("/v1/attribute-definitions", json={"key": "x", "label": LABEL, "type": "number"})
        assert await problem(answer, 409) == [("/key", "duplicate")]

    async def test_parts_must_fit_the_type(self, client):
        for fields, pointer, code in MISFITS:
            answer = await client.post("/v1/attribute-definitions", json={"key": "x", "label": LABEL, **fields})
            assert await problem(answer, 422) == [(pointer, code)], fields

    async def test_what_is_in_use_is_archived_not_changed(self, client):
        skin = await define(client, "skin", type="choice", choices=SKIN)
        path = f"/v1/attribute-definitions/{skin['id']}"
        customer = await create(client, skin="dry")
        assert await problem(await client.patch(path, json={"type": "text"}), 409) == [("/type", "attribute_in_use")]
        assert await problem(await client.patch(path, json={"choices": SKIN[1:]}), 409, "") == "attribute_in_use"
        assert await problem(await client.delete(path), 409, "") == "attribute_in_use"
        assert (await client.patch(path, json={"choices": SKIN[:1]})).status_code == 200  # nobody is oily
        archived = [{**SKIN[0], "archived": True}, SKIN[1]]
        assert (await client.patch(path, json={"choices": archived})).status_code == 200
        answer = await client.post("/v1/customers", json={"name": "x", "attributes": {"skin": "dry"}})
        assert await problem(answer, 422) == [("/attributes/skin", "unknown_choice")]
        # Sent back as it is, the old choice stays.
        answer = await client.patch(f"/v1/customers/{customer['id']}", json={"attributes": {"skin": "dry"}})
        assert answer.json()["attributes"] == {"skin": "dry"}
        await client.patch(f"/v1/customers/{customer['id']}", json={"attributes": {"skin": None}})
        assert (await client.delete(path)).status_code == 204

    async def test_an_unused_one_may_change_its_type(self, client):
        made = await define(client, "x", type="number", minimum=1)
        answer = await client.patch(f"/v1/attribute-definitions/{made['id']}", json={"type": "text", "max_length": 3})
        assert (answer.json()["type"], answer.json()["minimum"], answer.json()["max_length"]) == ("text", None, 3)

    async def test_changes_are_audited_and_guarded(self, client):
        made = await define(client, "x", type="number")
        path = f"/v1/attribute-definitions/{made['id']}"
        await client.patch(path, json={"maximum": 9}, headers={"if-match": '"1"'})
        assert (await client.patch(path, json={"maximum": 8}, headers={"if-match": '"1"'})).status_code == 412
        log = (await client.get(f"/v1/audit-log?subject_id={made['id']}")).json()["data"]
        assert (log[0]["operation"], log[0]["after"]) == ("attribute_definition.updated", {"maximum": 9})

    async def test_other_tenants_know_nothing_of_it(self, client, app, other_tenant):
        made = await define(client, "x", type="number")
        async with client_of(app, other_tenant.key) as other:
            assert (await other.get(f"/v1/attribute-definitions/{made['id']}")).status_code == 404
            answer = await other.post("/v1/customers", json={"name": "x", "attributes": {"x": 1}})
            assert await problem(answer, 422) == [("/attributes/x", "unknown_attribute")]


class TestValues:
    async def test_every_type_comes_back(self, client):
        await define_all(client)
        friend = await create(client)
        values = {
            "nickname": "明明",
            "shoe_size": 40.5,
            "budget": {"amount": 100000, "currency": "CNY"},
            "wedding": "2020-05-20",
            "vegetarian": False,
            "skin": "oily",
            "hobbies": ["golf", "tea"],
            "friend": friend["id"],
        }
        made = await create(client, **values)
        assert made["attributes"] == values

    async def test_a_change_sets_what_is_given(self, client):
        await define_all(client)
        made = await create(client, shoe_size=40, skin="dry")
        path = f"/v1/customers/{made['id']}"
        answer = await client.patch(path, json={"attributes": {"skin": None, "nickname": "明"}})
        assert answer.json()["attributes"] == {"shoe_size": 40, "nickname": "明"}
        assert answer.json()["version"] == 2
        same = await client.patch(path, json={"attributes": {"shoe_size": 40}})
        assert same.json()["version"] == 2
        log = (await client.get(f"/v1/audit-log?subject_id={made['id']}")).json()["data"]
        assert log[0]["before"] == {"attributes.skin": "dry", "attributes.nickname": None}
        assert log[0]["after"] == {"attributes.skin": None, "attributes.nickname": "明"}

    async def test_faults_point_at_the_value_and_nothing_is_written(self, client):
        await define_all(client)
        made = await create(client, shoe_size=40)
        body = {"attributes": {"shoe_size": 99, "nope": 1, "friend": str(uuid4())}, "city": "上海"}
        answer = await client.patch(f"/v1/customers/{made['id']}", json=body)
        assert await problem(answer, 422) == [
            ("/attributes/shoe_size", "out_of_range"),
            ("/attributes/nope", "unknown_attribute"),
        ]
        answer = await client.patch(
            f"/v1/customers/{made['id']}", json={"attributes": {"friend": body["attributes"]["friend"]}}
        )
        assert await problem(answer, 422) == [("/attributes/friend", "unknown_reference")]
        assert (await client.get(f"/v1/customers/{made['id']}")).json() == made

    async def test_required_ones_are_asked_for(self, client):
        await define(client, "size", type="number", required=True)
        answer = await client.post("/v1/customers", json={"name": "x"})
        assert await problem(answer, 422) == [("/attributes/size", "required")]
        made = await create(client, size=1)
        answer = await client.patch(f"/v1/customers/{made['id']}", json={"attributes": {"size": None}})
        assert await problem(answer, 422) == [("/attributes/size", "required")]

    async def test_chinese_callers_read_chinese(self, client):
        answer = await client.post(
            "/v1/customers", json={"name": "x", "attributes": {"nope": 1}}, headers={"accept-language": "zh"}
        )
        assert "没有此自定义属性" in answer.json()["errors"][0]["message"]


class TestRules:
    async def test_every_type_is_compared_as_it_is(self, client):
        await define_all(client)
        friend = await create(client, "friend")
        await create(
            client,
            "big",
            shoe_size=45,
            nickname="Ming",
            budget={"amount": 5000, "currency": "CNY"},
            wedding="2020-05-20",
            vegetarian=True,
            skin="dry",
            hobbies=["golf", "tea"],
            friend=friend["id"],
        )
        await create(client, "small", shoe_size=9 + 21.5, budget={"amount": 9000, "currency": "USD"}, hobbies=["tea"])
        assert await names(client, "shoe_size", "gte", 40) == ["big"]
        assert await names(client, "shoe_size", "between", [30, 31]) == ["small"]
        assert await names(client, "shoe_size", "missing") == ["friend"]
        assert await names(client, "nickname", "contains", "min") == ["big"]
        assert await names(client, "budget", "gt", {"amount": 4999, "currency": "CNY"}) == ["big"]
        assert await names(client, "wedding", "lt", {"days_ago": 365}) == ["big"]
        assert await names(client, "vegetarian", "eq", True) == ["big"]
        assert await names(client, "skin", "in", ["dry", "oily"]) == ["big"]
        assert await names(client, "hobbies", "contains", "tea") == ["small", "big"]
        assert await names(client, "hobbies", "contains_all", ["tea", "golf"]) == ["big"]
        assert await names(client, "friend", "eq", friend["id"]) == ["big"]
        negated = {"not": {"field": "attributes.shoe_size", "op": "gte", "value": 40}}
        assert await names(client, rule=negated) == ["small", "friend"]

    async def test_names_and_values_are_checked_by_the_tenants_definitions(self, client):
        skin = await define(client, "skin", type="choice", choices=SKIN)
        search = {"rule": {"field": "attributes.skin", "op": "eq", "value": "wet"}}
        answer = await client.post("/v1/customers/search", json=search)
        assert await problem(answer, 422) == [("/rule/value", "rule_choice_unknown")]
        answer = await client.post("/v1/customers/search", json={"rule": {"field": "attributes.no", "op": "exists"}})
        assert await problem(answer, 422) == [("/rule/field", "rule_field_unknown")]
        await client.patch(f"/v1/attribute-definitions/{skin['id']}", json={"archived": True})
        answer = await client.post("/v1/customers/search", json={"rule": {"field": "attributes.skin", "op": "exists"}})
        assert await problem(answer, 422) == [("/rule/field", "rule_field_archived")]

    async def test_the_dictionary_has_them(self, client):
        await define_all(client)
        fields = {each["name"]: each for each in (await client.get("/v1/rule-fields")).json()["fields"]}
        assert fields["attributes.skin"]["choices"] == ["dry", "oily"]
        assert fields["attributes.shoe_size"]["description"] == LABEL
        assert (fields["attributes.hobbies"]["type"], fields["attributes.hobbies"]["items"]) == ("multi", "choice")

    async def test_birthdays_within_days(self, client):
        answer = await client.get("/v1/customers?limit=1")
        assert answer.status_code == 200
        for name, birthday in {
            "mid-autumn": {"calendar": "lunar", "month": 8, "day": 15},
            "unknown": None,
            "leap day": {"month": 2, "day": 29, "year": 2000},
        }.items():
            made = (await client.post("/v1/customers", json={"name": name, "birthday": birthday})).json()
            assert "next_birthday" not in made, "only on request"
            made = (await client.get(f"/v1/customers/{made['id']}?fields=next_birthday")).json()
            assert (made["next_birthday"] is None) == (birthday is None)
            if birthday is None:
                continue
            leaf = {"field": "next_birthday", "op": "eq", "value": made["next_birthday"]}
            assert await names(client, rule=leaf) == [name]
        within = {"field": "next_birthday", "op": "lte", "value": {"days_ahead": 400}}
        assert await names(client, rule=within) == ["leap day", "mid-autumn"]
        assert await names(client, rule={"field": "next_birthday", "op": "missing"}) == ["unknown"]
        assert await names(client, rule={"field": "next_birthday", "op": "lt", "value": {"days_ago": 1}}) == []


class TestLists:
    async def people(self, client):
        await define_all(client)
        await create(client, "a", shoe_size=40, skin="dry", hobbies=["golf"], wedding="2020-01-01", vegetarian=True)
        await create(client, "b", shoe_size=38, skin="dry", budget={"amount": 1999, "currency": "CNY"})
        await create(client, "c", shoe_size=40.5, nickname="40")
        await create(client, "d")

    async def test_filters_and_orders(self, client):
        await self.people(client)
        for query, found in FOUND:
            answer = await client.get(f"/v1/customers?fields=name&{query}")
            assert answer.status_code == 200, answer.text
            assert "".join(each["name"] for each in answer.json()["data"]) == found, query

    async def test_pages_by_an_attribute_meet_everybody_once(self, client):
        await self.people(client)
        for order in ("attributes.shoe_size", "-attributes.shoe_size"):
            await self.page_through(client, order)

    async def page_through(self, client, order):
        whole = (await client.get(f"/v1/customers?order={order}")).json()["data"]
        seen, after = [], ""
        while True:
            page = (await client.get(f"/v1/customers?limit=1&order={order}{after}")).json()
            seen += page["data"]
            if not page["page"]["has_more"]:
                break
            after = f"&after={page['page']['next']}"
        assert seen == whole
        rule = {"field": "kind", "op": "eq", "value": "person"}
        assert await names(client, rule=rule, order=order) == [each["name"] for each in whole]

    async def test_what_means_nothing_is_refused(self, client):
        await define_all(client)
        for query, pointer, code in MEANINGLESS:
            assert await problem(await client.get(f"/v1/customers?{query}"), 422) == [(pointer, code)], query


class TestDocuments:
    async def test_the_tenants_openapi_has_its_attributes(self, client):
        await define_all(client)
        await define(client, "must", type="number", required=True)
        document = (await client.get("/v1/openapi.json")).json()
        schemas = document["components"]["schemas"]
        shown = schemas["Customer"]["properties"]["attributes"]["properties"]
        assert shown["skin"]["enum"] == ["dry", "oily"]
        assert shown["budget"]["$ref"] == "#/components/schemas/Money"
        sent = schemas["CustomerCreate"]["properties"]["attributes"]
        assert (sent["required"], sent["additionalProperties"]) == (["must"], False)
        assert "attributes" in schemas["CustomerCreate"]["required"]
        public = (await client.get("/openapi.json")).json()["components"]["schemas"]
        assert "properties" not in public["Customer"]["properties"]["attributes"]

    async def test_metadata_describes_everything(self, client):
        await define_all(client)
        entities = {each["name"]: each for each in (await client.get("/v1/metadata")).json()["entities"]}
        customer = entities["Customer"]
        assert [each["key"] for each in customer["attributes"]] == [*KINDS]
        fields = {each["name"]: each for each in customer["fields"]}
        assert fields["birthday"]["label"] == {"en": "Birthday", "zh": "生日"}
        assert (fields["owner_id"]["type"], fields["owner_id"]["refers_to"]) == ("id", "Staff")
        assert fields["gender"]["choices"] == ["female", "male", "other"]
        assert "attributes.shoe_size" in customer["orders"]
        assert {each["name"] for each in customer["filters"]} >= {"attribute", "q", "tag"}
        assert entities["Order"]["scope"] == "orders:read"
        assert all(each["label"]["zh"] != each["label"]["en"] for each in customer["fields"] if each["name"] != "id")
