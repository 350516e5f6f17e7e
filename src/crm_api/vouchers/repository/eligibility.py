"""For which customers an offer is: a rule of customers, checked when it is stored and asked when somebody wants it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Uuid, select

from crm_api.accounts.repository import TenantRepository
from crm_api.core.rules import AsOf, RuleTree
from crm_api.customers.tables import customers
from crm_api.db.rule_values import bind
from crm_api.db.uow import UnitOfWork
from crm_api.segments.repository.catalogue import customer_rules


async def tenant_zone(unit: UnitOfWork) -> ZoneInfo:
    """Return the tenant's time zone."""
    return ZoneInfo((await TenantRepository(unit).current()).time_zone)


async def checked_rule(unit: UnitOfWork, tree: RuleTree) -> dict[str, Any]:
    """Return a rule as it is stored.

    Raises:
        Invalid: it is wrong.
        Forbidden: it names what the caller may not see.

    """
    known = await customer_rules(unit, tree)
    return known.check(tree, "/rule", unit.actor).document


async def is_eligible(unit: UnitOfWork, rule: Mapping[str, Any], customer_id: UUID) -> bool:
    """Tell whether a stored rule holds for a living customer.

    Whoever asks needs no scope for what the rule names: who wrote it had them.

    Raises:
        Invalid: it names what is gone.

    """
    known = await customer_rules(unit, rule)
    as_of = AsOf(unit.now(), await tenant_zone(unit))
    c = customers.alias()
    predicate = known.predicate(known.check(rule, "/rule"), c, as_of, unit.tenant_id)
    found = select(c.c.id).where(predicate, c.c.id == bind(customer_id, Uuid()), c.c.deleted_at.is_(None))
    return await unit.fetch_value(found) is not None
