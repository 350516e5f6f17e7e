"""Customers in GraphQL."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from crm_api.customers.addresses import AddressService
from crm_api.customers.contact_points import ContactPointService
from crm_api.customers.models import (
    AddressInput,
    AddressUpdate,
    ContactPointInput,
    CustomerBatch,
    CustomerCreate,
    CustomerUpdate,
    IdentityInput,
    Tag,
)
from crm_api.customers.service import CustomerService
from crm_api.web.batch import BATCH_PAYLOAD, batch_payload, read_items
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get

SHOWN = {"customer": "Customer"}

AllowDuplicate = Annotated[
    bool | None,
    Field(description="true stores it even when a living customer has one of the contact points."),
]
ADDRESS_ID = Annotated[UUID, Field(description="Which of the customer's addresses.")]


async def _create(call: Call) -> dict[str, Any]:
    return {"customer": await CustomerService(call.unit).create(call.data, allow_duplicate=_allowed(call))}


def _allowed(call: Call) -> bool:
    return bool(call.extra.get("allow_duplicate"))


async def _batch(call: Call) -> dict[str, Any]:
    items = read_items(call.data.items, CustomerCreate)
    results = await CustomerService(call.unit).batch(items, call.data.mode, allow_duplicate=_allowed(call))
    return batch_payload(results, call.data.mode, call.unit.actor.locale)


async def _update(call: Call) -> dict[str, Any]:
    await CustomerService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"customer": call.id}


async def _delete(call: Call) -> dict[str, Any]:
    await CustomerService(call.unit).delete(call.id, expected_version=call.version)
    return {"deleted": True}


async def _add_contact_point(call: Call) -> dict[str, Any]:
    await ContactPointService(call.unit).add(call.id, call.data, allow_duplicate=_allowed(call))
    return {"customer": call.id}


async def _remove_contact_point(call: Call) -> dict[str, Any]:
    await ContactPointService(call.unit).remove(call.id, call.extra["contact_point_id"])
    return {"customer": call.id}


async def _add_identity(call: Call) -> dict[str, Any]:
    await CustomerService(call.unit).add_identity(call.id, call.data)
    return {"customer": call.id}


async def _remove_identity(call: Call) -> dict[str, Any]:
    await CustomerService(call.unit).remove_identity(call.id, call.extra["identity_id"])
    return {"customer": call.id}


async def _add_address(call: Call) -> dict[str, Any]:
    await AddressService(call.unit).add(call.id, call.data)
    return {"customer": call.id}


async def _update_address(call: Call) -> dict[str, Any]:
    await AddressService(call.unit).update(call.id, call.extra["address_id"], call.data)
    return {"customer": call.id}


async def _remove_address(call: Call) -> dict[str, Any]:
    await AddressService(call.unit).remove(call.id, call.extra["address_id"])
    return {"customer": call.id}


async def _add_tag(call: Call) -> dict[str, Any]:
    await CustomerService(call.unit).add_tag(call.id, call.extra["tag"])
    return {"customer": call.id}


async def _remove_tag(call: Call) -> dict[str, Any]:
    await CustomerService(call.unit).remove_tag(call.id, call.extra["tag"])
    return {"customer": call.id}


GRAPHQL = GraphQLParts(
    queries={
        "customer": get("Customer", description="A customer by id."),
        "customers": connection("Customer", description="All customers, newest first."),
    },
    mutations={
        "customer_create": Mutation(
            _create,
            input=CustomerCreate,
            extra={"allow_duplicate": AllowDuplicate},
            payload=SHOWN,
            description="Create a customer; `duplicate_customer` when a living one has one of the contact points.",
        ),
        "customer_batch": Mutation(
            _batch,
            input=CustomerBatch,
            extra={"allow_duplicate": AllowDuplicate},
            payload=BATCH_PAYLOAD,
            description="Create up to 1,000 customers in one transaction, all or each by itself.",
        ),
        "customer_update": Mutation(
            _update,
            target="Customer",
            input=CustomerUpdate,
            versioned=True,
            payload=SHOWN,
            description="Change the fields given; null clears one.",
        ),
        "customer_delete": Mutation(
            _delete,
            target="Customer",
            versioned=True,
            payload={"deleted": bool},
            description="Delete softly: it disappears from lists, what refers to it stays.",
        ),
        "customer_add_contact_point": Mutation(
            _add_contact_point,
            target="Customer",
            input=ContactPointInput,
            extra={"allow_duplicate": AllowDuplicate},
            payload=SHOWN,
            description="Add a phone, e-mail address or account.",
        ),
        "customer_remove_contact_point": Mutation(
            _remove_contact_point,
            target="Customer",
            extra={"contact_point_id": UUID},
            payload=SHOWN,
            description="Remove a contact point.",
        ),
        "customer_add_identity": Mutation(
            _add_identity,
            target="Customer",
            input=IdentityInput,
            payload=SHOWN,
            description="Say who the customer is on another platform.",
        ),
        "customer_remove_identity": Mutation(
            _remove_identity,
            target="Customer",
            extra={"identity_id": UUID},
            payload=SHOWN,
            description="Remove an outside identity.",
        ),
        "customer_add_address": Mutation(
            _add_address,
            target="Customer",
            input=AddressInput,
            payload=SHOWN,
            description="Add an address.",
        ),
        "customer_update_address": Mutation(
            _update_address,
            target="Customer",
            extra={"address_id": ADDRESS_ID},
            input=AddressUpdate,
            payload=SHOWN,
            description="Change parts of an address; null clears one.",
        ),
        "customer_remove_address": Mutation(
            _remove_address,
            target="Customer",
            extra={"address_id": ADDRESS_ID},
            payload=SHOWN,
            description="Remove an address.",
        ),
        "customer_add_tag": Mutation(
            _add_tag, target="Customer", extra={"tag": Tag}, payload=SHOWN, description="Add a tag."
        ),
        "customer_remove_tag": Mutation(
            _remove_tag, target="Customer", extra={"tag": Tag}, payload=SHOWN, description="Remove a tag."
        ),
    },
)
