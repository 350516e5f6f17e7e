"""Subject exports and erasures in GraphQL."""

from typing import Annotated, Any

from pydantic import Field

from crm_api.privacy.models import ErasureCreate, PrivacySettingsUpdate
from crm_api.privacy.service import ErasureService, PrivacySettingsService, SubjectExportService
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get

SETTINGS = {
    "erasure_waiting_days": Annotated[int, Field(description="Days in which an erasure can be cancelled.")],
    "export_keep_days": Annotated[int, Field(description="Days after which an archive is deleted.")],
}


async def _export(call: Call) -> dict[str, Any]:
    return {"subject_export": await SubjectExportService(call.unit).start(call.id)}


async def _request(call: Call) -> dict[str, Any]:
    return {"erasure": await ErasureService(call.unit).request(call.id, call.data)}


async def _cancel(call: Call) -> dict[str, Any]:
    await ErasureService(call.unit).cancel(call.id, expected_version=call.version)
    return {"erasure": call.id}


async def _settings(call: Call) -> dict[str, Any]:
    return (await PrivacySettingsService(call.unit).settings()).model_dump()


async def _configure(call: Call) -> dict[str, Any]:
    return (await PrivacySettingsService(call.unit).configure(call.data)).model_dump()


GRAPHQL = GraphQLParts(
    queries={
        "subject_export": get("SubjectExport", description="A copy of a customer's data by id; REST has its archive."),
        "subject_exports": connection("SubjectExport", description="Copies of customers' data, newest first."),
        "erasure": get("Erasure", description="An erasure by id."),
        "erasures": connection("Erasure", description="Erasures, newest first."),
        "privacy_settings": Computed(
            _settings, payload=SETTINGS, description="How long erasures wait and archives are kept."
        ),
    },
    mutations={
        "subject_export_start": Mutation(
            _export,
            target="Customer",
            payload={"subject_export": "SubjectExport"},
            description="Make a copy of all that is kept about a customer.",
        ),
        "erasure_request": Mutation(
            _request,
            target="Customer",
            input=ErasureCreate,
            payload={"erasure": "Erasure"},
            description="Ask for a customer's erasure; it begins when the waiting period is over.",
        ),
        "erasure_cancel": Mutation(
            _cancel,
            target="Erasure",
            versioned=True,
            payload={"erasure": "Erasure"},
            description="Call an erasure off while it waits.",
        ),
        "privacy_settings_update": Mutation(
            _configure, input=PrivacySettingsUpdate, payload=SETTINGS, description="Change the privacy settings given."
        ),
    },
)
