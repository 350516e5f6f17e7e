"""Segments and search by rule over REST."""

from typing import Any
from uuid import UUID

import orjson
from starlette.responses import Response

from crm_api.segments.explain import ExplainService, nested
from crm_api.segments.language import RuleService
from crm_api.segments.models import (
    CustomerSearch,
    MembersChange,
    RuleDescribe,
    RuleInWords,
    RuleParse,
    SegmentCreate,
    SegmentRetake,
    SegmentUpdate,
)
from crm_api.segments.models_explain import (
    Preview,
    PreviewResult,
    RuleExplain,
    RuleExplanation,
    SegmentExplanation,
)
from crm_api.segments.repository import SEGMENT, SEGMENT_LOG_ENTRY, SEGMENT_RECONCILIATION
from crm_api.segments.service import SegmentService
from crm_api.web.resources import (
    JSON,
    READ_PROBLEMS,
    After,
    Before,
    Count,
    Fields,
    Limit,
    add_get,
    add_list,
    crm_router,
    page_request,
    parse_fields,
    problem_responses,
    resource,
    shown,
)
from crm_api.web.units import ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("segments")

_CUSTOMERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One page of customers.",
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/CustomerPage"}}},
    },
    **READ_PROBLEMS,
    **problem_responses(413, 415),
}
_PREVIEW: dict[int | str, dict[str, Any]] = {
    200: {
        "model": PreviewResult,
        "description": "What the rule selects.",
        "content": {
            JSON: {
                "schema": {
                    "properties": {
                        "sample": {"type": "array", "items": {"$ref": "#/components/schemas/Customer"}},
                    }
                }
            }
        },
    },
    **READ_PROBLEMS,
    **problem_responses(413, 415),
}

add_list(router, "/segments", SEGMENT, summary="List segments")
add_get(router, "/segments", SEGMENT, summary="Get a segment")
add_list(
    router,
    "/segments/{id}/reconciliations",
    SEGMENT_RECONCILIATION,
    summary="List what the nightly checks of a segment found",
    parent=("id", "segment_id"),
)
add_list(router, "/segment-reconciliations", SEGMENT_RECONCILIATION, summary="List what the nightly checks found")
add_list(
    router,
    "/segments/{id}/log",
    SEGMENT_LOG_ENTRY,
    summary="List who entered and left, newest first",
    parent=("id", "segment_id"),
)
add_list(
    router,
    "/customers/{id}/segment-log",
    SEGMENT_LOG_ENTRY,
    summary="List a customer's entries into segments and exits, newest first",
    parent=("id", "customer_id"),
)


@router.post(
    "/segments", status_code=201, summary="Create a segment", responses=shown("Segment", 201), response_model=None
)
async def create_segment(unit: WriteUnit, body: SegmentCreate) -> Response:
    """Create a segment: kept by a rule, by hand, or frozen.

    By a rule it is `compiling` until everybody has been evaluated, then kept up to date. A rule may name other
    segments, not in a circle.
    """
    segment_id = await SegmentService(unit).create(body)
    return await resource(unit, SEGMENT, segment_id, status=201, location="/v1/segments")


@router.post("/segments/preview", summary="Try a rule", responses=_PREVIEW, response_model=None)
async def preview_segment(unit: ReadUnit, body: Preview) -> Response:
    """Count the customers a rule selects, show the newest 20 and how it narrows them down; nothing is stored."""
    return Response(orjson.dumps(await ExplainService(unit).preview(body)), media_type=JSON)


@router.patch("/segments/{id}", summary="Change a segment", responses=shown("Segment"), response_model=None)
async def update_segment(unit: WriteUnit, id: UUID, body: SegmentUpdate, version: ExpectedVersion) -> Response:
    """Rename, describe, archive, or give it another rule."""
    await SegmentService(unit).update(id, body, expected_version=version)
    return await resource(unit, SEGMENT, id)


@router.post("/segments/{id}/activate", summary="Activate a draft", responses=shown("Segment"), response_model=None)
async def activate_segment(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Have a draft evaluated and kept from now on."""
    await SegmentService(unit).activate(id, expected_version=version)
    return await resource(unit, SEGMENT, id)


@router.post(
    "/segments/{id}/retake",
    status_code=202,
    summary="Take a snapshot anew",
    responses=shown("Segment", 202),
    response_model=None,
)
async def retake_segment(
    unit: WriteUnit, id: UUID, version: ExpectedVersion, body: SegmentRetake | None = None
) -> Response:
    """Queue the evaluation of a snapshot as of another moment; its members stay until the new ones are known."""
    await SegmentService(unit).retake(id, body or SegmentRetake(), expected_version=version)
    return await resource(unit, SEGMENT, id, status=202)


@router.post(
    "/segments/{id}/members", summary="Add members to a static segment", responses=shown("Segment"), response_model=None
)
async def add_segment_members(unit: WriteUnit, id: UUID, body: MembersChange) -> Response:
    """Add up to 1,000 customers, all or none; who is a member already stays one."""
    await SegmentService(unit).add_members(id, body)
    return await resource(unit, SEGMENT, id)


@router.delete(
    "/segments/{id}/members",
    summary="Remove members from a static segment",
    responses=shown("Segment"),
    response_model=None,
)
async def remove_segment_members(unit: WriteUnit, id: UUID, body: MembersChange) -> Response:
    """Remove up to 1,000 customers, all or none; who is no member is passed over."""
    await SegmentService(unit).remove_members(id, body)
    return await resource(unit, SEGMENT, id)


@router.post(
    "/segments/{id}/evaluate",
    status_code=202,
    summary="Evaluate everybody again",
    responses=shown("Segment", 202),
    response_model=None,
)
async def evaluate_segment(unit: WriteUnit, id: UUID) -> Response:
    """Queue a full evaluation; segments also follow every change by themselves."""
    await SegmentService(unit).evaluate_now(id)
    return await resource(unit, SEGMENT, id, status=202)


@router.get("/segments/{id}/members", summary="List a segment's members", responses=_CUSTOMERS, response_model=None)
async def list_segment_members(
    unit: ReadUnit,
    id: UUID,
    limit: Limit = 50,
    after: After = None,
    before: Before = None,
    count: Count = None,
    fields: Fields = None,
) -> Response:
    """List the customers in a segment, newest first."""
    page = page_request(limit, after, before, count)
    body = await SegmentService(unit).members(id, page, fields=parse_fields(fields))
    return Response(body, media_type=JSON)


@router.post("/customers/search", summary="Search customers by rule", responses=_CUSTOMERS, response_model=None)
async def search_customers(unit: ReadUnit, body: CustomerSearch) -> Response:
    """List the customers a rule selects now; `GET /v1/rule-fields` shows what rules can name, and the scopes."""
    return Response(await SegmentService(unit).search(body), media_type=JSON)


@router.get(
    "/rule-fields",
    summary="List what rules can name",
    responses={200: {"description": "Fields and collections with their types and operators."}, **READ_PROBLEMS},
)
async def list_rule_fields(unit: ReadUnit) -> dict[str, Any]:
    """Describe the rule language's fields, the shop's own attributes too; `scope` is what a key needs to name one."""
    return await SegmentService(unit).rule_fields()


@router.get(
    "/rule-schema",
    summary="The JSON Schema of rules",
    responses={200: {"description": "A JSON Schema (2020-12); its `$id` carries the version."}, **READ_PROBLEMS},
)
async def show_rule_schema(unit: ReadUnit) -> dict[str, Any]:
    """Describe exactly what a rule may be, for editors and generators: every field with its operators and values."""
    return await RuleService(unit).schema()


@router.post(
    "/rules/parse",
    summary="Read a rule in words",
    response_model=RuleInWords,
    responses={**READ_PROBLEMS, **problem_responses(413, 415)},
)
async def parse_rule(unit: ReadUnit, body: RuleParse) -> dict[str, Any]:
    """Turn the text form into the tree; errors carry the `position` of the characters that are meant."""
    return await RuleService(unit).parse(body)


@router.post(
    "/rules/describe",
    summary="Put a rule into words",
    response_model=RuleInWords,
    responses={**READ_PROBLEMS, **problem_responses(413, 415)},
)
async def describe_rule(unit: ReadUnit, body: RuleDescribe) -> dict[str, Any]:
    """Check a rule and answer its text form and a sentence in English and Chinese."""
    return await RuleService(unit).describe(body)


@router.get(
    "/segments/{id}/explain/{customer_id}",
    summary="Explain why a customer is in a segment or not",
    responses={
        200: {"model": SegmentExplanation, "description": "The reasons."},
        **READ_PROBLEMS,
        **problem_responses(409),
    },
    response_model=None,
)
async def explain_membership(unit: ReadUnit, id: UUID, customer_id: UUID) -> Response:
    """Show the rule node by node with the values found now, the stored membership, and how it came about."""
    return _as_tree(await ExplainService(unit).segment(id, customer_id))


@router.post(
    "/rules/explain",
    summary="Explain what a rule says of a customer",
    responses={
        200: {"model": RuleExplanation, "description": "The reasons."},
        **READ_PROBLEMS,
        **problem_responses(413, 415),
    },
    response_model=None,
)
async def explain_rule(unit: ReadUnit, body: RuleExplain) -> Response:
    """Show the rule node by node with the values found at the customer; nothing is stored."""
    return _as_tree(await ExplainService(unit).rule(body))


def _as_tree(said: dict[str, Any]) -> Response:
    tree = nested(said.pop("nodes"))
    return Response(orjson.dumps({**said, "tree": tree}), media_type=JSON)
