"""Merges in GraphQL."""

from typing import Any

from crm_api.merges.models import MergePreview, MergeRequest
from crm_api.merges.service import MergeService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get


async def _merge(call: Call) -> dict[str, Any]:
    service, asked = MergeService(call.unit), call.data
    if asked.dry_run:
        return {"preview": await service.preview(asked.winner_id, asked.loser_ids, asked.field_choices)}
    return {"merge": await service.merge(asked.winner_id, asked.loser_ids, asked.field_choices)}


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
            payload={"merge": "Merge", "preview": MergePreview},
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
