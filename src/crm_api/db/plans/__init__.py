"""Read plans: selections compiled into one SQL statement that returns the response's JSON (ADR 0004)."""

from crm_api.db.plans.compile import Compiler, Expression, Refused
from crm_api.db.plans.plan import Plan
from crm_api.db.plans.rest import BoundPlan, Resource, is_empty, read_list, read_one, require, rest_get, rest_list
from crm_api.db.plans.selection import NOW_KEY, Selection, Value, constant, variable, whole
from crm_api.db.plans.values import exceeds_32_bits

__all__ = [
    "NOW_KEY",
    "BoundPlan",
    "Compiler",
    "Expression",
    "Plan",
    "Refused",
    "Resource",
    "Selection",
    "Value",
    "constant",
    "exceeds_32_bits",
    "is_empty",
    "read_list",
    "read_one",
    "require",
    "rest_get",
    "rest_list",
    "variable",
    "whole",
]
