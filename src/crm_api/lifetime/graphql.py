"""Models of purchases to come in GraphQL. The picture is REST only; its figures are the model's `cumulative`."""

from typing import Any

from crm_api.db.projections import eq_ref
from crm_api.lifetime.models import ChurnModelCreate
from crm_api.lifetime.service import ChurnModelService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get


async def _start(call: Call) -> dict[str, Any]:
    return {"churn_model": await ChurnModelService(call.unit).start(call.data)}


GRAPHQL = GraphQLParts(
    queries={
        "churn_model": get("ChurnModel", description="A model by id."),
        "churn_models": connection("ChurnModel", description="Models of purchases to come, newest first."),
        "outlook": get(
            "Outlook",
            by={"customer_id": eq_ref("customer_id", "Customer")},
            description="What is expected of a customer.",
        ),
        "outlooks": connection("Outlook", description="What is expected of customers, the least alive first."),
    },
    mutations={
        "churn_model_start": Mutation(
            _start, input=ChurnModelCreate, payload={"churn_model": "ChurnModel"}, description="Fit a model."
        ),
    },
)
