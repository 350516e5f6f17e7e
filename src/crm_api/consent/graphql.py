"""Consent in GraphQL."""

from typing import Annotated, Any

from pydantic import Field

from crm_api.consent.models import (
    ConsentCreate,
    ConsentSettings,
    ConsentSettingsUpdate,
    ConsentTextCreate,
    Decision,
    Evaluation,
    PurposeState,
)
from crm_api.consent.service import ConsentService
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get

SETTINGS = {
    "guardian_consent_required": Annotated[
        bool, Field(description="Whether details of children take guardian consent.")
    ],
    "purposes": Annotated[list[str], Field(description="Purposes of the shop's own; each needs consent.")],
}


async def _record(call: Call) -> dict[str, Any]:
    return {"consent": await ConsentService(call.unit).record(call.id, call.data), "customer": call.id}


async def _add_text(call: Call) -> dict[str, Any]:
    return {"consent_text": await ConsentService(call.unit).add_text(call.data)}


async def _configure(call: Call) -> dict[str, Any]:
    return _shown(await ConsentService(call.unit).configure(call.data))


async def _settings(call: Call) -> dict[str, Any]:
    return _shown(await ConsentService(call.unit).settings())


def _shown(settings: ConsentSettings) -> dict[str, Any]:
    return settings.model_dump()


async def _evaluate(call: Call) -> dict[str, Any]:
    decisions = await ConsentService(call.unit).evaluate(call.data)
    return {"decisions": [each.model_dump(mode="json") for each in decisions]}


async def _state(call: Call) -> dict[str, Any]:
    state = await ConsentService(call.unit).state(call.id)
    return state.model_dump(mode="json", include={"guardian", "purposes"})


GRAPHQL = GraphQLParts(
    queries={
        "consent": get("Consent", description="An entry of the consent ledger by id."),
        "consents": connection("Consent", description="What customers agreed to and refused, newest first."),
        "consent_text": get("ConsentText", description="A version of a consent text by id."),
        "consent_texts": connection("ConsentText", description="The words people agree to, newest first."),
        "consent_settings": Computed(_settings, payload=SETTINGS, description="How the shop handles consent."),
        "consent_state": Computed(
            _state,
            target="Customer",
            payload={
                "guardian": Annotated[bool, Field(description="Whether guardian consent is in force.")],
                "purposes": Annotated[list[PurposeState], Field(description="What is allowed, purpose by purpose.")],
            },
            description="What a customer's word amounts to, for every purpose and channel.",
        ),
        "consent_evaluate": Computed(
            _evaluate,
            input=Evaluation,
            payload={"decisions": Annotated[list[Decision], Field(description="One for each recipient, in order.")]},
            description="Whether something may be sent to these customers. Where reads go to a replica the answer may "
            "be moments old: decide a send by POST /v1/consents/evaluate.",
        ),
    },
    mutations={
        "consent_record": Mutation(
            _record,
            target="Customer",
            input=ConsentCreate,
            payload={"consent": "Consent", "customer": "Customer"},
            description="Note that a customer agreed or refused.",
        ),
        "consent_text_create": Mutation(
            _add_text,
            input=ConsentTextCreate,
            payload={"consent_text": "ConsentText"},
            description="Add the next version of a consent text.",
        ),
        "consent_settings_update": Mutation(
            _configure, input=ConsentSettingsUpdate, payload=SETTINGS, description="Change the consent settings given."
        ),
    },
)
