"""Segments in GraphQL."""

from typing import Annotated, Any
from uuid import UUID

import orjson
from pydantic import Field, JsonValue

from crm_api.core.models import Instant
from crm_api.segments.explain import ExplainService
from crm_api.segments.following import SEGMENT_CHANGES
from crm_api.segments.language import RuleService
from crm_api.segments.models import (
    CustomerSearch,
    MembersChange,
    RuleDescribe,
    RuleParse,
    RuleSentence,
    SegmentCreate,
    SegmentRetake,
    SegmentUpdate,
)
from crm_api.segments.models_explain import Funnel, ListedNode, MembershipGap, NoFunnel, Preview, RuleExplain
from crm_api.segments.service import SegmentService
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get

SHOWN = {"segment": "Segment"}
IN_WORDS = {
    "rule": Annotated[dict[str, Any], Field(description="The tree, with the version of the rule language.")],
    "text": Annotated[str, Field(description="The text form as we write it.")],
    "sentence": Annotated[RuleSentence, Field(description="What it means, in English and Chinese.")],
}

AS_OF = Annotated[Instant, Field(description="What relative times are relative to.")]
FUNNEL = Annotated[
    Funnel | None,
    Field(description="How it narrows them down; null when `noFunnel` says why not."),
]
NO_FUNNEL = Annotated[NoFunnel | None, Field(description="Why there is no funnel; null when there is one.")]
GAP = Annotated[MembershipGap | None, Field(description="Why `member` is not what `holds` says; null when they agree.")]
EXPLAINED = {
    "as_of": AS_OF,
    "rule": Annotated[dict[str, Any] | None, Field(description="The rule; `pointer`s lead into it.")],
    "holds": Annotated[bool | None, Field(description="Whether the rule holds for the customer.")],
    "nodes": Annotated[
        list[ListedNode], Field(description="The nodes of the rule in the order they are written, the root first.")
    ],
}


async def _create(call: Call) -> dict[str, Any]:
    return {"segment": await SegmentService(call.unit).create(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await SegmentService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"segment": call.id}


async def _evaluate(call: Call) -> dict[str, Any]:
    await SegmentService(call.unit).evaluate_now(call.id)
    return {"segment": call.id}


async def _activate(call: Call) -> dict[str, Any]:
    await SegmentService(call.unit).activate(call.id, expected_version=call.version)
    return {"segment": call.id}


async def _retake(call: Call) -> dict[str, Any]:
    await SegmentService(call.unit).retake(call.id, call.data, expected_version=call.version)
    return {"segment": call.id}


async def _add_members(call: Call) -> dict[str, Any]:
    await SegmentService(call.unit).add_members(call.id, call.data)
    return {"segment": call.id}


async def _remove_members(call: Call) -> dict[str, Any]:
    await SegmentService(call.unit).remove_members(call.id, call.data)
    return {"segment": call.id}


async def _preview(call: Call) -> dict[str, Any]:
    found = await ExplainService(call.unit).preview(call.data)
    return {**found, "sample": [UUID(each["id"]) for each in found["sample"]]}


async def _explain_rule(call: Call) -> dict[str, Any]:
    said = await ExplainService(call.unit).rule(call.data)
    return {**said, "customer": said["customer_id"]}


async def _explain_segment(call: Call) -> dict[str, Any]:
    said = await ExplainService(call.unit).segment(call.id, call.extra["customer_id"])
    return {
        **said,
        "segment": said["segment_id"],
        "customer": said["customer_id"],
        "log": [UUID(each["id"]) for each in said["log"]],
    }


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
    subscriptions={"segment_changes": SEGMENT_CHANGES},
    queries={
        "segment": get("Segment", description="A segment by id."),
        "segments": connection("Segment", description="Groups of customers."),
        "segment_log": connection("SegmentLogEntry", description="Who entered and left, newest first."),
        "segment_reconciliations": connection(
            "SegmentReconciliation", description="What the nightly checks of segments found, newest first."
        ),
        "segment_preview": Computed(
            _preview,
            input=Preview,
            payload={"count": int, "sample": ["Customer"], "as_of": AS_OF, "funnel": FUNNEL, "no_funnel": NO_FUNNEL},
            description="How many customers a rule selects, the newest 20, and how it narrows them down; nothing is "
            "stored.",
        ),
        "segment_explain": Computed(
            _explain_segment,
            target="Segment",
            extra={"customer_id": Annotated[UUID, Field(description="Whom to ask about.")]},
            payload={
                "segment": "Segment",
                "customer": "Customer",
                "member": Annotated[bool, Field(description="Whether the customer is a member, as stored.")],
                "entered_at": Annotated[Instant | None, Field(description="Since when; null when no member.")],
                "gap": GAP,
                **EXPLAINED,
                "log": ["SegmentLogEntry"],
            },
            description="Why a customer is in a segment or not: the rule node by node with the values found now, the "
            "stored membership, and its newest 10 log entries.",
        ),
        "rule_explain": Computed(
            _explain_rule,
            input=RuleExplain,
            payload={"customer": "Customer", **EXPLAINED},
            description="What a rule says of a customer, node by node, with the values found.",
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
            _create,
            input=SegmentCreate,
            payload=SHOWN,
            description="Create a segment: kept by a rule, by hand, or frozen.",
        ),
        "segment_update": Mutation(
            _update,
            target="Segment",
            input=SegmentUpdate,
            versioned=True,
            payload=SHOWN,
            description="Rename, describe, archive, or give it another rule.",
        ),
        "segment_activate": Mutation(
            _activate, target="Segment", versioned=True, payload=SHOWN, description="Have a draft evaluated and kept."
        ),
        "segment_retake": Mutation(
            _retake,
            target="Segment",
            input=SegmentRetake,
            versioned=True,
            payload=SHOWN,
            description="Take a snapshot anew.",
        ),
        "segment_members_add": Mutation(
            _add_members,
            target="Segment",
            input=MembersChange,
            payload=SHOWN,
            description="Add members to a static segment.",
        ),
        "segment_members_remove": Mutation(
            _remove_members,
            target="Segment",
            input=MembersChange,
            payload=SHOWN,
            description="Remove members from a static segment.",
        ),
        "segment_evaluate": Mutation(
            _evaluate, target="Segment", payload=SHOWN, description="Evaluate everybody again."
        ),
    },
)
