"""Tiers in GraphQL."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from crm_api.core.models import Instant
from crm_api.db.projections import eq_ref
from crm_api.tiers.models import (
    TierHistory,
    TierOverrideCreate,
    TierProgress,
    TierReplayCreate,
    TierSchemeCreate,
    TierSchemeUpdate,
)
from crm_api.tiers.service import TierService
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get

_PROGRAMME = Annotated[UUID | None, Field(description="The loyalty programme; the shop's default one, if left out.")]
_OVERRIDE = {"tier_override": "TierOverride"}


async def _create(call: Call) -> dict[str, Any]:
    return {"tier_scheme": await TierService(call.unit).create_scheme(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await TierService(call.unit).update_scheme(call.id, call.data, expected_version=call.version)
    return {"tier_scheme": call.id}


async def _give(call: Call) -> dict[str, Any]:
    return {"tier_override": await TierService(call.unit).give(call.id, call.data)}


async def _end(call: Call) -> dict[str, Any]:
    await TierService(call.unit).end_override(call.id, expected_version=call.version)
    return {"tier_override": call.id}


async def _replay(call: Call) -> dict[str, Any]:
    return {"tier_replay": await TierService(call.unit).start_replay(call.data)}


async def _progress(call: Call) -> dict[str, Any]:
    found = await TierService(call.unit).progress(call.id, call.extra.get("programme_id"))
    return _values(TierProgress.model_validate(found))


async def _history(call: Call) -> dict[str, Any]:
    asked = call.extra
    found = await TierService(call.unit).history(call.id, asked.get("programme_id"), asked.get("as_of"))
    return _values(TierHistory.model_validate(found))


_IDS = frozenset({"customer_id", "scheme_id", "programme_id", "override_id"})
"""Left out: who asks has named the customer, and other ids are global ids in GraphQL."""


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {
        name: Annotated[field.annotation, Field(description=field.description)]
        for name, field in model.model_fields.items()
        if name not in _IDS
    }


def _values(found: BaseModel) -> dict[str, Any]:
    return {name: getattr(found, name) for name in type(found).model_fields if name not in _IDS}


GRAPHQL = GraphQLParts(
    queries={
        "tier_scheme": get("TierScheme", description="A tier scheme by id."),
        "tier_schemes": connection("TierScheme", description="The tiers of all loyalty programmes, and their rules."),
        "tier_standing": get(
            "TierStanding",
            by={"customer_id": eq_ref("customer_id", "Customer")},
            description="A customer's tier as stored; `tierProgress` works it out this moment.",
        ),
        "tier_standings": connection("TierStanding", description="Customers with their tiers, the highest first."),
        "tier_transition": get("TierTransition", description="A change of tier by id."),
        "tier_transitions": connection("TierTransition", description="Changes of tier, newest first."),
        "tier_override": get("TierOverride", description="A tier given by hand, by id."),
        "tier_overrides": connection("TierOverride", description="Tiers given by hand, newest first."),
        "tier_replay": get("TierReplay", description="A replay of everybody's tier by id."),
        "tier_replays": connection("TierReplay", description="Replays of everybody's tier, newest first."),
        "tier_progress": Computed(
            _progress,
            target="Customer",
            extra={"programme_id": _PROGRAMME},
            payload=_fields(TierProgress),
            description="Where a customer stands this moment, and what is missing for the next tier.",
        ),
        "tier_history": Computed(
            _history,
            target="Customer",
            extra={
                "programme_id": _PROGRAMME,
                "as_of": Annotated[Instant | None, Field(description="Up to when; now, if left out.")],
            },
            payload=_fields(TierHistory),
            description="Every change of a customer's tier by all that is known today: a replay.",
        ),
    },
    mutations={
        "tier_scheme_create": Mutation(
            _create,
            input=TierSchemeCreate,
            payload={"tier_scheme": "TierScheme"},
            description="Give a loyalty programme tiers.",
        ),
        "tier_scheme_update": Mutation(
            _update,
            target="TierScheme",
            input=TierSchemeUpdate,
            versioned=True,
            payload={"tier_scheme": "TierScheme"},
            description="Change the name or the rules given.",
        ),
        "tier_give": Mutation(
            _give,
            target="Customer",
            input=TierOverrideCreate,
            payload=_OVERRIDE,
            description="Give a customer a tier by hand, with an end.",
        ),
        "tier_override_end": Mutation(
            _end,
            target="TierOverride",
            versioned=True,
            payload=_OVERRIDE,
            description="End a tier given by hand now.",
        ),
        "tier_replay_start": Mutation(
            _replay,
            input=TierReplayCreate,
            payload={"tier_replay": "TierReplay"},
            description="Work out everybody's tier anew.",
        ),
    },
)
