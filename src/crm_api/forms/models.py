"""Capture forms: domain models and wire shapes."""

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.text import Line, Prose, Slug
from crm_api.customers.models import MAX_TAGS, Tag

FormKind = Literal["registration", "membership", "activity", "consultation"]
FieldType = Literal["text", "long_text", "mobile", "email", "choice"]
Target = Literal["name", "mobile", "email", "occupation", "region", "city", "address", "preferences"]
SubmissionState = Literal["accepted", "spam"]

MAX_FIELDS = 50
MAX_CHOICES = 100
MAX_ORIGINS = 20
MAX_CONSENTS = 10
MAX_ANSWER = 20_000


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path or parts.query or parts.fragment:
        raise PydanticCustomError(
            "invalid_origin", "An origin is scheme and host only, such as https://shop.example.com"
        )
    return text.lower()


Origin = Annotated[Line, AfterValidator(_origin), Field(examples=["https://shop.example.com"])]


class FormField(Input):
    """One field of a form."""

    model_config = with_examples(
        {"key": "mobile", "label": "手机号", "type": "mobile", "required": True, "maps_to": "mobile"}
    )

    key: Slug = Field(description="Name of the answer.", examples=["mobile"])
    label: Line = Field(description="What the visitor reads.", examples=["手机号"])
    type: FieldType = Field(default="text", description="What is accepted.")
    required: bool = Field(strict=True, default=False, description="Whether it must be filled in.")
    choices: list[Line] = Field(
        default_factory=list, max_length=MAX_CHOICES, description="For `choice`: what to pick from."
    )
    maps_to: Target | None = Field(
        default=None, description="The customer's field it fills; null: the answer stands in the interaction only."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.type == "choice") != bool(self.choices):
            raise PydanticCustomError("choices", "A field of type choice has choices, others have none")
        if self.maps_to in {"mobile", "email"} and self.type != self.maps_to:
            raise PydanticCustomError("maps_to", "A mobile or e-mail is filled by a field of that type")
        return self


class FormFieldShown(Wire):
    """One field of a form."""

    key: str = Field(description="Name of the answer.", examples=["mobile"])
    label: str = Field(description="What the visitor reads.", examples=["手机号"])
    type: FieldType = Field(description="What is accepted.")
    required: bool = Field(description="Whether it must be filled in.")
    choices: list[str] = Field(description="What to pick from.")
    maps_to: Target | None = Field(description="The customer's field it fills.")


class _Form(Input):
    description: Prose | None = Field(default=None, description="Text above the fields.")
    source: Line | None = Field(default=None, description="How customers who come by this form were won.")
    hourly_limit: int = Field(strict=True, default=1000, ge=1, le=100_000, description="Most submissions an hour.")
    visitor_hourly_limit: int = Field(
        strict=True, default=20, ge=1, le=10_000, description="Most submissions an hour from one network address."
    )
    minimum_seconds: int = Field(
        strict=True, default=2, ge=0, le=600, description="Whoever is faster is taken for a machine."
    )


def _check_fields(fields: list[FormField]) -> None:
    keys = [field.key for field in fields]
    targets = [field.maps_to for field in fields if field.maps_to]
    if len(set(keys)) != len(keys) or len(set(targets)) != len(targets):
        raise PydanticCustomError("repeated", "Each key and each target may stand once")
    if not {"mobile", "email"} & set(targets):
        raise PydanticCustomError(
            "no_contact", "A field must map to mobile or email: by it the customer is known again"
        )


class FormCreate(_Form):
    """A new form."""

    model_config = with_examples(
        {
            "name": "孕妈课堂报名",
            "kind": "activity",
            "title": "孕妈课堂报名",
            "fields": [
                {"key": "name", "label": "姓名", "required": True, "maps_to": "name"},
                {"key": "mobile", "label": "手机号", "type": "mobile", "required": True, "maps_to": "mobile"},
                {"key": "week", "label": "孕周", "type": "choice", "choices": ["12 周以内", "12–28 周", "28 周以上"]},
            ],
            "source": "孕妈课堂",
            "tags": ["孕妈"],
        }
    )

    name: Line = Field(description="What staff call it.", examples=["孕妈课堂报名"])
    kind: FormKind = Field(description="What it is for.")
    title: Line = Field(description="What the visitor reads on top.", examples=["孕妈课堂报名"])
    fields: list[FormField] = Field(min_length=1, max_length=MAX_FIELDS, description="In the order they are shown.")
    consent_text_ids: list[UUID] = Field(
        default_factory=list,
        max_length=MAX_CONSENTS,
        description="Texts of `/v1/consent-texts`, each shown beside a box of its own; empty: no consent is asked for.",
    )
    tags: list[Tag] = Field(default_factory=list, max_length=MAX_TAGS, description="Given to customers who are new.")
    allowed_origins: list[Origin] = Field(
        default_factory=list, max_length=MAX_ORIGINS, description="Pages that may post from a browser; empty: any."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _check_fields(self.fields)
        return self


class FormUpdate(_Form):
    """Fields to change; a field left out stays, null clears it."""

    model_config = with_examples({"title": "孕妈课堂报名（第二期）", "active": True})

    name: Line = Field(default="", description="What staff call it.")
    title: Line = Field(default="", description="What the visitor reads on top.")
    fields: list[FormField] = Field(
        default_factory=list, min_length=1, max_length=MAX_FIELDS, description="Replaces all fields."
    )
    consent_text_ids: list[UUID] = Field(
        default_factory=list, max_length=MAX_CONSENTS, description="Replaces all texts; empty: no consent is asked for."
    )
    tags: list[Tag] = Field(default_factory=list, max_length=MAX_TAGS, description="Replaces all tags.")
    allowed_origins: list[Origin] = Field(
        default_factory=list, max_length=MAX_ORIGINS, description="Replaces all origins; empty: any."
    )
    active: bool = Field(strict=True, default=True, description="Whether it can be loaded and sent.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.fields:
            _check_fields(self.fields)
        return self


class CaptureForm(Wire):
    """A form that visitors fill in on the shop's own page."""

    id: ResourceId
    name: str = Field(description="What staff call it.")
    kind: FormKind = Field(description="What it is for.")
    title: str = Field(description="What the visitor reads on top.")
    description: str | None = Field(description="Text above the fields.")
    fields: list[FormFieldShown] = Field(description="In the order they are shown.")
    consent_text_ids: list[UUID] = Field(description="Texts of `/v1/consent-texts` that the visitor may agree to.")
    source: str | None = Field(description="How customers who come by this form were won.")
    tags: list[str] = Field(description="Given to customers who are new.")
    allowed_origins: list[str] = Field(description="Pages that may post from a browser; empty: any.")
    hourly_limit: int = Field(description="Most submissions an hour.")
    visitor_hourly_limit: int = Field(description="Most submissions an hour of one address.")
    minimum_seconds: int = Field(description="Whoever is faster is taken for a machine.")
    active: bool = Field(description="Whether it can be loaded and sent.")
    public_path: str = Field(
        description="Where pages load it from, without a key.",
        examples=["/v1/public/forms/01981a6e-0000-7000-8000-000000000000"],
    )
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class FormSubmission(Wire):
    """What a visitor sent, and what became of it."""

    id: ResourceId
    form_id: UUID = Field(description="Through which form.")
    state: SubmissionState = Field(description="`spam`: taken for a machine's, and nothing was done with it.")
    customer_id: UUID | None = Field(description="Who it was: found by mobile or e-mail, or created.")
    interaction_id: UUID | None = Field(description="Where the answers stand in the customer's history.")
    new_customer: bool = Field(description="Whether the customer was created by it.")
    answers: dict[str, Any] = Field(description="As sent.", examples=[{"name": "王小明", "mobile": "13812345678"}])
    consents: list[UUID] = Field(description="Consent texts whose boxes the visitor ticked.")
    submitted_at: Instant = Field(description="When it was sent.")


# -- what visitors see -------------------------------------------------------------------------------------------------


class PublicText(Wire):
    """Words a visitor may agree to."""

    id: ResourceId
    purpose: str = Field(description="What the consent is for.", examples=["marketing"])
    title: str = Field(description="What it is called.")
    body: str = Field(description="All that the visitor reads.")


class PublicForm(Wire):
    """A form as a visitor's page loads it."""

    title: str = Field(description="What stands on top.")
    description: str | None = Field(description="Text above the fields.")
    fields: list[FormFieldShown] = Field(description="In the order they are shown.")
    consents: list[PublicText] = Field(description="Show each beside a box that is not ticked yet.")
    ticket: str = Field(description="Send it back with the answers; good for a day and one submission.")


class SubmissionCreate(Input):
    """The answers of a visitor."""

    model_config = with_examples(
        {
            "ticket": "AZOmW7…",
            "answers": {"name": "王小明", "mobile": "13812345678"},
            "consents": ["01981a6e-0000-7000-8000-000000000001"],
        }
    )

    ticket: Annotated[str, Field(min_length=1, max_length=200)] = Field(description="As it came with the form.")
    answers: dict[str, Annotated[str, Field(max_length=MAX_ANSWER)]] = Field(
        max_length=MAX_FIELDS, description="Key of the field → text."
    )
    consents: list[UUID] = Field(
        default_factory=list, max_length=MAX_CONSENTS, description="Ids of the texts whose boxes the visitor ticked."
    )
    website: str = Field(
        default="",
        max_length=2000,
        description="A trap: put it on the page where no person sees it. Whoever fills it in is a machine.",
    )


class Received(Wire):
    """The submission was taken."""

    submission_id: UUID = Field(description="Its id; sending the same ticket again gives the same.")
