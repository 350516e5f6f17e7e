"""Sources and deliveries in GraphQL. Receiving is REST only: platforms post raw bytes."""

from typing import Any

from crm_api.integrations.models import SourceCreate, SourceUpdate
from crm_api.integrations.service import DeliveryService, SourceService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get


async def _create(call: Call) -> dict[str, Any]:
    return {"source": await SourceService(call.unit).create(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await SourceService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"source": call.id}


async def _replay(call: Call) -> dict[str, Any]:
    await DeliveryService(call.unit).replay(call.id)
    return {"delivery": call.id}


GRAPHQL = GraphQLParts(
    queries={
        "source": get("Source", description="A source of webhooks by id."),
        "sources": connection("Source", description="Where webhooks come from."),
        "delivery": get("Delivery", description="A delivery by id."),
        "deliveries": connection("Delivery", description="What arrived, newest first."),
    },
    mutations={
        "source_create": Mutation(
            _create, input=SourceCreate, payload={"source": "Source"}, description="Add a source of webhooks."
        ),
        "source_update": Mutation(
            _update,
            target="Source",
            input=SourceUpdate,
            versioned=True,
            payload={"source": "Source"},
            description="Rename a source, rotate its secret, or switch it off.",
        ),
        "delivery_replay": Mutation(
            _replay, target="Delivery", payload={"delivery": "Delivery"}, description="Process a delivery again."
        ),
    },
)
