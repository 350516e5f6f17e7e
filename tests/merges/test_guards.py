"""Nothing of a customer's is forgotten: every table says what a merge does with it, and nobody writes it too late."""

from collections import Counter

import asyncpg
import pytest

import crm_api.registry  # noqa: F401 - loads every table and who owns it
from crm_api.customers.tables import customers
from crm_api.db.ownership import MergeHook, everything, hooks, on_merge
from crm_api.db.schema import APPEND_ONLY, metadata

OWNED = everything()
LOCKED = {"events": "no foreign key: a batch holds a lock that the merge's hook waits for (events/ownership.py)"}
"""Tables that need no triggers, and why."""


def owners_columns():
    """Yield (table, column) of everything that refers to customers, by a foreign key or by name."""
    for table in metadata.sorted_tables:
        for constraint in table.foreign_key_constraints:
            if constraint.referred_table is customers:
                (column,) = set(constraint.column_keys) - {"tenant_id"}
                yield table.name, column
        if "customer_id" in table.c:
            yield table.name, "customer_id"


def test_every_table_is_somebodys():
    declared = {(each.table.name, each.column) for each in OWNED if each.through is None}
    missing = set(owners_columns()) - declared
    assert not missing, f"declare in the domain's ownership.py what a merge does with {sorted(missing)}"


def test_declarations_make_sense():
    by_table = {each.table for each in OWNED}
    for each in OWNED:
        if each.through is not None:
            column, parent = each.through
            assert column in each.table.c, each.name
            assert parent in by_table, f"{each.name} hangs on {parent.name}, which nobody owns"
            continue
        assert each.column in each.table.c, each.name
        assert each.on_merge != "stay" or each.why, f"{each.name} stays: say why"
        assert set(each.same) <= set(each.table.c.keys()), each.name
        if each.follows is not None:
            column, parent = each.follows
            assert column in each.table.c, each.name
            assert parent in {one.name for one in OWNED}, each.name


def test_what_is_unique_for_a_customer_unites():
    """Two rows that cannot both be one customer's must not both move."""
    for each in OWNED:
        if not each.changes_hands:
            continue
        unique = [set(index.columns.keys()) for index in each.table.indexes if index.unique]
        unique += [set(each.table.primary_key.columns.keys())]
        for columns in unique:
            if each.column in columns:
                assert each.on_merge == "unite", f"{each.name}: {sorted(columns)} is unique, so rows must unite"


def test_hooks_are_named_once():
    names = [each.name for each in hooks()]
    assert len(set(names)) == len(names)


@pytest.mark.asyncio
async def test_late_writers_are_refused_everywhere(database_url):
    """Each table whose rows move has the triggers, and the application may change the owner of its rows."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            "SELECT c.relname AS table, t.tgname AS name, encode(t.tgargs, 'escape') AS arguments "
            "FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid "
            "WHERE p.proname IN ('crm_refuse_merged', 'crm_refuse_merged_row')"
        )
        counts = Counter((row["table"], row["arguments"].removesuffix("\\000")) for row in rows)
        for each in OWNED:
            if not each.changes_hands or each.table is customers:
                continue
            if each.name not in LOCKED:
                assert counts[each.table.name, each.column] == 2, (
                    f"call refuse_merged('{each.table.name}', '{each.column}') in its migration"
                )
            may = await connection.fetchval(
                "SELECT has_column_privilege('crm_app', $1, $2, 'UPDATE')", each.table.name, each.column
            )
            assert may, f"grant UPDATE ({each.column}) on {each.table.name} to crm_app"
            if each.table.info.get(APPEND_ONLY):
                others = await connection.fetchval(
                    "SELECT has_table_privilege('crm_app', $1, 'UPDATE')", each.table.name
                )
                assert not others, each.name
    finally:
        await connection.close()


def test_a_name_is_declared_once():
    with pytest.raises(ValueError, match=r"'customers\.search' is declared twice"):
        on_merge(MergeHook("customers.search"))
