"""What must be true of a shop's books, whatever was merged and taken apart again."""

from typing import Any

from crm_api.core.actor import Actor
from crm_api.db.ownership import everything
from crm_api.db.pool import Database
from crm_api.loyalty.repository import drift

_TOTALS = """
SELECT (SELECT count(*) FROM orders WHERE tenant_id = $1) AS orders,
       (SELECT coalesce(sum(paid_amount), 0) FROM orders WHERE tenant_id = $1) AS paid,
       (SELECT count(*) FROM refunds WHERE tenant_id = $1) AS refunds,
       (SELECT count(*) FROM interactions WHERE tenant_id = $1) AS interactions,
       (SELECT count(*) FROM complaints WHERE tenant_id = $1) AS complaints,
       (SELECT count(*) FROM contact_points WHERE tenant_id = $1) AS contact_points,
       (SELECT count(*) FROM customer_identities WHERE tenant_id = $1) AS identities,
       (SELECT count(*) FROM customers WHERE tenant_id = $1) AS customers
"""
_POINTS = """
SELECT coalesce(sum(available + pending + held - debt), 0) FROM loyalty_wallets WHERE tenant_id = $1
"""
_ISSUED = """
SELECT coalesce(-sum(points), 0) FROM loyalty_entries
WHERE tenant_id = $1 AND account NOT IN ('available', 'pending', 'held', 'debt', 'merged', 'transferred')
"""
_CHAINS = """
SELECT count(*) FROM customers a JOIN customers w ON w.tenant_id = a.tenant_id AND w.id = a.merged_into_id
WHERE a.tenant_id = $1 AND w.merged_into_id IS NOT NULL
"""
_HELD = """
SELECT count(*) FROM loyalty_holds h JOIN loyalty_wallets w ON w.tenant_id = h.tenant_id AND w.id = h.wallet_id
JOIN customers c ON c.tenant_id = w.tenant_id AND c.id = w.customer_id
JOIN loyalty_hold_parts p ON p.tenant_id = h.tenant_id AND p.hold_id = h.id
JOIN loyalty_lots l ON l.tenant_id = p.tenant_id AND l.id = p.lot_id
WHERE h.tenant_id = $1 AND h.state = 'open' AND (c.merged_into_id IS NOT NULL OR l.wallet_id <> h.wallet_id)
"""
_FACTS = """
SELECT coalesce(f.customer_id, o.customer_id) FROM customer_purchase_facts f
FULL JOIN (SELECT customer_id, count(*) AS orders FROM orders WHERE tenant_id = $1 GROUP BY customer_id) o
  ON o.customer_id = f.customer_id
WHERE coalesce(f.tenant_id, $1) = $1 AND coalesce(f.order_count, 0) <> coalesce(o.orders, 0)
"""
_ASTRAY = """
SELECT count(*) FROM loyalty_accruals a JOIN loyalty_lots l ON l.tenant_id = a.tenant_id AND l.id = a.lot_id
JOIN loyalty_wallets w ON w.tenant_id = l.tenant_id AND w.id = l.wallet_id
WHERE a.tenant_id = $1 AND (w.customer_id <> a.customer_id OR a.wallet_id <> l.wallet_id)
"""


async def totals(database: Database, actor: Actor) -> dict[str, Any]:
    """Return counts and sums that no merge and no undo changes."""
    async with database.read(actor) as unit:
        row = await unit.connection.fetchrow(_TOTALS, actor.tenant_id)
        assert row is not None
        return {**dict(row), "points": await unit.connection.fetchval(_POINTS, actor.tenant_id)}


async def check(database: Database, actor: Actor) -> None:
    """Fail when the books do not hold together."""
    async with database.read(actor) as unit:
        fetch, tenant_id = unit.connection.fetchval, actor.tenant_id
        assert await fetch(_CHAINS, tenant_id) == 0, "an alias leads to an alias"
        assert await unit.connection.fetch(_FACTS, tenant_id) == [], "purchase facts are not the orders'"
        assert await fetch(_ASTRAY, tenant_id) == 0, "an order's points lie in another customer's wallet"
        assert await fetch(_HELD, tenant_id) == 0, "a hold lies with a hidden customer, or apart from its points"
        assert await drift(unit) == [], "the ledger is not its replay"
        assert await fetch(_POINTS, tenant_id) == await fetch(_ISSUED, tenant_id), "points came or went on the way"
        merged = "SELECT sum(points) FROM loyalty_entries WHERE tenant_id = $1 AND account = 'merged'"
        assert (await fetch(merged, tenant_id) or 0) == 0
        for owned in everything():
            if owned.changes_hands and owned.on_merge == "move":
                hidden = await fetch(
                    f"SELECT count(*) FROM {owned.table.name} t JOIN customers c "
                    f"ON c.tenant_id = t.tenant_id AND c.id = t.{owned.column} "
                    "WHERE t.tenant_id = $1 AND c.merged_into_id IS NOT NULL",
                    tenant_id,
                )
                assert hidden == 0, f"{hidden} rows of {owned.name} lie with a hidden customer"


async def digest(database: Database, actor: Actor) -> dict[str, str]:
    """Return a digest of every table of the tenant, but for what every write changes and what only ever grows."""
    grows = {"audit_log", "outbox", "merges", "merge_sides", "merge_rows", "idempotency_keys", "outbox_receipts"}
    ledger = {"loyalty_transactions", "loyalty_entries", "loyalty_lot_movements"}
    # Made from the orders and events whenever they change hands, also for whoever had none made yet.
    remade = {"customer_patterns", "customer_favourites", "customer_interests"}
    found = {}
    async with database.read(actor) as unit:
        tables = await unit.connection.fetch(
            "SELECT DISTINCT c.table_name FROM information_schema.columns c JOIN information_schema.tables t "
            "USING (table_schema, table_name) WHERE c.table_schema = 'public' AND c.column_name = 'tenant_id' "
            "AND t.table_type = 'BASE TABLE'"
        )
        for (table,) in tables:
            if table in grows | ledger | remade or table.startswith("events_"):
                continue
            # A wallet that a merge made and an undo emptied is as good as none.
            there = "available + pending + held + debt > 0" if table == "loyalty_wallets" else "true"
            found[table] = await unit.connection.fetchval(
                "SELECT md5(string_agg(row, '|' ORDER BY row)) FROM (SELECT (to_jsonb(t) - 'version' - 'updated_at' "
                f"- 'sequence')::text AS row FROM {table} t WHERE t.tenant_id = $1 AND {there}) AS rows",
                actor.tenant_id,
            )
    return found
