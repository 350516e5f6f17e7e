"""Segments in GraphQL."""

from typing import Annotated, Any
from uuid import UUID

import orjson
from pydantic import Field, JsonValue

from crm_api.segments.language import RuleService
from crm_api.segments.models import (
    CustomerSearch,
    Preview,
    RuleDescribe,
    RuleParse,
    RuleSentence,
    SegmentCreate,
    SegmentUpdate,
)
from crm_api.segments.service import SegmentService
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get

SHOWN = {"segment": "Segment"}
IN_WORDS = {
    "rule": Annotated[dict[str, Any], Field(description="The tree, with the version of the rule language.")],
    "text": Annotated[str, Field(description="The text form as we write it.")],
    "sentence": Annotated[RuleSentence, Field(description="What it means, in English and Chinese.")],
}


async def _create(call: Call) -> dict[str, Any]:
    return {"segment": await SegmentService(call.unit).create(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await SegmentService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"segment": call.id}


async def _evaluate(call: Call) -> dict[str, Any]:
    await SegmentService(call.unit).evaluate_now(call.id)
    return {"segment": call.id}


async def _preview(call: Call) -> dict[str, Any]:
    found = await SegmentService(call.unit).preview(call.data)
    return {"count": found["count"], "sample": [UUID(each["id"]) for each in found["sample"]]}


async def _rule_fields(call: Call) -> dict[str, Any]:
    found = await SegmentService(call.unit).rule_fields()
    return {"fields": found["fields"], "collections": found["collections"]}


async def _parse(call: Call) -> dict[str, Any]:
    return await RuleService(call.unit).parse(call.data)


async def _describe(call: Call) -> dict[str, Any]:
    return await RuleService(call.unit).describe(call.data)


async def _schema(call: Call) -> dict[str, Any]:
    return {"schema": await RuleService(call.unit).schema()}


async def _search(call: Call) -> dict[str, Any]:
    # Only the ids: the planner reads what the selection asks for.
    body = await SegmentService(call.unit).search(call.data.model_copy(update={"fields": ["id"]}))
    found = orjson.loads(body)
    page = found["page"]
    return {
        "customers": [UUID(each["id"]) for each in found["data"]],
        "next": page["next"],
        "previous": page["previous"],
        "has_more": page["has_more"],
        "total": page.get("total"),
    }


GRAPHQL = GraphQLParts(
    queries={
        "segment": get("Segment", description="A segment by id."),
        "segments": connection("Segment", description="Groups of customers."),
        "segment_log": connection("SegmentLogEntry", description="Who entered and left, newest first."),
        "segment_preview": Computed(
            _preview,
            input=Preview,
            payload={"count": int, "sample": ["Customer"]},
            description="How many customers a rule selects now, and the newest 20; nothing is stored.",
        ),
        "rule_fields": Computed(
            _rule_fields,
            payload={
                "fields": Annotated[list[JsonValue], Field(description="Fields with types, operators and scopes.")],
                "collections": Annotated[
                    list[JsonValue], Field(description="Collections, with the aggregates they take.")
                ],
            },
            description="What rules can name, the shop's own attributes too.",
        ),
        "rule_schema": Computed(
            _schema,
            payload={"schema": Annotated[dict[str, Any], Field(description="JSON Schema 2020-12.")]},
            description="Exactly what a rule may be, for editors and generators.",
        ),
        "rule_parse": Computed(
            _parse,
            input=RuleParse,
            payload=IN_WORDS,
            description="The tree that a rule in words stands for; errors name the characters that are meant.",
        ),
        "rule_describe": Computed(
            _describe, input=RuleDescribe, payload=IN_WORDS, description="A rule in words: text form and sentence."
        ),
        "customer_search": Computed(
            _search,
            input=CustomerSearch,
            payload={
                "customers": ["Customer"],
                "next": str | None,
                "previous": str | None,
                "has_more": bool,
                "total": int | None,
            },
            description="One page of the customers a rule selects now.",
        ),
    },
    mutations={
        "segment_create": Mutation(
            _create, input=SegmentCreate, payload=SHOWN, description="Create a segment by rule."
        ),
        "segment_update": Mutation(
            _update,
            target="Segment",
            input=SegmentUpdate,
            versioned=True,
            payload=SHOWN,
            description="Rename, describe, archive, or give it another rule.",
        ),
        "segment_evaluate": Mutation(
            _evaluate, target="Segment", payload=SHOWN, description="Evaluate everybody again."
        ),
    },
)
