"""What a rule about customers can name: the one catalogue behind search, segments and (later) campaigns.

Kept in one place, above all domains whose tables it reads, so that it can be read as the language's dictionary: a
file for each chapter. Every entry says which scope naming it takes: that of the domain its table belongs to.
"""

from typing import Any

from crm_api.attributes.repository import AttributeRepository
from crm_api.db.rules import SqlRules
from crm_api.db.uow import UnitOfWork
from crm_api.segments.repository.catalogue.anniversaries import ANNIVERSARIES
from crm_api.segments.repository.catalogue.attributes import attribute_fields, names_attributes
from crm_api.segments.repository.catalogue.behaviour import BEHAVIOUR, INTERESTS
from crm_api.segments.repository.catalogue.cases import CASES
from crm_api.segments.repository.catalogue.consents import CONSENTS
from crm_api.segments.repository.catalogue.households import CHILDREN
from crm_api.segments.repository.catalogue.profile import CONTACT_POINTS, PROFILE
from crm_api.segments.repository.catalogue.purchases import PATTERNS, PURCHASES
from crm_api.segments.repository.catalogue.standing import STANDING

CUSTOMER_RULES = SqlRules()
CUSTOMER_RULES.register(
    *PROFILE,
    *PURCHASES,
    *BEHAVIOUR,
    *STANDING,
    CONTACT_POINTS,
    *CASES,
    *ANNIVERSARIES,
    *CONSENTS,
    *CHILDREN,
    *PATTERNS,
    *INTERESTS,
)


async def customer_rules(unit: UnitOfWork, tree: Any = None) -> SqlRules:
    """Return what rules of the unit's tenant can name: its own attributes too, as ``attributes.<key>``.

    Args:
        unit: the unit.
        tree: a rule; the definitions are only read when it names an attribute. Without one they always are.

    """
    if tree is not None and not names_attributes(tree):
        return CUSTOMER_RULES
    definitions = await AttributeRepository(unit).definitions("customer")
    return CUSTOMER_RULES.extended(*(field for each in definitions.values() for field in attribute_fields(each)))
