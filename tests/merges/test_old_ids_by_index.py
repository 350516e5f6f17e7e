"""Old ids cost no walk through a table: an id in a request is compared by an index, whether it is an old one or not."""

import pytest

from crm_api.core.ids import new_id
from crm_api.customers.repository import CUSTOMER
from crm_api.db.plans.cache import Trace
from crm_api.db.plans.compile import Compiler

pytestmark = pytest.mark.asyncio


async def test_the_primary_key_serves(database, tenant):
    compiler = Compiler(frozenset({"admin"}), Trace({}))
    plan = compiler.plan(compiler.by_key(CUSTOMER, lambda variables: variables["id"], []))
    async with database.write(tenant.actor) as unit:
        await unit.connection.execute("SET LOCAL enable_seqscan = off")  # as if the tables were large
        values = plan.bind(unit.tenant_id, {"id": new_id()})
        explained = [row[0] for row in await unit.connection.fetch(f"EXPLAIN {plan.sql}", *values)]
    by_index = [line for line in explained if "Index Cond" in line and "(id = " in line]
    assert len(by_index) == 2, "\n".join(explained)  # the customer's, and its heir's
