"""Which scope opens which operation: every operation of the OpenAPI document against every scope."""

from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from crm_api import admin
from crm_api.accounts.rules import SCOPES
from crm_api.core.actor import ADMIN
from crm_api.db.pool import Database
from crm_api.settings import Settings
from tests.bad_input.corpus.operations import filled, operations
from tests.support.api import application, client_of, make_tenant

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.database, pytest.mark.edge]

AREAS = {
    "stores": "accounts",
    "channels": "channels",
    "contact-verifications": "customers",
    "quality": "quality",
    "channel-messages": "channels",
    "staff": "accounts",
    "audit-log": "audit",
    "attribute-definitions": "attributes",
    "openapi.json": "attributes",
    "metadata": "attributes",
    "customers": "customers",
    "merges": "merges",
    "duplicate-candidates": "duplicates",
    "duplicate-runs": "duplicates",
    "company-contacts": "customers",
    "households": "customers",
    "household-members": "customers",
    "household-settings": "customers",
    "consents": "consent",
    "consent-texts": "consent",
    "consent-settings": "consent",
    "subject-exports": "privacy",
    "erasures": "privacy",
    "privacy-settings": "privacy",
    "products": "orders",
    "orders": "orders",
    "events": "events",
    "event-settings": "events",
    "identifications": "events",
    "identify": "events",
    "interactions": "interactions",
    "forms": "forms",
    "form-submissions": "forms",
    "complaints": "complaints",
    "loyalty": "loyalty",
    "voucher-campaigns": "vouchers",
    "voucher-batches": "vouchers",
    "vouchers": "vouchers",
    "referral-programmes": "referrals",
    "referral-codes": "referrals",
    "referrals": "referrals",
    "segments": "segments",
    "segment-reconciliations": "segments",
    "clusterings": "segments",
    "clustering-features": "segments",
    "churn": "churn",
    "patterns": "orders",
    "pattern-settings": "orders",
    "rule-fields": "segments",
    "rule-schema": "segments",
    "rules": "segments",
    "scoring-runs": "segments",
    "classifications": "segments",
    "classification-versions": "segments",
    "class-log": "segments",
    "period-scores": "segments",
    "analytics": "segments",
    "imports": "imports",
    "uploads": "imports",
    "import-mappings": "imports",
    "exports": "exports",
    "sources": "integrations",
    "inbound-deliveries": "integrations",
}
"""First part of the path → whose scopes it takes."""
EXCEPTIONS = {
    ("GET", "/v1/loyalty/reports/deferral"): {"loyalty:read", "orders:read"},
    ("GET", "/v1/loyalty/reports/vouchers"): {"loyalty:read", "vouchers:read"},
    ("GET", "/v1/loyalty/reports/referrals"): {"loyalty:read", "referrals:read"},
    ("POST", "/v1/customers/merge"): {"merges:write"},
    ("GET", "/v1/customers/{customer_id}/orders"): {"orders:read"},
    ("GET", "/v1/customers/{customer_id}/patterns"): {"orders:read"},
    ("PATCH", "/v1/pattern-settings"): {"orders:read", "orders:write"},  # it shows what it has changed
    ("GET", "/v1/customers/{customer_id}/events"): {"events:read"},
    ("GET", "/v1/customers/{customer_id}/viewed-not-bought"): {"events:read", "orders:read", "customers:read"},
    ("POST", "/v1/identify"): {"events:write", "events:read"},
    ("GET", "/v1/customers/{customer_id}/interactions"): {"interactions:read"},
    ("GET", "/v1/customers/{customer_id}/complaints"): {"complaints:read"},
    ("GET", "/v1/customers/{customer_id}/consents"): {"consent:read"},
    ("POST", "/v1/customers/{customer_id}/consents"): {"consent:write"},
    ("GET", "/v1/customers/{customer_id}/consent-state"): {"consent:read"},
    ("POST", "/v1/consents/evaluate"): {"consent:read"},
    ("GET", "/v1/customers/{customer_id}/quality"): {"quality:read", "customers:read"},
    ("GET", "/v1/quality/customers"): {"quality:read", "customers:read"},
    ("POST", "/v1/quality/cleanups"): {"quality:write", "quality:read", "customers:read"},
    ("GET", "/v1/customers/{customer_id}/subject-exports"): {"privacy:read"},
    ("POST", "/v1/customers/{customer_id}/subject-exports"): {"privacy:write"},
    ("GET", "/v1/customers/{customer_id}/erasures"): {"privacy:read"},
    ("POST", "/v1/customers/{customer_id}/erasures"): {"privacy:write"},
    ("GET", "/v1/customers/{id}/classes"): {"segments:read"},
    ("PUT", "/v1/customers/{id}/potential"): {"segments:write"},
    ("PATCH", "/v1/classifications/{dimension}"): {"segments:read", "segments:write"},  # it shows what it has changed
    ("PATCH", "/v1/household-settings"): {"customers:read", "customers:write"},  # it shows what it has changed
    ("POST", "/v1/segments"): {"segments:read", "segments:write", "customers:read"},  # the rule names a city
    ("POST", "/v1/segments/preview"): {"segments:read", "customers:read"},
    ("GET", "/v1/segments/{id}/explain/{customer_id}"): {"segments:read", "customers:read"},
    ("POST", "/v1/rules/explain"): {"segments:read", "customers:read"},
    ("GET", "/v1/customers/{id}/segment-log"): {"segments:read"},
    ("POST", "/v1/rules/parse"): {"segments:read", "customers:read"},
    ("POST", "/v1/rules/describe"): {"segments:read", "customers:read"},
    ("POST", "/v1/clusterings"): {"segments:read", "segments:write", "orders:read"},  # a feature of orders
    ("POST", "/v1/imports/preview"): {"imports:read"},
    ("POST", "/v1/exports"): {"exports:write", "exports:read", "customers:read"},  # an export of customers
    ("POST", "/v1/customers/search"): {"customers:read"},
    ("POST", "/v1/vouchers/validate"): {"vouchers:read"},
    ("POST", "/v1/loyalty/rewards/{id}/check"): {"loyalty:read"},
    ("POST", "/v1/vouchers/lookup"): {"vouchers:read"},
    ("GET", "/v1/customers/{customer_id}/churn"): {"churn:read"},
    ("PATCH", "/v1/churn/settings"): {"churn:write", "churn:read"},  # it shows what it has changed
    ("PATCH", "/v1/loyalty/earning-limits"): {"loyalty:write", "loyalty:read"},  # it shows what it has changed
    ("POST", "/v1/loyalty/simulate"): {"loyalty:read", "orders:read", "customers:read"},
}
ANSWERED = {
    "channels",
    "households",
    "attribute-definitions",
    "consent-texts",
    "stores",
    "staff",
    "customers",
    "products",
    "segments",
    "duplicate-runs",
    "scoring-runs",
    "sources",
    "forms",
    "churn/models",
    "loyalty/tiers/replays",
    "loyalty/programmes",
    "churn/assessments",
    "churn/backtests",
    "patterns/runs",
    "uploads",
    "import-mappings",
    "voucher-campaigns",
    "referral-programmes",
    "loyalty/earning-rules",
    "loyalty/rewards",
}
"""What ``POST /v1/<one of these>`` makes is shown in its answer, so the caller must also be allowed to read it."""
MONEY = {"amount": 1, "currency": "CNY"}
TIER = {"code": "x", "name": {"en": "x", "zh": "x"}, "threshold": 1}
CART = {"currency": "CNY", "items": [{"sku": "x", "unit_price": 1}]}
RULE = {"rule": {"field": "city", "op": "eq", "value": "x"}}
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/v1/stores"): {"name": "new"},
    ("POST", "/v1/staff"): {"name": "new"},
    ("POST", "/v1/attribute-definitions"): {"key": "new", "type": "text", "label": {"en": "x"}},
    ("POST", "/v1/customers"): {"name": "new"},
    ("POST", "/v1/customers/merge"): {"winner_id": str(uuid4()), "loser_ids": [str(uuid4())]},
    ("POST", "/v1/customers/{id}/addresses"): {"city": "x"},
    ("POST", "/v1/customers/batch"): {"items": [{"name": "new"}]},
    ("POST", "/v1/orders/batch"): {
        "items": [
            {
                "platform": "x",
                "external_id": "1",
                "customer_id": str(uuid4()),
                "status": "paid",
                "total": MONEY,
                "placed_at": "2026-05-01T00:00:00Z",
            }
        ]
    },
    ("POST", "/v1/interactions/batch"): {
        "items": [{"customer_id": str(uuid4()), "channel": "call", "direction": "inbound"}]
    },
    ("POST", "/v1/channels"): {"name": "x", "kind": "local"},
    ("POST", "/v1/channels/{id}/test"): {"to": "13812345678"},
    ("POST", "/v1/customers/{id}/contact-points/{contact_point_id}/verification/check"): {"code": "123456"},
    ("POST", "/v1/quality/cleanups"): {"actions": ["reclassify_phones"]},
    ("POST", "/v1/customers/{id}/contact-points"): {"kind": "email", "value": "a@example.com"},
    ("POST", "/v1/customers/{customer_id}/contacts"): {"customer_id": str(uuid4())},
    ("POST", "/v1/households"): {"name": "new"},
    ("POST", "/v1/households/{id}/members"): {"customer_id": str(uuid4()), "relation": "mother"},
    ("POST", "/v1/household-members/{id}/birth"): {"birthday": {"year": 2025, "month": 1, "day": 1}},
    ("POST", "/v1/customers/{id}/identities"): {"platform": "x", "external_id": "1"},
    ("POST", "/v1/customers/{customer_id}/consents"): {"purpose": "marketing", "action": "granted", "source": "x"},
    ("POST", "/v1/consents/evaluate"): {
        "purpose": "marketing",
        "channel": "sms",
        "recipients": [{"customer_id": str(uuid4())}],
    },
    ("POST", "/v1/consent-texts"): {"purpose": "marketing", "language": "zh", "title": "x", "body": "x"},
    ("POST", "/v1/products"): {"sku": "new", "name": "x"},
    ("PUT", "/v1/orders/{platform}/{external_id}"): {
        "customer_id": str(uuid4()),
        "status": "paid",
        "total": MONEY,
        "placed_at": "2026-05-01T00:00:00Z",
    },
    ("POST", "/v1/orders/{id}/refunds"): {"amount": MONEY},
    ("POST", "/v1/events/batch"): {
        "events": [
            {
                "id": "e-1",
                "type": "search",
                "occurred_at": "2026-11-11T00:00:00Z",
                "customer": {"customer_id": str(uuid4())},
            }
        ]
    },
    ("POST", "/v1/identify"): {"device_id": "d", "signed_out": True},
    ("PUT", "/v1/event-settings"): {"retention_days": 400},
    ("POST", "/v1/interactions"): {"customer_id": str(uuid4()), "channel": "call", "direction": "inbound"},
    ("POST", "/v1/forms"): {
        "name": "x",
        "kind": "activity",
        "title": "x",
        "fields": [{"key": "m", "label": "m", "type": "mobile", "maps_to": "mobile"}],
    },
    ("POST", "/v1/complaints"): {"customer_id": str(uuid4()), "channel": "call", "subject": "x"},
    ("POST", "/v1/complaints/{id}/transitions"): {"action": "acknowledge"},
    ("POST", "/v1/loyalty/accounts/{customer_id}/redemptions"): {"points": 1, "reason": "x"},
    ("POST", "/v1/loyalty/accounts/{customer_id}/adjustments"): {"points": 1, "reason": "x"},
    ("POST", "/v1/loyalty/tiers/schemes"): {
        "name": "x",
        "rules": {"metric": "visits", "window": "lifetime", "tiers": [TIER]},
    },
    ("POST", "/v1/loyalty/accounts/{customer_id}/tier/overrides"): {"tier": "x", "ends_at": "2999-01-01T00:00:00Z"},
    ("POST", "/v1/referral-programmes"): {"name": "new"},
    ("POST", "/v1/referral-programmes/{id}/codes"): {"customer_id": str(uuid4())},
    ("POST", "/v1/referrals"): {"code": "CODE", "customer_id": str(uuid4())},
    ("POST", "/v1/referrals/signals"): {"customer_id": str(uuid4()), "kind": "device", "value": "dev-1"},
    ("POST", "/v1/referrals/{id}/transitions"): {"action": "void", "reason": "x"},
    ("POST", "/v1/loyalty/accounts/{customer_id}/transfers"): {
        "to_customer_id": str(uuid4()),
        "points": 1,
        "reason": "x",
    },
    ("POST", "/v1/loyalty/accounts/{customer_id}/holds"): {"points": 1, "reason": "x"},
    ("POST", "/v1/loyalty/programmes"): {"name": "new"},
    ("POST", "/v1/segments"): {"name": "new", **RULE},
    ("POST", "/v1/segments/{id}/members"): {"customer_ids": [str(uuid4())]},
    ("DELETE", "/v1/segments/{id}/members"): {"customer_ids": [str(uuid4())]},
    ("POST", "/v1/clusterings"): {"name": "new", "features": [{"name": "order_count"}]},
    ("POST", "/v1/segments/preview"): RULE,
    ("POST", "/v1/rules/explain"): {**RULE, "customer_id": str(uuid4())},
    ("POST", "/v1/rules/parse"): {"text": "city = x"},
    ("POST", "/v1/rules/describe"): RULE,
    ("POST", "/v1/imports/start"): {"upload_id": str(uuid4()), "kind": "customers"},
    ("POST", "/v1/imports/preview"): {"upload_id": str(uuid4()), "kind": "customers"},
    ("POST", "/v1/exports"): {"resource": "customers"},
    ("POST", "/v1/import-mappings"): {"name": "x", "kind": "customers", "columns": {"a": "name"}},
    ("POST", "/v1/customers/search"): RULE,
    ("POST", "/v1/churn/backtests"): {"until": "2026-01-01"},
    ("POST", "/v1/loyalty/rewards"): {"name": "new", "kind": "service", "points": 1},
    ("POST", "/v1/loyalty/rewards/{id}/check"): {"customer_id": str(uuid4())},
    ("POST", "/v1/loyalty/rewards/{id}/redemptions"): {"customer_id": str(uuid4())},
    ("POST", "/v1/voucher-campaigns"): {"name": "new", "kind": "amount", "amount_off": MONEY},
    ("POST", "/v1/voucher-campaigns/{id}/batches"): {"count": 1},
    ("POST", "/v1/voucher-campaigns/{id}/vouchers"): {"customer_id": str(uuid4())},
    ("POST", "/v1/vouchers/lookup"): {"code": "SPRING"},
    ("POST", "/v1/vouchers/validate"): {"codes": ["SPRING"], "customer_id": str(uuid4()), "cart": CART},
    ("POST", "/v1/vouchers/locks"): {"codes": ["SPRING"], "session_id": "x", "cart": CART},
    ("POST", "/v1/vouchers/locks/release"): {"session_id": "x"},
    ("POST", "/v1/vouchers/redemptions"): {"codes": ["SPRING"], "order_ref": "x", "cart": CART},
    ("POST", "/v1/vouchers/redemptions/rollback"): {"order_ref": "x"},
    ("POST", "/v1/loyalty/earning-rules"): {
        "name": "new",
        "trigger": "birthday",
        "formula": {"kind": "fixed", "points": 1},
    },
    ("POST", "/v1/loyalty/earnings"): {"trigger": "survey", "customer_id": str(uuid4()), "reference": "x"},
    ("POST", "/v1/loyalty/simulate"): {"order_id": str(uuid4())},
    ("POST", "/v1/patterns/runs"): {"kind": "bought_together"},
    ("POST", "/v1/sources"): {"name": "x", "platform": "shopify", "secret": "0123456789"},
}
OPERATIONS = [(method, path) for method, path, each in operations() if each.get("security") != []]


def needed(method, path):
    """Return the scopes an operation takes."""
    if (method, path) in EXCEPTIONS:
        return EXCEPTIONS[method, path]
    area = AREAS[path.split("/")[2]]
    if method == "GET":
        return {f"{area}:read"}
    shows = method == "POST" and path.removeprefix("/v1/") in ANSWERED
    return {f"{area}:write", f"{area}:read"} if shows else {f"{area}:write"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clients(database_server):
    """Make a key for any set of scopes, once."""
    with database_server.migrated() as url:
        settings = Settings(database_url=url)
        tenant = await make_tenant(settings)
        database = await Database.open(settings)
        made = {}
        async with AsyncExitStack() as stack:
            app = await stack.enter_async_context(application(settings, database))

            async def client(scopes):
                if scopes not in made:
                    key = (await admin.create_key(settings, tenant.id, scopes)).api_key
                    made[scopes] = await stack.enter_async_context(client_of(app, key))
                return made[scopes]

            yield client
        await database.close()


async def call(client, method, path):
    """Call an operation with a body that passes its schema and ids of nothing."""
    concrete = filled(path)
    while "{" in concrete:
        start, end = concrete.index("{"), concrete.index("}")
        concrete = f"{concrete[:start]}{uuid4()}{concrete[end + 1 :]}"
    if (method, path) == ("POST", "/v1/uploads"):
        return await client.post(path, files={"file": ("a.csv", b"name\nx\n")})
    if (method, path) == ("POST", "/v1/imports"):
        return await client.post(path, data={"kind": "customers"}, files={"file": ("a.csv", b"name\nx\n")})
    body = BODIES.get((method, path), None if method in {"GET", "DELETE"} else {})
    return await client.request(method, concrete, **({} if body is None else {"json": body}))


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_all_other_scopes_do_not_open_it(clients, method, path):
    for scope in needed(method, path):
        answer = await call(await clients(frozenset(SCOPES - {scope, ADMIN})), method, path)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), answer.text
        assert answer.json()["required_scope"] == scope


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_its_own_scope_opens_it(clients, method, path):
    scopes = needed(method, path)
    if path in {"/v1/imports", "/v1/imports/start"} and method == "POST":
        scopes |= {"customers:write"}  # an import may do no more than its key
    answer = await call(await clients(frozenset(scopes)), method, path)
    assert answer.status_code not in {401, 403}, answer.text
    assert answer.status_code < 500


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_admin_opens_all(clients, method, path):
    answer = await call(await clients(frozenset({ADMIN})), method, path)
    assert answer.status_code not in {401, 403}, answer.text
    assert answer.status_code < 500
