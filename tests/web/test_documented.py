"""The OpenAPI document says what everything is, and its examples work."""

import base64
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from graphql import build_schema
from jsonschema import Draft202012Validator

from tests.bad_input.world import STANDARD_SECRET, Shop
from tests.support.api import client_of
from tests.support.command_line import crm_api

WHATEVER = "01981a6e-0000-7000-8000-000000000000"
"""Stands in examples for the id of something that must exist."""

WHATEVER_ELSE = "01981a6e-0000-7000-8000-000000000001"
"""Another customer than that."""

PLACES = {
    "calendars": "calendar",
    "forms": "form",
    "form-submissions": "form_submission",
    "channels": "channel",
    "channel-messages": "channel_message",
    "contact-verifications": "verification",
    "cleanups": "cleanup",
    "customers": "customer",
    "duplicate-candidates": "candidate",
    "duplicate-runs": "duplicate_run",
    "attribute-definitions": "size",
    "households": "household",
    "household-members": "household_member",
    "company-contacts": "company_contact",
    "staff": "staff",
    "stores": "store",
    "teams": "team",
    "skills": "skill",
    "shifts": "shift",
    "courses": "course",
    "course-completions": "course_completion",
    "assignment-rules": "assignment_rule",
    "rebalancings": "rebalancing",
    "contact-standards": "contact_standard",
    "follow-up-plans": "follow_up_plan",
    "follow-ups": "follow_up",
    "products": "product",
    "orders": "order",
    "interactions": "interaction",
    "complaints": "complaint",
    "complaint-messages": "complaint_message",
    "complaint-clocks": "complaint_clock",
    "clock-policies": "clock_policy",
    "complaint-causes": "complaint_cause",
    "compensations": "compensation",
    "approval-limits": "approval_limit",
    "complaint-tellings": "telling",
    "complaint-ratings": "rating",
    "corrective-actions": "corrective_action",
    "redemptions": "redemption",
    "programmes": "programme",
    "wallets": "wallet",
    "lots": "lot",
    "holds": "hold",
    "schemes": "tier_scheme",
    "overrides": "tier_override",
    "replays": "tier_replay",
    "earning-rules": "earning_rule",
    "earnings": "earning",
    "voucher-campaigns": "voucher_campaign",
    "voucher-batches": "voucher_batch",
    "vouchers": "voucher",
    "referral-programmes": "referral_programme",
    "referral-codes": "referral_code",
    "referrals": "referral",
    "rewards": "reward",
    "reward-redemptions": "reward_redemption",
    "segments": "segment",
    "clusterings": "clustering",
    "sources": "source",
    "imports": "import",
    "uploads": "upload",
    "import-mappings": "import_mapping",
    "exports": "export",
}
"""Which of the shop's things `{id}` is below a collection."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """What the API says of itself, written by a process of its own: other tests here declare resources of theirs."""
    folder = tmp_path_factory.mktemp("documented")
    done = crm_api("schema", "export", "--dir", str(folder))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def document(exported):
    """The OpenAPI document."""
    return json.loads((exported / "openapi.json").read_bytes())


def operations(document):
    """Return every operation with its method and path."""
    return [
        (method.upper(), path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def bodies(document):
    """Return the schema and the examples of every request body, by method, path and media type."""
    found = {}
    for method, path, operation in operations(document):
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            shown = [each["value"] for each in content.get("examples", {}).values()]
            shown += [content["example"]] if "example" in content else []
            found[method, path, media] = (content["schema"], shown or examples_of(document, content["schema"]))
    return found


def resolved(document, schema):
    """Follow a reference."""
    name = schema.get("$ref", "").removeprefix("#/components/schemas/")
    return document["components"]["schemas"][name] if name else schema


def examples_of(document, schema):
    """Return a schema's whole examples, its alternatives' included."""
    schema = resolved(document, schema)
    inner = [example for each in schema.get("anyOf", ()) for example in examples_of(document, each)]
    return schema.get("examples", []) + inner


def test_every_property_is_described(document):
    silent = [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        for field, each in schema.get("properties", {}).items()
        if not (each.get("description") or resolved(document, each).get("description"))
    ]
    assert silent == []


def test_every_operation_is_described(document):
    silent = [
        f"{method} {path} {part}"
        for method, path, operation in operations(document)
        for part in ("summary", "description", "tags")
        if not operation.get(part)
    ]
    assert silent == []


def test_every_parameter_is_described(document):
    silent = [
        f"{method} {path} {each['name']}"
        for method, path, operation in operations(document)
        for each in operation.get("parameters", ())
        if not each.get("description")
    ]
    assert silent == []


def test_every_operation_says_that_an_address_may_be_unreadable(document):
    silent = [
        f"{method} {path}" for method, path, operation in operations(document) if "400" not in operation["responses"]
    ]
    assert [each for each in silent if "/v1/" in each] == []


def test_every_body_has_an_example(document):
    found = bodies(document)
    assert len(found) > 20
    assert [key for key, (_, examples) in found.items() if not examples] == []


def test_examples_fit_their_schemas(document):
    wrong = []
    for key, (schema, examples) in bodies(document).items():
        checker = Draft202012Validator(
            {**schema, "components": document["components"]}, format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        wrong += [(key, error.message) for example in examples for error in checker.iter_errors(example)]
    assert wrong == []


def test_nothing_in_graphql_repeats_its_name(exported):
    core = build_schema((exported / "schema.graphql").read_text(encoding="utf-8"))
    silent = []
    for kind in core.type_map.values():
        for name, field in getattr(kind, "fields", {}).items():
            silent += [f"{kind.name}.{name}"] if repeats(name, field.description) else []
            for arg, each in getattr(field, "args", {}).items():
                silent += [f"{kind.name}.{name}({arg})"] if repeats(arg, each.description) else []
    assert [each for each in silent if not each.startswith("__")] == []


def repeats(name, text):
    """Tell whether a text is nothing but the name in words."""
    words = re.sub(r"(?<!^)([A-Z])", r" \1", name).lower()
    return not text or text.lower().removesuffix(".") == words


@pytest_asyncio.fixture
async def shop_here(app, client, database, tenant, other_tenant):
    """A shop of this test's own with one of everything."""
    made = Shop(client)
    async with client_of(app, other_tenant.key) as other:
        await made.build(other)
    await made.run_jobs(database, tenant.id)
    made.places |= {"platform": "taobao", "external_id": "T-20261111-1"}
    return made


CODES = "/v1/customers/{id}/contact-points/{contact_point_id}/verification"
"""Refused for good reasons: the shop has sent a code a moment ago, and the example's code is a guess."""
TICKETS = "/v1/public/forms/{id}/submissions"
"""An example's ticket is not one that the form has just handed out; tests/forms send good ones."""
LINKS = "/v1/public/complaint-ratings/{id}"
"""Nor is an example's token that of a link; tests/closing send good ones."""
KINDS = {
    "/v1/complaints/{id}/tellings": "resolved",
    "/v1/segments/{id}/members": "listed_segment",
    "/v1/segments/{id}/retake": "snapshot",
    "/v1/compensations/{id}/reject": "proposal",
    "/v1/compensations/{id}/settle": "refund",
    "/v1/compensations/{id}/reverse": "settled_refund",
    "/v1/follow-ups/{id}/skip": "follow_up_to_skip",
    "/v1/follow-ups/{id}/snooze": "follow_up_to_snooze",
    "/v1/vouchers/redemptions/{id}": "voucher_use",
    "/v1/vouchers/redemptions/{id}/rollback": "voucher_use",
}
"""What is not done with the first thing of the collection: static segments, snapshots, vouchers' redemptions."""
PAIRS = "/v1/duplicate-candidates/{id}"
"""A pair is decided once, so only the first of its examples can be accepted."""
AGAIN = "/v1/clusterings/{id}/rerun"
"""Refused for a good reason: the shop's clustering waits for a worker, and is not done again before."""

DECIDED = ("/v1/rebalancings/{id}/reject", "/v1/compensations/{id}/approve")
"""Refused for a good reason: the example before it has approved the shop's only proposal; the shop's only key has
proposed what it would approve."""


SETTLED = (
    "/v1/loyalty/holds/{id}",
    "/v1/loyalty/reviews/{id}",
    "/v1/loyalty/reward-redemptions/{id}/cancel",
)
"""Held points are spent or let go once, and a review is decided once; what was handed over is not cancelled. Their
own tests do so with good ones."""


ONWARD = "/v1/complaints/{id}/follow-on"
"""Refused for a good reason: the shop's case is open, so it needs no other to go on in."""


ADOPTED = "/v1/clock-policies/adopt"
"""Refused for a good reason: the shop's preset has adopted all there are."""


ONE_EACH = "/v1/loyalty/tiers/schemes"
"""Refused for a good reason: each loyalty programme has one scheme, and the shop's preset has made it."""


def filled(shop, path):
    """Put the shop's things into a path."""
    collection = path.partition("/{id}")[0].rpartition("/")[2]
    here = {
        "id": shop.places.get(KINDS.get(path) or PLACES.get(collection, "")),
        "customer_id": shop.places["company" if path.endswith(("/contacts", "/rollup")) else "customer"],
        "source_id": shop.places["standard"],
        "contact_point_id": shop.places["contact_point"],
        "address_id": shop.places["address"],
        "staff_id": shop.places["staff"],
        "complaint_id": shop.places["complaint"],
        "skill_id": shop.places["skill"],
        "dimension": "frequency",
        "platform": shop.places["platform"],
        "external_id": shop.places["external_id"],
    }
    return re.sub(r"\{(\w+)\}", lambda found: here[found[1]], path)


async def sent(shop, method, path, media, example):
    """Send an example as it is, with ids that exist."""
    url = filled(shop, path)
    if media == "multipart/form-data":
        rest = {name: value for name, value in example.items() if name != "file"}
        return await shop.client.request(method, url, data=rest, files={"file": ("a.csv", example["file"].encode())})
    known = shop.places["upload" if path.startswith("/v1/imports/") else "staff" if about_staff(path) else "customer"]
    body = json.dumps(example).replace(WHATEVER, known).replace(WHATEVER_ELSE, shop.places["other"]).encode()
    # The shop has customers like those of the examples already.
    headers = {"content-type": media, "x-allow-duplicate": "true"}
    if path.startswith("/v1/inbound/"):
        headers |= signed(body)
    return await shop.client.request(method, url, content=body, headers=headers)


def about_staff(path):
    """Tell whether the ids in a body are those of staff."""
    asked = ("/v1/shifts", "/v1/courses", "/v1/rebalancings", "/v1/corrective-actions", "/v1/approval-limits")
    return path.startswith(asked) or path.endswith(("/owners", "/assign"))


def signed(body):
    """Return the headers of a Standard Webhooks sender."""
    moment = str(int(datetime.now(UTC).timestamp()))
    secret = base64.b64decode(STANDARD_SECRET.removeprefix("whsec_"))
    mark = base64.b64encode(hmac.digest(secret, f"m1.{moment}.".encode() + body, hashlib.sha256)).decode()
    return {"webhook-id": "m1", "webhook-timestamp": moment, "webhook-signature": f"v1,{mark}"}


@pytest.mark.database
@pytest.mark.asyncio
async def test_examples_of_bodies_are_accepted(document, shop_here):
    refused = []
    for (method, path, media), (_, examples) in bodies(document).items():
        skipped = path in {ONE_EACH, ADOPTED} or path.startswith(
            (CODES, PAIRS, TICKETS, LINKS, AGAIN, ONWARD, *DECIDED, *SETTLED)
        )
        for example in () if skipped else examples:
            answer = await sent(shop_here, method, path, media, example)
            if not answer.is_success:
                refused.append(f"{method} {path} {example}: {answer.status_code} {answer.text}")
    assert refused == []


@pytest.mark.database
@pytest.mark.asyncio
async def test_examples_of_fields_and_all_orders_are_accepted(document, shop_here):
    refused, tried = [], 0
    for method, path, operation in operations(document):
        for each in operation.get("parameters", ()):
            if each["name"] == "fields":
                values = each["schema"]["examples"]
            elif each["name"] == "order":
                choices = each["schema"]["anyOf"][0]
                values = choices.get("enum") or [choices["const"]]
            else:
                continue
            for value in (
                values if "{id}" not in path or path.partition("/{id}")[0].rpartition("/")[2] in PLACES else []
            ):
                tried += 1
                answer = await shop_here.client.request(method, filled(shop_here, path), params={each["name"]: value})
                if not answer.is_success:
                    refused.append(f"{path}?{each['name']}={value}: {answer.status_code} {answer.text}")
    assert refused == []
    assert tried > 50
