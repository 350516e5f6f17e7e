"""Products over REST."""

from uuid import UUID

from starlette.responses import Response

from crm_api.catalogue.models import ProductCreate, ProductUpdate
from crm_api.catalogue.repository import PRODUCT
from crm_api.catalogue.service import ProductService
from crm_api.web.resources import add_get, add_list, crm_router, resource, shown
from crm_api.web.units import ExpectedVersion, WriteUnit

router = crm_router("catalogue")
PATH = "/v1/products"

add_list(router, "/products", PRODUCT, summary="List products")
add_get(router, "/products", PRODUCT, summary="Get a product")


@router.post(
    "/products", status_code=201, summary="Create a product", responses=shown("Product", 201), response_model=None
)
async def create_product(unit: WriteUnit, body: ProductCreate) -> Response:
    """Add a product to the catalogue."""
    product_id = await ProductService(unit).create(body)
    return await resource(unit, PRODUCT, product_id, status=201, location=PATH)


@router.patch("/products/{id}", summary="Change a product", responses=shown("Product"), response_model=None)
async def update_product(unit: WriteUnit, id: UUID, body: ProductUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given; null clears one."""
    await ProductService(unit).update(id, body, expected_version=version)
    return await resource(unit, PRODUCT, id)
