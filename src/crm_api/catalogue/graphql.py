"""Products in GraphQL."""

from typing import Any

from crm_api.catalogue.models import ProductCreate, ProductUpdate
from crm_api.catalogue.service import ProductService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get

SHOWN = {"product": "Product"}


async def _create(call: Call) -> dict[str, Any]:
    return {"product": await ProductService(call.unit).create(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await ProductService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"product": call.id}


GRAPHQL = GraphQLParts(
    queries={
        "product": get("Product", description="A product by id."),
        "products": connection("Product", description="All products, newest first."),
    },
    mutations={
        "product_create": Mutation(
            _create, input=ProductCreate, payload=SHOWN, description="Add a product to the catalogue."
        ),
        "product_update": Mutation(
            _update,
            target="Product",
            input=ProductUpdate,
            versioned=True,
            payload=SHOWN,
            description="Change the fields given; null clears one.",
        ),
    },
)
