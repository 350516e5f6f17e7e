"""What earning rules, their versions, limits and earnings look like."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, func, select

from crm_api.customers.repository import CUSTOMER
from crm_api.db.projections import (
    TENANT,
    Projection,
    asc,
    at_least,
    below,
    column,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    many,
    one,
    ref,
    sql,
)
from crm_api.earning.models import (
    Earning,
    EarningLimits,
    EarningRule,
    EarningRuleVersion,
    RuleState,
    Trigger,
)
from crm_api.earning.tables import earning_budgets, earning_limits, earning_rule_versions, earning_rules, earnings
from crm_api.orders.repository import ORDER

SCOPE = "loyalty:read"


def _budget_used(scope: ColumnElement[UUID]) -> ColumnElement[Any]:
    b = earning_budgets.alias()
    used = select(b.c.used).where(b.c.tenant_id == TENANT, b.c.scope_id == scope)
    return func.coalesce(used.scalar_subquery(), 0)


def _rule_budget(rule: FromClause) -> ColumnElement[Any]:
    return _budget_used(rule.c.id)


def _programme_budget(limits: FromClause) -> ColumnElement[Any]:
    return _budget_used(limits.c.tenant_id)


EARNING_RULE = Projection(
    "EarningRule",
    table=earning_rules,
    model=EarningRule,
    scope=SCOPE,
    description="What customers get points for.",
    fields={
        **columns(
            "id",
            "name",
            "description",
            "state",
            "revision",
            "trigger",
            "event_type",
            "formula",
            "gives",
            "stacking",
            "stacking_group",
            "priority",
            "keeps_base",
            "counts",
            "caps",
            "starts_at",
            "ends_at",
            "reason",
            "version",
            "created_at",
            "updated_at",
        ),
        "customer": column("customer_rule"),
        "order": column("order_rule"),
        "lines": column("lines_rule"),
        "event": column("event_rule"),
        "budget_used": sql(_rule_budget),
    },
    relations={
        "versions": many(
            "EarningRuleVersion", on=lambda p, c: c.c.rule_id == p.c.id, description="What it said, newest first."
        )
    },
    orders={"newest": [desc("id")], "turn": [asc("priority")], "name": [asc("name")]},
    filters={"state": eq("state", RuleState), "trigger": eq("trigger", Trigger)},
)

EARNING_RULE_VERSION = Projection(
    "EarningRuleVersion",
    table=earning_rule_versions,
    model=EarningRuleVersion,
    scope=SCOPE,
    description="What a rule said, from one moment until its next version.",
    fields={
        **columns("id", "revision", "state", "definition", "effective_from"),
        "rule_id": ref("rule_id", "EarningRule"),
    },
    filters={"rule_id": eq_ref("rule_id", "EarningRule")},
)

EARNING_LIMITS = Projection(
    "EarningLimits",
    table=earning_limits,
    model=EarningLimits,
    scope=SCOPE,
    description="Caps over all rules of the programme together.",
    fields={
        **columns("per_order", "per_day", "per_week", "per_month", "per_life", "budget", "version", "updated_at"),
        "budget_used": sql(_programme_budget),
    },
    node=False,
    key="tenant_id",
)

EARNING = Projection(
    "Earning",
    table=earnings,
    model=Earning,
    scope=SCOPE,
    description="What one order, event or other occasion earned, rule by rule.",
    fields={
        **columns(
            "id",
            "trigger",
            "reference",
            "occurred_at",
            "points",
            "qualifying",
            "taken_back",
            "decisions",
            "created_at",
        ),
        "customer_id": ref("customer_id", "Customer"),
        "order_id": ref("order_id", "Order"),
        "transaction_id": ref("transaction_id", "LoyaltyEntry"),
    },
    relations={"customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Who earned.")},
    filters={
        "customer_id": eq_ref("customer_id", "Customer"),
        "order_id": eq_ref("order_id", "Order"),
        "trigger": eq("trigger", Trigger),
        "occurred_from": at_least("occurred_at", description="Happened at this time or later."),
        "occurred_before": below("occurred_at", description="Happened before this time."),
    },
)

extend(
    CUSTOMER,
    relations={
        "earnings": many(
            "Earning", on=lambda p, c: c.c.customer_id == p.c.id, description="What was earned and why, newest first."
        )
    },
)
extend(
    ORDER,
    relations={
        "earnings": many(
            "Earning", on=lambda p, c: c.c.order_id == p.c.id, description="What the order earned, rule by rule."
        )
    },
)
