"""Products: domain models and wire shapes."""

from datetime import date
from typing import Annotated, NamedTuple
from uuid import UUID

from pydantic import AfterValidator, Field

from crm_api.core.models import Input, Instant, Wire
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
    category: CategoryPath | None = None
    brand: Line | None = Field(default=None, examples=["盒马"])
    price: PositiveMoney | None = None
    new_arrival_on: date | None = Field(default=None, description="The day it came into the shop.")


class ProductCreate(_Details):
    """A new product."""

    sku: Sku
    name: Annotated[Line, Field(examples=["青岛大虾 500g"])]
    active: bool = True


class ProductUpdate(_Details):
    """Fields to change; a field left out stays, null clears it."""

    sku: Sku = ""
    name: Line = ""
    active: bool = True


class Product(Wire):
    """Something that can be bought."""

    id: UUID
    sku: str = Field(description="The shop's own number for what is sold.", examples=["SKU-1001"])
    name: str = Field(examples=["青岛大虾 500g"])
    category: str | None = Field(description="Path from the root of the category tree.", examples=["海鲜/虾"])
    brand: str | None
    price: Money | None = Field(description="List price.")
    active: bool = Field(description="Whether it is on sale.")
    new_arrival_on: date | None = Field(description="The day it came into the shop.")
    version: int
    created_at: Instant
    updated_at: Instant


class KnownProduct(NamedTuple):
    """What an order line takes from the catalogue."""

    id: UUID
    sku: str
    category: str | None
