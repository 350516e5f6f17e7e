"""No value slips past a change of its definition: real connections, real waiting."""

import asyncio
from uuid import UUID

import pytest

from crm_api.attributes.models import AttributeDefinitionUpdate
from crm_api.attributes.service import AttributeService
from crm_api.core.errors import Conflict, Invalid
from crm_api.customers.models import CustomerCreate
from crm_api.customers.service import CustomerService
from tests.attributes.test_rest import SKIN, define

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

ONLY_OILY = AttributeDefinitionUpdate.model_validate({"choices": SKIN[1:]})
DRY = CustomerCreate(name="x", attributes={"skin": "dry"})
SOON = 0.2


async def test_a_choice_just_taken_cannot_be_taken_out(client, database, tenant):
    definition = await define(client, "skin", type="choice", choices=SKIN)

    async def take_out():
        async with database.write(tenant.actor) as unit:
            await AttributeService(unit).update(UUID(definition["id"]), ONLY_OILY)

    async with database.write(tenant.actor) as unit:
        await CustomerService(unit).create(DRY)
        waiting = asyncio.create_task(take_out())
        await asyncio.sleep(SOON)
        assert not waiting.done()
    with pytest.raises(Conflict) as refused:
        await waiting
    assert refused.value.code == "attribute_in_use"


async def test_a_choice_just_taken_out_cannot_be_taken(client, database, tenant):
    definition = await define(client, "skin", type="choice", choices=SKIN)

    async def take():
        async with database.write(tenant.actor) as unit:
            await CustomerService(unit).create(DRY)

    async with database.write(tenant.actor) as unit:
        await AttributeService(unit).update(UUID(definition["id"]), ONLY_OILY)
        waiting = asyncio.create_task(take())
        await asyncio.sleep(SOON)
        assert not waiting.done()
    with pytest.raises(Invalid) as refused:
        await waiting
    assert [each.code for each in refused.value.errors] == ["unknown_choice"]
