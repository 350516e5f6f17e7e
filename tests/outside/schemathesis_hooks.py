"""What schemathesis cannot know from the documents alone: error codes, sound clients, links, a scalar.

Error codes: schemathesis knows those of Apollo and graphql-java. Ours are those of ``crm_api.core.errors``, and
``internal_error`` is the only one that means we failed: every other code names a fault of the request, which generated
requests are meant to have. An error without a code is judged as by default, so forgetting the code shows.
"""

import json
import re
import uuid

import graphql
import schemathesis
from hypothesis import strategies as st
from schemathesis.generation.meta import CoverageScenario
from schemathesis.specs.graphql import validation

FAILURES = validation.SERVER_ERROR_MARKERS | {"internal_error"}
MADE = "$response.body#/id"


class TheirFaults(frozenset):
    """All codes but those that mean the server failed."""

    def __contains__(self, code: object) -> bool:
        return code not in FAILURES


validation.SERVER_ERROR_MARKERS = FAILURES
validation.CLIENT_ERROR_MARKERS = TheirFaults()


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Say which operations take the id that another one gives, so that the stateful phase reaches them.

    ``POST /v1/complaints`` feeds ``{id}`` of all below ``/v1/complaints/{id}``; ``POST /v1/customers`` also feeds every
    ``{customer_id}`` and every body with a ``customer_id``.
    """
    one_reader_of_rules(raw_schema)
    for path, methods in raw_schema.get("paths", {}).items():  # GraphQL has none
        for operation in methods.values():
            for code in {"201", "202"} & set(operation["responses"]):
                operation["responses"][code].setdefault("links", {}).update(links_from(path, raw_schema))


def one_reader_of_rules(document):
    """Let `POST /v1/rules/explain` alone be asked with whole rule trees, and the others with any object.

    All hand a rule to the same reader, and a tree costs some 3,000 requests wherever it stands.
    """
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        for member in {} if name == "RuleExplain" else schema.get("properties", {}).values():
            if {"$ref": "#/components/schemas/RuleNode"} in member.get("anyOf", ()):
                others = [each for each in member["anyOf"] if "$ref" not in each]
                member["anyOf"] = [{"type": "object"}, *others]


def links_from(path, document):
    """Return the links from the operation that makes a member of a collection to those that work on it."""
    links = {}
    for target, methods in document["paths"].items():
        for operation in methods.values():
            link = {}
            if target.startswith(f"{path}/{{id}}"):
                link["parameters"] = {"path.id": MADE}
            elif path == "/v1/customers" and "{customer_id}" in target:
                link["parameters"] = {"path.customer_id": MADE}
            elif path == "/v1/customers" and "customer_id" in body_properties(operation, document):
                link["requestBody"] = {"customer_id": MADE}
            if link:
                links[operation["operationId"]] = {"operationId": operation["operationId"], **link}
    return links


def body_properties(operation, document):
    """Return the names of an operation's JSON body."""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    name = body.get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"].get(name, body).get("properties", {})


@schemathesis.hook
def before_call(context, case, kwargs):
    """Be a sound client where the document alone does not say how.

    * It describes whole resources; `fields=` answers with the part that was asked for, which our own tests check.
      Requests that are meant to fail keep their `fields`.
    * An `Idempotency-Key` names one request: with the same key, the answer of the request before would come again.
    """
    scenario = getattr(case.meta and case.meta.phase.data, "scenario", None)
    if scenario is CoverageScenario.MISSING_PARAMETER:
        return  # an edit would make schemathesis forget what it left out
    if case.meta is None or case.meta.generation.mode.is_positive:
        (case.query or {}).pop("fields", None)
    key = (case.headers or {}).get("idempotency-key")
    if isinstance(key, str) and re.fullmatch(r"[!-~]{1,255}", key):
        case.headers["idempotency-key"] = str(uuid.uuid4())


def literal(value: object) -> str:
    """Write a JSON value as a GraphQL literal: only the keys of objects look different."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {literal(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return json.dumps(value)


# Where the schema says JSON (a rule tree, an order's own fields): well-formed for its place or not.
NAMES = st.sampled_from(["all", "any", "not", "field", "op", "value"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
schemathesis.graphql.scalar("JSON", VALUES.map(lambda value: graphql.parse_value(literal(value))))
