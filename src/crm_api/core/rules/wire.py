"""Rules as they are written: the models behind OpenAPI, and the type that request bodies embed.

The models say what a rule looks like. Whether it makes sense (known fields, fitting values) is decided by
`crm_api.core.rules.check_rule`, which names every problem by JSON pointer; it also checks the shape, so that all
problems come in one answer and in one form.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, JsonValue
from pydantic.json_schema import JsonSchemaValue, SkipJsonSchema
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypeAliasType

from crm_api.core.rules.catalogue import Aggregate, Op
from crm_api.core.rules.values import MAX_WRITTEN, VERSION


def _optional(schema: dict[str, Any]) -> None:
    """Leave out ``default: null``: a key is left out, never null."""
    schema.pop("default", None)


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class RuleAll(_Wire):
    """Every part must hold. An empty list holds for everyone."""

    all: list["RuleNode"] = Field(description="The parts.")


class RuleAny(_Wire):
    """At least one part must hold. An empty list holds for no one."""

    any: list["RuleNode"] = Field(description="The parts.")


class RuleNot(_Wire):
    """The part must not hold: the exact opposite, so missing values count as not holding before they are negated."""

    negated: "RuleNode" = Field(alias="not", description="The part.")


class RuleWindow(_Wire):
    """A half-open stretch of time ``[from, to)``: ``last_days``, or ``last_hours``, or ``from`` and/or ``to``."""

    last_days: Annotated[int, Field(ge=1, le=36600)] | SkipJsonSchema[None] = Field(
        None, description="From that many days before now, until now.", json_schema_extra=_optional
    )
    last_hours: Annotated[int, Field(ge=1, le=87840)] | SkipJsonSchema[None] = Field(
        None, description="From that many hours before now, until now.", json_schema_extra=_optional
    )
    start: JsonValue = Field(
        None,
        alias="from",
        description='First instant: `"2026-01-31T09:00:00+08:00"`, a date, `{"days_ago": 60}` or `{"hours_ago": 6}`.',
        json_schema_extra=_optional,
    )
    to: JsonValue = Field(
        None, description="First instant after the window, written in the same ways.", json_schema_extra=_optional
    )


class RuleFieldTest(_Wire):
    """One field against one value. A missing value makes every test false except `missing`."""

    field: str = Field(description="Name of a field of the catalogue.", examples=["lifecycle"])
    op: Op = Field(description="Operator; which ones fit depends on the field's type.")
    value: JsonValue = Field(
        None,
        description=(
            "By the field's type: text, number, boolean, UUID, money `{amount, currency}`, date "
            '(`"2026-01-31"`, `{"days_ago": 30}`, `{"days_ahead": 7}`) or time. `in`, `not_in` and `contains_any` take '
            "a list, `between` the two ends (both included), `within` a window; `exists` and `missing` take none."
        ),
        json_schema_extra=_optional,
    )


class RuleAggregateTest(_Wire):
    """A figure computed over rows of a collection, e.g. orders, against one value."""

    aggregate: Aggregate = Field(description="`first` and `last` are by time; `count` and `sum` of nothing are 0.")
    of: str = Field(
        description="The collection for `count`, otherwise collection.field.", examples=["orders", "orders.total"]
    )
    where: "RuleNode | SkipJsonSchema[None]" = Field(
        None, description="Which rows; a rule about the collection's own fields.", json_schema_extra=_optional
    )
    window: RuleWindow | SkipJsonSchema[None] = Field(
        None, description="Within which time; any time if left out.", json_schema_extra=_optional
    )
    op: Op = Field(description="Operator; which ones fit depends on the figure's type.")
    value: JsonValue = Field(None, description="What the figure is tested against.", json_schema_extra=_optional)


class RuleBucket(_Wire):
    """A lasting, even split of the customers.

    A customer's bucket is the first 4 bytes of SHA-256 (`salt` + ":" + customer id in lower case), read as an unsigned
    big-endian number, modulo `of`.
    """

    salt: str = Field(min_length=1, max_length=100, description="Names the split: another salt splits anew.")
    of: int = Field(ge=2, le=10_000, description="How many buckets; they are numbered from 0.")


class RuleBucketTest(_Wire):
    """The customer's hash bucket against one value; not inside `where`.

    `{"bucket": {"salt": "spring", "of": 100}, "op": "lt", "value": 20}` is a fifth of the customers.
    """

    bucket: RuleBucket = Field(description="The split.")
    op: Op = Field(description="Operator of whole numbers; a bucket is never missing.")
    value: JsonValue = Field(description="What the bucket is tested against, from 0 to `of` - 1.")


class RuleStep(_Wire):
    """One step of a sequence: a row of a collection that has a time."""

    of: str = Field(description="The collection.", examples=["events", "orders"])
    where: "RuleNode | SkipJsonSchema[None]" = Field(
        None, description="Which rows; a rule about the collection's own fields.", json_schema_extra=_optional
    )


class RuleSpan(_Wire):
    """An exact length of time, `days` or `hours`; a day is 24 hours."""

    days: Annotated[int, Field(ge=1, le=36600)] | SkipJsonSchema[None] = Field(
        None, description="Days of 24 hours.", json_schema_extra=_optional
    )
    hours: Annotated[int, Field(ge=1, le=87840)] | SkipJsonSchema[None] = Field(
        None, description="Hours of 60 minutes, whatever the clocks do.", json_schema_extra=_optional
    )


class RuleSequence(_Wire):
    """Rows in order: one for each step, each strictly later than the one before. `not` says that it did not happen."""

    sequence: Annotated[list[RuleStep], Field(min_length=2, max_length=5)] = Field(description="The steps, in order.")
    within: RuleSpan | SkipJsonSchema[None] = Field(
        None,
        description="All steps lie in `[first, first + within)`; any length if left out.",
        json_schema_extra=_optional,
    )
    window: RuleWindow | SkipJsonSchema[None] = Field(
        None, description="Every step lies within this time; any time if left out.", json_schema_extra=_optional
    )


RuleNode = TypeAliasType(
    "RuleNode", RuleAll | RuleAny | RuleNot | RuleFieldTest | RuleAggregateTest | RuleBucketTest | RuleSequence
)


class RuleDocument(_Wire):
    """A rule with the version of its language, as it is stored and sent back.

    `GET /v1/rule-schema` has the exact JSON Schema of the tenant's rules, every field with its operators and values.
    """

    model_config = ConfigDict(json_schema_extra={"x-schema-id": f"urn:crm-api:rules:{VERSION}"})

    version: Literal[1] = Field(default=1, description="Of the rule language.")
    where: RuleNode = Field(description="The rule itself.")


RuleText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_WRITTEN,
        title="RuleText",
        description="The rule in words, read as `POST /v1/rules/parse` reads it.",
        examples=["orders.count(last 90d) >= 3 and not tag:wholesale"],
    ),
]
_WIRE = Annotated[RuleDocument | RuleNode | RuleText, Field(union_mode="smart")]


class RuleTree:
    """A rule in a request body: kept as sent, to be checked by `check_rule` in the service.

    In OpenAPI it is the recursive ``RuleDocument | RuleNode``, or a string: the rule's text form.
    """

    __slots__ = ("document",)

    def __init__(self, document: Any) -> None:
        """Keep JSON, or one of the models of this module."""
        self.document = (
            document.model_dump(mode="json", by_alias=True, exclude_unset=True)
            if isinstance(document, BaseModel)
            else document
        )

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        wire = handler.generate_schema(_WIRE)
        return core_schema.no_info_plain_validator_function(
            lambda raw: raw if isinstance(raw, cls) else cls(raw),
            json_schema_input_schema=wire,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda tree: tree.document),
            metadata={"wire": wire},
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema["metadata"]["wire"])
