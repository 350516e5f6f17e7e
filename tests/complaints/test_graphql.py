"""Interactions, timelines and complaints in GraphQL."""

import orjson
import pytest
import pytest_asyncio

from crm_api.registry import parts
from crm_api.web.graphql.app import compose
from crm_api.web.graphql.engine import Engine, Request
from crm_api.web.graphql.limits import Limits

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


@pytest.fixture(scope="module")
def engine():
    return Engine(compose([module.GRAPHQL for module in parts("graphql")]), Limits())


@pytest_asyncio.fixture
async def ask(engine, database, tenant):
    async def asked(text, actor=None, **variables):
        answer = await engine.run(Request(text, variables), actor or tenant.actor, database)
        return orjson.loads(answer.body)

    return asked


async def data(asking):
    body = await asking
    assert "errors" not in body, body
    return body["data"]


@pytest_asyncio.fixture
async def customer(ask):
    made = await data(ask('mutation { customerCreate(input: {name: "王小明"}) { customer { id } } }'))
    return made["customerCreate"]["customer"]["id"]


OPEN = """mutation ($input: ComplaintOpenInput!) {
  complaintOpen(input: $input) {
    complaint { id state open version steps { action to } } userErrors { code path message } } }"""
MOVE = """mutation ($input: ComplaintTransitionInput!) {
  complaintTransition(input: $input) {
    complaint { state version events { nodes { action fromState toState } } } userErrors { code path } } }"""
LOG = """mutation ($input: InteractionLogInput!) {
  interactionLog(input: $input) { interaction { id channel customer { name } } userErrors { code path } } }"""


async def opened(ask, customer, **fields):
    given = {"customerId": customer, "channel": "WECHAT", "subject": "收到的虾已变质", **fields}
    return (await data(ask(OPEN, input=given)))["complaintOpen"]


async def logged(ask, customer, **fields):
    given = {"customerId": customer, "channel": "CALL", "direction": "INBOUND", **fields}
    return (await data(ask(LOG, input=given)))["interactionLog"]


class TestComplaints:
    async def test_open_and_move(self, ask, customer):
        made = await opened(ask, customer, severity="S1")
        assert made["userErrors"] == []
        case = made["complaint"]
        assert case["id"].startswith("Complaint:")
        assert (case["state"], case["open"], case["version"]) == ("RECEIVED", True, 1)
        assert {"action": "ACKNOWLEDGE", "to": "ACKNOWLEDGED"} in case["steps"]
        moved = (await data(ask(MOVE, input={"id": case["id"], "to": "ACKNOWLEDGED", "expectedVersion": 1})))[
            "complaintTransition"
        ]
        assert moved["userErrors"] == []
        assert moved["complaint"]["state"] == "ACKNOWLEDGED"
        assert [each["action"] for each in moved["complaint"]["events"]["nodes"]] == ["open", "acknowledge"]

    async def test_refusals_are_user_errors_and_change_nothing(self, ask, customer):
        case = (await opened(ask, customer, sourceRef="taobao:1"))["complaint"]
        for given, code in (
            ({"to": "CLOSED"}, "transition_not_allowed"),
            ({"to": "REJECTED"}, "required"),
            ({"to": "ACKNOWLEDGED", "expectedVersion": 7}, "precondition_failed"),
        ):
            refused = (await data(ask(MOVE, input={"id": case["id"], **given})))["complaintTransition"]
            assert refused["complaint"] is None
            assert refused["userErrors"][0]["code"] == code
        again = await opened(ask, customer, sourceRef="taobao:1")
        assert (again["complaint"], again["userErrors"][0]["code"]) == (None, "duplicate")
        read = await data(ask("query ($id: ID!) { complaint(id: $id) { version state } }", id=case["id"]))
        assert read["complaint"] == {"version": 1, "state": "RECEIVED"}

    async def test_hang_on_their_customer(self, ask, customer):
        await opened(ask, customer, severity="S1")
        gone = (await opened(ask, customer))["complaint"]
        await data(ask(MOVE, input={"id": gone["id"], "action": "WITHDRAW"}))
        text = """query ($id: ID!) { customer(id: $id) {
          complaints(open: true) { totalCount nodes { severity customer { id } } }
          all: complaints { totalCount } } }"""
        found = (await data(ask(text, id=customer)))["customer"]
        assert found["complaints"] == {"totalCount": 1, "nodes": [{"severity": "S1", "customer": {"id": customer}}]}
        assert found["all"]["totalCount"] == 2

    async def test_link_interactions(self, ask, customer):
        case = (await opened(ask, customer))["complaint"]
        talk = (await logged(ask, customer))["interaction"]
        await logged(ask, customer)
        text = """mutation ($input: ComplaintLinkInteractionInput!) { complaintLinkInteraction(input: $input) {
          complaint { interactions { nodes { id complaints { nodes { id } } } } } userErrors { code } } }"""
        made = await data(ask(text, input={"id": case["id"], "interactionId": talk["id"]}))
        nodes = made["complaintLinkInteraction"]["complaint"]["interactions"]["nodes"]
        assert nodes == [{"id": talk["id"], "complaints": {"nodes": [{"id": case["id"]}]}}]
        text = text.replace("Link", "Unlink").replace("complaintLink", "complaintUnlink")
        made = await data(ask(text, input={"id": case["id"], "interactionId": talk["id"]}))
        assert made["complaintUnlinkInteraction"]["complaint"]["interactions"]["nodes"] == []


class TestInteractions:
    async def test_log_and_list(self, ask, customer):
        made = await logged(ask, customer, attachments=["https://files.example.com/a.mp3"])
        assert made["interaction"] == {
            "id": made["interaction"]["id"],
            "channel": "CALL",
            "customer": {"name": "王小明"},
        }
        text = """query ($id: ID!) { customer(id: $id) { interactions(channel: CALL) { nodes { id attachments } } } }"""
        found = (await data(ask(text, id=customer)))["customer"]["interactions"]["nodes"]
        assert found == [{"id": made["interaction"]["id"], "attachments": ["https://files.example.com/a.mp3"]}]

    async def test_a_bad_value_is_a_user_error(self, ask, customer):
        refused = await logged(ask, customer, durationSeconds=-1)
        assert refused["interaction"] is None
        assert (refused["userErrors"][0]["code"], refused["userErrors"][0]["path"]) == (
            "out_of_range",
            ["input", "durationSeconds"],
        )


class TestTimeline:
    async def test_pages(self, ask, customer):
        await logged(ask, customer, occurredAt="2026-01-01T00:00:00Z")
        await opened(ask, customer, receivedAt="2026-01-02T00:00:00Z")
        text = """query ($input: CustomerTimelineInput!) {
          customerTimeline(input: $input) { entries { kind at id title data } next hasMore total } }"""
        first = (await data(ask(text, input={"id": customer, "first": 2, "count": True})))["customerTimeline"]
        assert [entry["kind"] for entry in first["entries"]] == ["customer_created", "complaint"]
        assert (first["hasMore"], first["total"]) == (True, 3)
        shown = (await data(ask("{ complaints { nodes { id } } }")))["complaints"]["nodes"][0]
        about = first["entries"][1]
        assert f"Complaint:{about['id']}" == shown["id"]
        assert about["at"] == "2026-01-02T00:00:00+00:00"
        assert isinstance(about["data"], dict)
        rest = (await data(ask(text, input={"id": customer, "after": first["next"]})))["customerTimeline"]
        assert [entry["kind"] for entry in rest["entries"]] == ["interaction"]
        assert (rest["hasMore"], rest["next"]) == (False, None)

    async def test_refusals(self, ask, tenant, customer):
        await logged(ask, customer)
        text = (
            """query ($input: CustomerTimelineInput!) { customerTimeline(input: $input) { entries { kind } next } }"""
        )
        page = await data(ask(text, input={"id": customer, "first": 1}))
        position = page["customerTimeline"]["next"]
        for given in ({"first": 0}, {"after": "x"}, {"kinds": ["dreams"]}, {"after": position, "before": position}):
            assert (await ask(text, input={"id": customer, **given}))["errors"]
        blind = tenant.actor_with("interactions:read")
        assert (await ask(text, actor=blind, input={"id": customer}))["errors"]


SAY = """mutation ($input: ComplaintMessageAddInput!) {
  complaintMessageAdd(input: $input) {
    complaintMessage { id direction kind attachments { url mediaType bytes } complaint { id } }
    complaint { state }
    userErrors { code path } } }"""


async def test_messages_of_a_family(ask, customer):
    parent, child = [(await opened(ask, customer))["complaint"]["id"] for _ in range(2)]
    files = [{"url": "https://f.example.com/a.jpg", "mediaType": "image/jpeg", "bytes": 9}]
    word = {"id": child, "direction": "IN", "body": "有异味", "attachments": files}
    made = (await data(ask(SAY, input=word)))["complaintMessageAdd"]
    assert made["userErrors"] == []
    assert made["complaintMessage"]["attachments"] == files
    assert (made["complaintMessage"]["kind"], made["complaintMessage"]["complaint"]["id"]) == ("MESSAGE", child)
    await data(ask(MOVE, input={"id": child, "action": "MARK_DUPLICATE", "mergedInto": parent}))
    query = """query ($id: ID!) { complaint(id: $id) {
      messages { nodes { id } } duplicates { nodes { id mergedFrom steps { action to } } } } }"""
    seen = (await data(ask(query, id=parent)))["complaint"]
    assert seen["messages"]["nodes"] == [{"id": made["complaintMessage"]["id"]}]
    (duplicate,) = seen["duplicates"]["nodes"]
    assert (duplicate["id"], duplicate["mergedFrom"]) == (child, "RECEIVED")
    assert duplicate["steps"] == [{"action": "UNMERGE", "to": "RECEIVED"}]
    listed = "query ($of: ID) { complaintMessages(complaintId: $of, direction: IN) { nodes { id } } }"
    assert (await data(ask(listed, of=parent)))["complaintMessages"]["nodes"] == seen["messages"]["nodes"]
    refused = await data(ask(SAY, input={"id": parent, "direction": "OUT", "body": "x", "tells": True}))
    assert refused["complaintMessageAdd"]["userErrors"] == [{"code": "nothing_to_tell", "path": None}]


async def test_goods_orders_and_causes(ask, customer):
    made = await data(ask('mutation { productCreate(input: {sku: "SHRIMP", name: "大虾"}) { product { id } } }'))
    product = made["productCreate"]["product"]["id"]
    goods = [{"sku": "SHRIMP", "batch": "B7", "quantity": 2}]
    case = (await opened(ask, customer, products=goods, category="quality/cold_chain"))["complaint"]["id"]
    query = """query ($id: ID!, $product: ID!) {
      complaint(id: $id) {
        orderIds orders { nodes { id } } categoryEntry { path name { en zh } }
        products { batch quantity productId product { id name complaints { nodes { id } } } } }
      complaints(productId: $product, batch: "B7", category: "quality") { nodes { id } } }"""
    seen = await data(ask(query, id=case, product=product))
    assert seen["complaints"]["nodes"] == [{"id": case}]
    assert seen["complaint"] == {
        "orderIds": [],
        "orders": {"nodes": []},
        "categoryEntry": {"path": "quality/cold_chain", "name": {"en": "Cold chain broken", "zh": "冷链断裂"}},
        "products": [
            {
                "batch": "B7",
                "quantity": 2,
                "productId": product,
                "product": {"id": product, "name": "大虾", "complaints": {"nodes": [{"id": case}]}},
            }
        ],
    }


async def test_taxonomy_settings_and_follow_ons(ask, customer):
    made = await data(
        ask(
            """mutation {
              complaintCauseCreate(input: {path: "ice", name: {en: "Ice", zh: "冰"}}) {
                complaintCause { id path version } userErrors { code } } }"""
        )
    )
    cause = made["complaintCauseCreate"]["complaintCause"]
    assert (cause["path"], cause["version"]) == ("ice", 1)
    archive = """mutation ($id: ID!) {
      complaintCauseUpdate(input: {id: $id, archived: true, expectedVersion: 1}) {
        complaintCause { archived name { zh } } userErrors { code } } }"""
    updated = (await data(ask(archive, id=cause["id"])))["complaintCauseUpdate"]
    assert updated["complaintCause"] == {"archived": True, "name": {"zh": "冰"}}
    changed = await data(
        ask("mutation { complaintSettingsUpdate(input: {reopenDays: 0}) { settings { reopenDays closeAfterDays } } }")
    )
    assert changed["complaintSettingsUpdate"]["settings"] == {"reopenDays": 0, "closeAfterDays": 14}
    assert (await data(ask("{ complaintSettings { reopenDays } }")))["complaintSettings"] == {"reopenDays": 0}

    case = (await opened(ask, customer))["complaint"]["id"]
    follow = """mutation ($id: ID!) { complaintFollowOn(input: {id: $id, subject: "又坏了"}) {
      complaint { id subject reopens { id } } userErrors { code } } }"""
    refused = (await data(ask(follow, id=case)))["complaintFollowOn"]
    assert (refused["complaint"], refused["userErrors"]) == (None, [{"code": "can_be_reopened"}])
    await data(ask(MOVE, input={"id": case, "action": "WITHDRAW"}))
    new = (await data(ask(follow, id=case)))["complaintFollowOn"]["complaint"]
    assert (new["subject"], new["reopens"]) == ("又坏了", {"id": case})
    seen = await data(ask("query ($id: ID!) { complaint(id: $id) { followOns { nodes { id } } } }", id=case))
    assert seen["complaint"]["followOns"]["nodes"] == [{"id": new["id"]}]
