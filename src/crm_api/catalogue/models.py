"""Products: domain models and wire shapes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import AfterValidator, Field

from crm_api.core.errors import FieldError
from crm_api.core.models import CreatedAt, Input, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.money import Money, PositiveMoney
from crm_api.core.text import Line, Token


def _path(text: str) -> str:
    parts = [part.strip() for part in text.split("/")]
    if not all(parts):
        msg = "a category path has no empty parts"
        raise ValueError(msg)
    return "/".join(parts)


CategoryPath = Annotated[
    Line,
    AfterValidator(_path),
    Field(description="Path from the root of the category tree, parts separated by '/'.", examples=["海鲜/虾"]),
]
Sku = Annotated[
    Token, Field(description="The shop's own number for what is sold; unique in the tenant.", examples=["SKU-1001"])
]


class _Details(Input):
    category: CategoryPath | None = Field(
        default=None, description="Path from the root of the category tree, parts separated by '/'."
    )
    brand: Line | None = Field(default=None, examples=["盒马"], description="The maker's name as customers know it.")
    price: PositiveMoney | None = Field(default=None, description="List price of one piece.")
    new_arrival_on: date | None = Field(default=None, description="The day it came into the shop.")


class ProductCreate(_Details):
    """A new product."""

    model_config = with_examples(
        {
            "sku": "SKU-1001",
            "name": "青岛大虾 500g",
            "category": "海鲜/虾",
            "brand": "盒马",
            "price": {"amount": 6900, "currency": "CNY"},
            "new_arrival_on": "2026-11-01",
        },
    )

    sku: Sku
    name: Annotated[Line, Field(examples=["青岛大虾 500g"])] = Field(description="What customers call it.")
    active: bool = Field(strict=True, default=True, description="Whether it is on sale.")


class ProductUpdate(_Details):
    """Fields to change; a field left out stays, null clears it."""

    model_config = with_examples({"price": {"amount": 5900, "currency": "CNY"}, "active": False})

    sku: Sku = ""
    name: Line = Field(default="", description="What customers call it; cannot be cleared.")
    active: bool = Field(strict=True, default=True, description="Whether it is on sale.")


class Product(Wire):
    """Something that can be bought."""

    id: ResourceId
    sku: str = Field(description="The shop's own number for what is sold.", examples=["SKU-1001"])
    name: str = Field(examples=["青岛大虾 500g"], description="What customers call it.")
    category: str | None = Field(description="Path from the root of the category tree.", examples=["海鲜/虾"])
    brand: str | None = Field(description="The maker's name as customers know it.")
    price: Money | None = Field(description="List price.")
    active: bool = Field(description="Whether it is on sale.")
    new_arrival_on: date | None = Field(description="The day it came into the shop.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class KnownProduct(NamedTuple):
    """What an order line takes from the catalogue."""

    id: UUID
    sku: str
    category: str | None


BulkMode = Literal["upsert", "create_only", "update_only"]


@dataclass(frozen=True, slots=True)
class ProductRow:
    """One product of a bulk write.

    Attributes:
        sku: what it is known by.
        values: columns that were given: ``name``, ``category``, ``brand``, ``price_amount`` with ``currency`` (minor
            units), ``active``, ``new_arrival_on``. What is missing stays as it is.

    """

    sku: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ProductRowVerdict:
    """What became of one row.

    Attributes:
        product_id: the product, None when the row failed.
        verdict: what happened; ``duplicate`` is a row that may only create but means a known product.
        errors: why it failed; pointers name the row's attributes.
        journal: what the row changed, for ``ProductService.undo_many``.

    """

    product_id: UUID | None
    verdict: Literal["created", "updated", "unchanged", "duplicate", "failed"]
    errors: tuple[FieldError, ...] = ()
    journal: Mapping[str, Any] = field(default_factory=dict)
