"""SQL that moves rows between customers, made from what domains declare of their tables.

Every name in it comes from the metadata, never from a caller. Each statement is about all rows of one table, so a merge
takes as many statements as there are tables with rows to move, however many rows they have.

Parameters: ``$1`` tenant, ``$2`` merge, ``$3`` winner, ``$4`` losers.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

from sqlalchemy import Table

from crm_api.db.compile import DIALECT
from crm_api.db.ownership import Owned, everything


def declared(name: str) -> Owned:
    """Return what is declared under a name."""
    return next(each for each in everything() if each.name == name)


def _key(owned: Owned) -> list[tuple[str, str]]:
    """Return name and type of the columns that tell a customer's rows apart."""
    return [
        (column.name, column.type.compile(DIALECT))
        for column in owned.table.primary_key.columns
        if column.name not in {"tenant_id", owned.column}
    ]


def _array(key: Sequence[tuple[str, str]], alias: str) -> str:
    return f"ARRAY[{', '.join(f'{alias}.{name}::text' for name, _ in key)}]::text[]"


def _meets(key: Sequence[tuple[str, str]], alias: str, array: str) -> str:
    """Return the predicate that a row has the key in a text array."""
    return "".join(f" AND {alias}.{name} = ({array})[{place}]::{kind}" for place, (name, kind) in enumerate(key, 1))


def _equal(owned: Owned, one: str, other: str) -> str:
    return "".join(f" AND {one}.{name} IS NOT DISTINCT FROM {other}.{name}" for name in owned.same)


def _moving(owned: Owned, t: str) -> str:
    """Return the predicate on a loser's row ``t`` that it becomes the winner's."""
    if owned.on_merge in {"move", "hook"}:
        return "true"
    if owned.on_merge == "stay":
        return "false"
    name, column = owned.table.name, owned.column
    # Of equal rows of several losers the one of the smallest id moves (and of its equal ones the first).
    keys = ", ".join(f"rival.{each}" for each, _ in _key(owned))
    mine = ", ".join(f"{t}.{each}" for each, _ in _key(owned))
    first = f"(rival.{column}{', ' + keys if keys else ''}) < ({t}.{column}{', ' + mine if mine else ''})"
    return (
        f"NOT EXISTS (SELECT FROM {name} rival WHERE rival.tenant_id = $1{_equal(owned, 'rival', t)} "
        f"AND (rival.{column} = $3 OR (rival.{column} = ANY ($4::uuid[]) AND {first})))"
    )


# -- counting ----------------------------------------------------------------------------------------------------------


def _declared_table(table: Table) -> Owned | None:
    return next((each for each in everything() if each.table is table), None)


def _counted(owned: Owned) -> str | None:
    """Return the query that counts a table's rows, or None when nobody declared the table they hang on.

    Rows that hang on others are counted by what becomes of the row at the end of the chain, unless a hook moves them.
    """
    joins, at, place, hooked = "", owned, 0, False
    while at.through is not None:
        column, table = at.through
        hooked = hooked or at.on_merge == "hook"
        parent = _declared_table(table)
        if parent is None:
            return None
        (key,) = [name for name in table.primary_key.columns.keys() if name != "tenant_id"]  # noqa: SIM118 - no dict
        place += 1
        joins += f" JOIN {table.name} t{place} ON t{place}.tenant_id = $1 AND t{place}.{key} = t{place - 1}.{column}"
        at = parent
    moving = "true" if hooked else _moving(at, f"t{place}")
    stays = "true" if at.on_merge == "stay" and not hooked else "false"
    return (
        f"SELECT '{owned.name}' AS name, count(*) FILTER (WHERE {moving}) AS moves, "  # noqa: S608 - of the metadata
        f"count(*) FILTER (WHERE NOT {moving} AND NOT {stays}) AS unites, "
        f"count(*) FILTER (WHERE {stays}) AS stays "
        f"FROM {owned.table.name} t0{joins} WHERE t0.tenant_id = $1 AND t{place}.{at.column} = ANY ($4::uuid[])"
    )


@cache
def counts() -> str:
    """Return the statement that counts the losers' rows in every table, and what becomes of them."""
    arms = " UNION ALL ".join(arm for each in everything() if (arm := _counted(each)) is not None)
    # $2 and $3 are there, so that all statements take the same values.
    return (
        "SELECT name, moves, unites, stays "  # noqa: S608 - of the metadata
        f"FROM ({arms}) AS every WHERE moves + unites + stays > 0 AND ($2::uuid IS NOT NULL OR $3::uuid IS NOT NULL)"
    )


# -- there and back ----------------------------------------------------------------------------------------------------


@cache
def hand_over(name: str) -> str:
    """Return the statement that gives the losers' rows of a table to the winner and notes whose they were."""
    return _hand_over(declared(name), "")


@cache
def reunite(name: str) -> str:
    """Return the statement that moves what had stayed only because of a row that has just gone back.

    As ``hand_over``, and ``$5`` is the merge that was undone, ``$6`` its losers. What the winner has lost otherwise
    since was taken away on purpose and does not come back from a hidden row.
    """
    owned = declared(name)
    condition = f"""AND EXISTS (
      SELECT FROM {owned.table.name} gone JOIN merge_rows r
        ON r.tenant_id = $1 AND r.merge_id = $5 AND r.table_name = '{name}' AND r.from_id = gone.{owned.column}
        AND r.row_key = {_array(_key(owned), "gone")}
      WHERE gone.tenant_id = $1 AND gone.{owned.column} = ANY ($6::uuid[]){_equal(owned, "gone", "t")}
    )"""
    return _hand_over(owned, condition)


def _hand_over(owned: Owned, condition: str) -> str:
    table, column, key = owned.table.name, owned.column, _key(owned)
    return f"""
WITH old AS MATERIALIZED (
  SELECT {_array(key, "t")} AS row_key, t.{column} AS from_id
  FROM {table} t
  WHERE t.tenant_id = $1 AND t.{column} = ANY ($4::uuid[]) AND {_moving(owned, "t")} {condition}
),
moved AS (
  UPDATE {table} t SET {column} = $3
  FROM old
  WHERE t.tenant_id = $1 AND t.{column} = old.from_id{_meets(key, "t", "old.row_key")}
  RETURNING old.row_key, old.from_id
)
INSERT INTO merge_rows (tenant_id, merge_id, table_name, row_key, from_id)
SELECT $1, $2, '{owned.name}', row_key, from_id FROM moved
ON CONFLICT DO NOTHING
"""  # noqa: S608 - names of the metadata


@cache
def give_back(name: str) -> str:
    """Return the statement that gives back the rows of a table, and counts: given back, gone, somebody else's."""
    owned = declared(name)
    table, column, key = owned.table.name, owned.column, _key(owned)
    # Where the owner is part of the key, a row with that key elsewhere is another row.
    elsewhere = "false" if column in owned.table.primary_key.columns else f"t.{column} IS DISTINCT FROM $3"
    return f"""
WITH noted AS MATERIALIZED (
  SELECT row_key, from_id FROM merge_rows WHERE tenant_id = $1 AND merge_id = $2 AND table_name = '{name}'
),
back AS (
  UPDATE {table} t SET {column} = noted.from_id
  FROM noted
  WHERE t.tenant_id = $1 AND t.{column} = $3{_meets(key, "t", "noted.row_key")}
  RETURNING noted.row_key
)
SELECT (SELECT count(*) FROM noted) AS noted,
       (SELECT count(*) FROM back) AS returned,
       (SELECT count(*) FROM noted JOIN {table} t
          ON t.tenant_id = $1{_meets(key, "t", "noted.row_key")}
        WHERE {elsewhere}) AS elsewhere
WHERE $4::uuid[] IS NOT NULL
"""  # noqa: S608 - names of the metadata


@cache
def follow(name: str) -> str:
    """Return the statement that lets rows made since the merge go back with the row they are about."""
    owned = declared(name)
    if owned.follows is None:
        raise LookupError(name)
    reference, parent_name = owned.follows
    parent = declared(parent_name)
    return f"""
UPDATE {owned.table.name} t SET {owned.column} = p.{parent.column}
FROM {parent.table.name} p
WHERE t.tenant_id = $1 AND t.{owned.column} = $3 AND p.tenant_id = $1 AND p.id = t.{reference}
  AND p.{parent.column} = ANY ($4::uuid[])
  AND EXISTS (SELECT FROM merge_rows r WHERE r.tenant_id = $1 AND r.merge_id = $2 AND r.table_name = '{parent.name}'
              AND r.row_key = ARRAY[p.id::text])
"""  # noqa: S608 - names of the metadata


HOLD: Final = """
SELECT c.id, c.deleted_at, c.merged_into_id, c.updated_at, to_jsonb(c) AS profile
FROM customers c
WHERE c.tenant_id = $1 AND c.id = ANY ($2::uuid[])
ORDER BY c.id
FOR UPDATE
"""
"""All sides, held so that nobody gives them a row meanwhile: a foreign key's check waits for this lock."""

LOOK: Final = HOLD.replace("FOR UPDATE", "")

HIDE: Final = """
UPDATE customers SET deleted_at = $3, merged_into_id = $4, version = version + 1, updated_at = $3
WHERE tenant_id = $1 AND id = ANY ($2::uuid[])
"""

SHOW: Final = """
UPDATE customers SET deleted_at = NULL, merged_into_id = NULL, version = version + 1, updated_at = $3
WHERE tenant_id = $1 AND id = ANY ($2::uuid[])
"""

ADD_SIDES: Final = """
INSERT INTO merge_sides (tenant_id, merge_id, customer_id, role, before, changes)
SELECT $1, $2, s.* FROM unnest($3::uuid[], $4::text[], $5::jsonb[], $6::jsonb[]) AS s
"""
"""The winner's notes are the only ones with changes."""

NOTED_TABLES: Final = "SELECT DISTINCT table_name FROM merge_rows WHERE tenant_id = $1 AND merge_id = $2"

LATER: Final = """
SELECT m.id, m.loser_ids, s.changes
FROM merges m
JOIN merge_sides s ON s.tenant_id = $1 AND s.merge_id = m.id AND s.customer_id = m.winner_id
WHERE m.tenant_id = $1 AND m.winner_id = $2 AND m.state = 'merged'
  AND (m.merged_at, m.id) > (SELECT u.merged_at, u.id FROM merges u WHERE u.tenant_id = $1 AND u.id = $3)
ORDER BY m.merged_at, m.id
"""
"""Merges into the same winner that came after one, and hold."""

INTO: Final = """
WITH RECURSIVE way (id, winner_id) AS (
  SELECT m.id, m.winner_id FROM merges m
  JOIN merge_sides s ON s.tenant_id = $1 AND s.merge_id = m.id AND s.customer_id = $2 AND s.role = 'loser'
  WHERE m.tenant_id = $1 AND m.state = 'merged'
  UNION
  SELECT m.id, m.winner_id FROM way
  JOIN merge_sides s ON s.tenant_id = $1 AND s.customer_id = way.winner_id AND s.role = 'loser'
  JOIN merges m ON m.tenant_id = $1 AND m.id = s.merge_id AND m.state = 'merged'
)
SELECT m.id FROM way JOIN merges m ON m.tenant_id = $1 AND m.id = way.id ORDER BY m.merged_at DESC, m.id DESC
"""
"""The merges by which a customer became who answers for them now, the last one first."""


@cache
def set_columns(names: tuple[str, ...], table: Table) -> str:
    """Return the statement that writes columns of a customer: ``$1`` tenant, ``$2`` id, ``$3`` time, ``$4`` as JSON."""
    known = [table.c[name].name for name in names]  # a name that is no column is an error, not SQL
    sets = "".join(f"{name} = r.{name}, " for name in known)
    return (
        f"UPDATE customers c SET {sets}version = c.version + 1, updated_at = $3 "  # noqa: S608
        "FROM jsonb_populate_record(NULL::customers, $4::jsonb) AS r WHERE c.tenant_id = $1 AND c.id = $2"
    )
