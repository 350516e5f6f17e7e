"""Merges in GraphQL."""

from typing import Annotated, Any

from pydantic import Field

from crm_api.merges.models import MergePreview, MergeRequest
from crm_api.merges.service import MergeService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get


async def _merge(call: Call) -> dict[str, Any]:
    asked: MergeRequest = call.data
    about = asked.winner_id, asked.loser_ids, asked.field_choices
    if asked.dry_run:
        return {"preview": await MergeService(call.unit).preview(*about)}
    return {"merge": await MergeService(call.unit).merge(*about)}


async def _undo(call: Call) -> dict[str, Any]:
    await MergeService(call.unit).undo(call.id)
    return {"merge": call.id}


GRAPHQL = GraphQLParts(
    queries={
        "merge": get("Merge", description="A merge by id."),
        "merges": connection("Merge", description="All merges, newest first."),
    },
    mutations={
        "customer_merge": Mutation(
            _merge,
            input=MergeRequest,
            payload={
                "merge": "Merge",
                "preview": Annotated[MergePreview | None, Field(description="What would happen, for a dry run.")],
            },
            description="Let customers who are one person become one. With `dryRun` only `preview` is answered and "
            "nothing changes.",
        ),
        "merge_undo": Mutation(
            _undo,
            target="Merge",
            payload={"merge": "Merge"},
            description="Give everybody back what they had, plus what came after; again, nothing changes.",
        ),
    },
)
