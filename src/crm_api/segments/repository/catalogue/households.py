"""A customer's children, and what stage they are in."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Date, DateTime, FromClause

from crm_api.core.rules import AsOf, RuleCollection, RuleField, RuleType
from crm_api.db.rule_values import bind
from crm_api.db.rules import SqlCollection, SqlField
from crm_api.households.repository import age_months, stage_of
from crm_api.households.tables import customer_children
from crm_api.segments.repository.catalogue.parts import CUSTOMERS, Entries, beside, choice


def _age(child: FromClause, as_of: AsOf, _tenant: ColumnElement[Any]) -> ColumnElement[Any]:
    return age_months(child.c.born_on, bind(as_of.today(), Date()))


def _stage(child: FromClause, as_of: AsOf, tenant: ColumnElement[Any]) -> ColumnElement[Any]:
    return stage_of(child.c.born_on, child.c.due_date, tenant, bind(as_of.instant, DateTime(timezone=True)))


CHILDREN: Final[Entries] = (
    SqlField(
        RuleField("child_stages", RuleType.MULTI, "Stages of the household's children", "孩子阶段", scope=CUSTOMERS),
        lambda child: child.c.born_on,
        side=beside(customer_children),
        dated=_stage,
    ),
    SqlCollection(
        RuleCollection("children", "Children of the household", "家中孩子", scope=CUSTOMERS),
        customer_children,
        lambda c, child: child.c.customer_id == c.c.id,
        SqlField(
            RuleField("age_months", RuleType.INTEGER, "Whole months since birth", "月龄"),
            lambda child: child.c.born_on,
            dated=_age,
        ),
        SqlField(RuleField("stage", RuleType.TEXT, "Stage", "阶段"), lambda child: child.c.born_on, dated=_stage),
        SqlField(RuleField("born_on", RuleType.DATE, "Day of birth", "出生日期"), lambda child: child.c.born_on),
        SqlField(RuleField("due_date", RuleType.DATE, "Due date", "预产期"), lambda child: child.c.due_date),
        SqlField(
            choice("sex", "Sex", "性别", ("female", "male"), {"female": "女", "male": "男"}), lambda child: child.c.sex
        ),
    ),
)
