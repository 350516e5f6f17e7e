"""Statements that write a customer and all that hangs on it."""

from collections.abc import Mapping
from functools import cache
from typing import Final

from crm_api.attributes.repository import demands
from crm_api.customers import rules, search
from crm_api.customers.tables import customers
from crm_api.db.rows import Columns, rows_sql

PARTS: Final[Mapping[str, Columns]] = {
    "contact_points": {"id": "uuid", "kind": "text", "value": "text", "is_primary": "bool"},
    "customer_identities": {"id": "uuid", "platform": "text", "external_id": "text"},
    "customer_tags": {"tag": "text"},
    "customer_addresses": {"id": "uuid", **dict.fromkeys(rules.ADDRESS_PARTS, "text")},
}
"""Tables whose rows hang on a new customer, and what is given of each row."""


OWNERS = "SELECT customer_id, kind, value, verified FROM crm_contact_owners({0}, {1}::text[], {2}::text[])"
"""Locks contact points until the unit ends and tells which living customers have them."""


@cache
def add_statement(names: tuple[str, ...], parts: tuple[tuple[str, bool], ...], *, claiming: bool) -> str:
    """Return the statement that adds a customer: $1 tenant, $2 id, $3 search keys, columns, rows of each part.

    Parts are among `PARTS` and say whether they have one row or more. When ``claiming``, two arrays come last: kinds
    and values of contact points that no other living customer may have: they are locked first, and if somebody has one
    nothing is added. The function looks after it has the locks, so it sees what rivals committed meanwhile, though the
    statement began before.

    Its rows are those owners, at least one row (of nulls); each says whether a new customer must have attributes.

    Foreign keys are checked at the end of the statement, when all rows are there. Only the parts that a customer has
    are in it: an INSERT of no rows would cost as much as a short one.
    """
    known = ", ".join(customers.c[name].name for name in names)  # a name that is no column is an error, not SQL
    values = ", ".join(f"${number}" for number in range(4, 4 + len(names)))
    number = 4 + len(names)
    free = " WHERE NOT EXISTS (SELECT FROM owners)" if claiming else ""
    inserts = []
    for table, one in parts:
        wanted = PARTS[table]
        inserts.append(
            f"{table}_ AS (INSERT INTO {table} (tenant_id, customer_id, {', '.join(wanted)}) "  # noqa: S608 - constants
            f"SELECT $1, $2, given.* FROM {rows_sql(wanted, number, one=one)}{free})"
        )
        number += len(wanted)
    inserts.append(f"customers_ AS (INSERT INTO customers (tenant_id, {known}) SELECT $1, {values}{free})")
    inserts.append(
        "keys_ AS (INSERT INTO customer_search_keys (tenant_id, customer_id, name, haystack, keys_version) "
        f"SELECT $1, $2, '', $3, {search.VERSION}{free})"
    )
    required = f"SELECT {demands('customer', '$1')} AS required"
    if not claiming:
        return f"WITH {', '.join(inserts)} {required}"
    owners = f"owners AS MATERIALIZED ({OWNERS.format('$1', f'${number}', f'${number + 1}')})"
    return (
        f"WITH {owners}, {', '.join(inserts)} "  # noqa: S608 - the same
        f"SELECT required, owners.* FROM ({required}) AS asked LEFT JOIN owners ON true"
    )


BY_IDENTITIES = """
SELECT external_id, customer_id FROM customer_identities
WHERE tenant_id = $1 AND platform = $2 AND external_id = ANY ($3::text[])
"""

# The identity is claimed first: its unique index decides between rivals, and only the winner's customer is made.
# Foreign keys are checked at the end of the statement, when both rows are there.
ADD_BY_IDENTITIES = """
WITH wanted AS (
  SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], $7::text[])
    AS k (platform, external_id, name, customer_id, identity_id, haystack)
),
claimed AS (
  INSERT INTO customer_identities (tenant_id, id, customer_id, platform, external_id)
  SELECT $1, identity_id, customer_id, platform, external_id FROM wanted
  ON CONFLICT (tenant_id, platform, external_id) DO NOTHING
  RETURNING customer_id, platform, external_id
),
made AS (
  INSERT INTO customers (tenant_id, id, name, source)
  SELECT $1, customer_id, wanted.name, wanted.platform FROM wanted JOIN claimed USING (customer_id)
),
keyed AS (
  INSERT INTO customer_search_keys (tenant_id, customer_id, name, haystack, keys_version)
  SELECT $1, customer_id, '', haystack, $8::smallint FROM wanted JOIN claimed USING (customer_id)
)
SELECT customer_id, platform, external_id FROM claimed
"""
