"""The rule language: one JSON condition tree for segments, search, campaigns, webhook filters and exports.

A rule is a node, or a node in a versioned envelope ``{"version": 1, "where": node}`` (the form that is stored)::

    {
        "all": [
            {"field": "lifecycle", "op": "in", "value": ["repeat", "loyal"]},
            {"field": "last_order_at", "op": "lt", "value": {"days_ago": 30}},
            {
                "aggregate": "count",
                "of": "orders",
                "window": {"last_days": 90},
                "op": "gte",
                "value": 3,
                "where": {"field": "status", "op": "eq", "value": "paid"},
            },
            {"aggregate": "sum", "of": "orders.total", "op": "gte", "value": {"amount": 100000, "currency": "CNY"}},
            {"not": {"field": "tags", "op": "contains", "value": "wholesale"}},
        ]
    }

Meaning:

* ``all``, ``any`` and ``not`` are the logic of school. A leaf about a missing value is false (only ``missing`` is
  true), and ``not`` is its exact complement: ``{"not": {"field": "city", "op": "eq", …}}`` includes customers
  without a city, ``{"field": "city", "op": "ne", …}`` does not.
* Aggregates: ``count`` and ``sum`` of no rows are 0; ``avg``, ``min``, ``max``, ``first`` and ``last`` are missing.
  Rows whose field is missing are passed over, except by ``first`` and ``last``, which look at that one row.
* A window is half-open, ``[from, to)``; ``last_days: D`` is ``[t − D, t)`` for the instant ``t`` of evaluation, by the
  wall clock of the tenant's zone. Without a window all rows count. ``between`` includes both ends.
* Money is compared within its currency; an amount in another currency is missing.
* ``contains`` and ``starts_with`` of text ignore case; all other comparisons of text are exact.

What a rule names takes the scope of the field or collection (`RuleField.scope`), because answers to "more than 100?"
tell the value in the end.

What can be named is not known here: domains register it (`RuleField`, `RuleCollection`; with SQL in
`crm_api.db.rules`). Limits: 10 levels, 200 nodes, lists of 1,000 values.
"""

from crm_api.core.rules.catalogue import Aggregate, Op, RuleCatalogue, RuleCollection, RuleField, RuleType
from crm_api.core.rules.check import MAX_DEPTH, MAX_NODES, check_rule
from crm_api.core.rules.moments import Ago, AsOf, Window
from crm_api.core.rules.schema import rule_json_schema
from crm_api.core.rules.tree import AggregateTest, All, AnyOf, FieldTest, Node, Not, Rule, settled
from crm_api.core.rules.wire import RuleDocument, RuleTree

__all__ = [
    "MAX_DEPTH",
    "MAX_NODES",
    "Aggregate",
    "AggregateTest",
    "Ago",
    "All",
    "AnyOf",
    "AsOf",
    "FieldTest",
    "Node",
    "Not",
    "Op",
    "Rule",
    "RuleCatalogue",
    "RuleCollection",
    "RuleDocument",
    "RuleField",
    "RuleTree",
    "RuleType",
    "Window",
    "check_rule",
    "rule_json_schema",
    "settled",
]
