# ruff: noqa: E501 - tables of names and SQL read better on one line
"""A shop of some size in a server of its own: made once, kept between runs.

The server is an embedded one with production settings (it waits for the disk), in ``BENCH_HOME`` or a temporary
folder that is the same for all runs. Rows are made by ``generate_series`` as the tables' owner, so that foreign keys,
checks, search keys and statistics are what the application would have left.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg

from crm_api import admin
from crm_api.customers import search
from crm_api.db import migrate
from crm_api.db.embedded import SUPERUSER, EmbeddedServer
from crm_api.settings import Settings

CUSTOMERS = 200_000
ORDERS_EACH = 5
INTERACTIONS_EACH = 3
SMALL = 100
"""The second tenant has one customer for so many of the first."""


@dataclass(frozen=True, slots=True)
class Shop:
    """What a benchmark needs to know of the data.

    Attributes:
        server: the embedded server.
        url: of the database, as the login that owns the tables.
        tenant_id: the tenant with the many rows.
        api_key: its admin key.
        other_tenant_id: the tenant with few.
        other_key: its admin key.
        customers: how many the first tenant has.

    """

    server: EmbeddedServer
    url: str
    tenant_id: UUID
    api_key: str
    other_tenant_id: UUID
    other_key: str
    customers: int

    @property
    def settings(self) -> Settings:
        """Return settings that name this database."""
        return Settings(database_url=self.url)


def home() -> Path:
    """Return the server's folder."""
    given = os.environ.get("BENCH_HOME")
    return Path(given) if given else Path(tempfile.gettempdir()).resolve() / f"crm-api-bench-{os.geteuid()}"


@contextmanager
def shop(customers: int = CUSTOMERS) -> Iterator[Shop]:
    """Yield the data, making it when it is not there."""
    server = EmbeddedServer(home(), durable=True)
    with server.lease():
        # One database for each state of the schema and each size.
        name = f"bench_{customers}_{migrate.head_revision()}"
        url = server.ensure_database(name)
        migrate.upgrade(url)
        yield asyncio.run(_shop(server, url, server.url(name, user=SUPERUSER), customers))


async def _shop(server: EmbeddedServer, url: str, superuser: str, customers: int) -> Shop:
    connection = await asyncpg.connect(superuser)
    try:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS bench_shop (tenant_id uuid, api_key text, customers int, made timestamptz);"
            "GRANT SELECT ON bench_shop TO crm"
        )
        known = await connection.fetch("SELECT tenant_id, api_key FROM bench_shop ORDER BY customers DESC")
        if len(known) < 2:
            known = [await _make(connection, url, f"bench {size}", size) for size in (customers, customers // SMALL)]
            print("  vacuum analyze …", flush=True)
            await connection.execute("VACUUM (ANALYZE)")
            await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
    (tenant_id, key), (other_id, other_key) = known
    return Shop(server, url, tenant_id, key, other_id, other_key, customers)


async def _make(connection: asyncpg.Connection, url: str, name: str, customers: int) -> tuple[UUID, str]:
    tenant = await admin.create_tenant(Settings(database_url=url), name)
    programme = await connection.fetchval("SELECT id FROM loyalty_programmes WHERE tenant_id = $1", tenant.tenant_id)
    async with connection.transaction():
        # Foreign keys hold by construction; checking them row by row would triple the time.
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute("SELECT setseed(0.42)")
        values = {
            "tenant": f"'{tenant.tenant_id}'::uuid",
            "programme": f"'{programme}'::uuid",
            "customers": str(customers),
            "orders": str(customers * ORDERS_EACH),
            "interactions": str(customers * INTERACTIONS_EACH),
        }
        for title, statement in FILL:
            started = time.perf_counter()
            status = await connection.execute(statement.format(**values))
            print(f"  {name}: {title}: {status} in {time.perf_counter() - started:.1f} s", flush=True)
        started = time.perf_counter()
        await _search_keys(connection, tenant.tenant_id)
        print(f"  {name}: search keys in {time.perf_counter() - started:.1f} s", flush=True)
    await connection.execute(
        "INSERT INTO bench_shop VALUES ($1, $2, $3, now())", tenant.tenant_id, tenant.api_key, customers
    )
    return tenant.tenant_id, tenant.api_key


KNOWN = """
SELECT d.id, d.name, array_remove(ARRAY[d.mobile, d.email], NULL) AS contacts, ARRAY[d.external_id] AS identities,
  ARRAY(SELECT t.tag FROM customer_tags t WHERE t.tenant_id = $1 AND t.customer_id = d.id ORDER BY t.tag) AS tags
FROM draft d ORDER BY d.n
"""
KEYS = """
INSERT INTO customer_search_keys (tenant_id, customer_id, name, haystack, keys_version)
SELECT $1, id, '', haystack, $4 FROM unnest($2::uuid[], $3::text[]) AS given (id, haystack)
"""


async def _search_keys(connection: asyncpg.Connection, tenant_id: UUID) -> None:
    rows = await connection.fetch(KNOWN, tenant_id)
    for start in range(0, len(rows), 5000):
        part = rows[start : start + 5000]
        haystacks = [
            search.haystack(search.Known(row["name"], row["contacts"], row["identities"], row["tags"])) for row in part
        ]
        await connection.execute(KEYS, tenant_id, [row["id"] for row in part], haystacks, search.VERSION)


FILL = (
    (
        "draft",
        """
        CREATE TEMP TABLE draft ON COMMIT DROP AS
        SELECT n, uuidv7((n - {customers}) * interval '1 minute' - interval '1 day') AS id,
          (ARRAY['王','李','张','刘','陈','杨','赵','黄','周','吴','徐','孙','胡','朱','高','林'])[1 + (random() * 15)::int]
          || (ARRAY['伟','芳','娜','敏','静','丽','强','磊','军','洋','勇','艳','杰','娟','涛','明'])[1 + (random() * 15)::int]
          || (ARRAY['','华','平','宇','婷','欣','怡','峰','波','辉','兰','雪','琳','博','文','子'])[1 + (random() * 15)::int]
          AS name,
          '+8613' || lpad(((n * 7919::bigint) % 1000000000)::text, 9, '0') AS mobile,
          CASE WHEN n % 2 = 0 THEN 'user' || n || '@example.com' END AS email,
          'tb_' || n AS external_id,
          now() - ({customers} - n) * interval '1 minute' - interval '1 day' AS at
        FROM generate_series(1, {customers}) AS n
        """,
    ),
    ("draft key", "CREATE UNIQUE INDEX ON draft (n)"),
    (
        "customers",
        """
        INSERT INTO customers (tenant_id, id, name, gender, birth_calendar, birth_year, birth_month, birth_day,
          birth_leap_month, occupation, region, city, address, notes, source, created_at, updated_at)
        SELECT {tenant}, id, name, (ARRAY['female', 'male'])[1 + n % 2], 'solar', 1960 + n % 45, 1 + n % 12,
          1 + n % 28, false, (ARRAY['教师', '工程师', '医生', NULL])[1 + n % 4], '华东',
          (ARRAY['上海', '杭州', '南京', '苏州', '宁波'])[1 + n % 5], '人民路' || n || '号',
          CASE WHEN n % 10 = 0 THEN '喜欢周末送货' END, (ARRAY['taobao', 'wechat', 'store'])[1 + n % 3], at, at
        FROM draft ORDER BY n
        """,
    ),
    (
        "contact points",
        """
        INSERT INTO contact_points (tenant_id, id, customer_id, kind, value, is_primary, created_at)
        SELECT {tenant}, uuidv7(), id, kind, value, kind = 'mobile', at
        FROM draft, LATERAL (VALUES ('mobile', mobile), ('email', email)) AS each (kind, value)
        WHERE value IS NOT NULL ORDER BY n
        """,
    ),
    (
        "identities",
        """
        INSERT INTO customer_identities (tenant_id, id, customer_id, platform, external_id, created_at)
        SELECT {tenant}, uuidv7(), id, 'taobao', external_id, at FROM draft ORDER BY n
        """,
    ),
    (
        "tags",
        """
        INSERT INTO customer_tags (tenant_id, customer_id, tag, created_at)
        SELECT {tenant}, id, tag, at FROM draft, LATERAL (VALUES (3, 'vip'), (2, '老客户'), (7, '母婴')) AS t (each, tag)
        WHERE n % each = 0 ORDER BY n
        """,
    ),
    (
        "orders",
        """
        INSERT INTO orders (tenant_id, id, customer_id, platform, external_id, status, reported_status, currency,
          total_amount, discount_amount, shipping_amount, paid_amount, placed_at, paid_at, completed_at,
          paid_announced, channel, categories, created_at, updated_at)
        SELECT {tenant}, uuidv7((o - {orders}) * interval '20 seconds'), d.id, 'taobao', 'T' || o, 'completed',
          'completed', 'CNY', amount, o % 5 * 100, 800, amount, drawn.at, drawn.at + interval '3 minutes',
          drawn.at + interval '5 days',
          true, (ARRAY['app', 'web', 'store'])[1 + o % 3], ARRAY[(ARRAY['服饰', '家居', '美妆'])[1 + o % 3]], drawn.at, drawn.at
        FROM (
          SELECT o, 1 + floor(random() * {customers})::int AS n, (1000 + random() * 99000)::bigint AS amount,
            now() - ({orders} - o) * interval '20 seconds' - interval '6 days' AS at
          FROM generate_series(1, {orders}) AS o
        ) AS drawn JOIN draft d USING (n) ORDER BY o
        """,
    ),
    (
        "order lines",
        """
        INSERT INTO order_lines (tenant_id, id, order_id, position, sku, title, quantity, unit_price_amount, amount,
          currency, category)
        SELECT {tenant}, uuidv7(), o.id, p, 'SKU-' || (abs(hashtext(o.external_id)) % 5000), '商品' || p, p,
          o.total_amount / 2 / p, o.total_amount / 2, 'CNY', o.categories[1]
        FROM orders o, generate_series(1, 2) AS p
        WHERE o.tenant_id = {tenant} AND (p = 1 OR abs(hashtext(o.external_id)) % 2 = 0)
        """,
    ),
    (
        "purchase facts",
        """
        INSERT INTO customer_purchase_facts (tenant_id, customer_id, order_count, paid_order_count, first_order_at,
          last_order_at, currency, gross_spend_amount, net_spend_amount, average_order_amount, favourite_categories)
        SELECT {tenant}, customer_id, count(*), count(*), min(placed_at), max(placed_at), 'CNY', sum(paid_amount),
          sum(paid_amount), sum(paid_amount) / count(*), ARRAY['服饰']
        FROM orders WHERE tenant_id = {tenant} GROUP BY customer_id
        """,
    ),
    (
        "interactions",
        """
        INSERT INTO interactions (tenant_id, id, customer_id, channel, direction, subject, body, outcome,
          duration_seconds, occurred_at, created_at, updated_at)
        SELECT {tenant}, uuidv7((i - {interactions}) * interval '30 seconds'), d.id,
          (ARRAY['call', 'wechat', 'email', 'in_store'])[1 + i % 4], (ARRAY['inbound', 'outbound'])[1 + i % 2],
          '咨询' || i, '顾客询问尺码与发货时间，已经答复。', 'answered', i % 600, drawn.at, drawn.at, drawn.at
        FROM (
          SELECT i, 1 + floor(random() * {customers})::int AS n,
            now() - ({interactions} - i) * interval '30 seconds' - interval '6 days' AS at
          FROM generate_series(1, {interactions}) AS i
        ) AS drawn JOIN draft d USING (n) ORDER BY i
        """,
    ),
    (
        "wallets",
        """
        INSERT INTO loyalty_wallets (tenant_id, id, programme_id, customer_id, available, pending, sequence)
        SELECT {tenant}, uuidv7(), {programme}, id, n % 5000, n % 300, 1 FROM draft ORDER BY n
        """,
    ),
    (
        "scores",
        """
        WITH run AS (
          INSERT INTO scoring_runs (tenant_id, id, state, as_of, currency, finished_at)
          VALUES ({tenant}, uuidv7(), 'completed', now(), 'CNY', now()) RETURNING id
        )
        INSERT INTO customer_scores (tenant_id, customer_id, run_id, lifecycle, recency_days, frequency,
          monetary_amount, currency, r, f, m, grade, scored_at)
        SELECT {tenant}, customer_id, run.id, 'repeat', 30, paid_order_count, net_spend_amount, 'CNY', 3, 4, 2, 'B',
          now()
        FROM customer_purchase_facts, run WHERE tenant_id = {tenant}
        """,
    ),
    (
        "complaints",
        """
        INSERT INTO complaints (tenant_id, id, state, state_changed_at, kind, channel, customer_id, severity, safety,
          subject, reopened, received_at)
        SELECT {tenant}, uuidv7(), (ARRAY['received', 'withdrawn'])[1 + n % 2], at, 'complaint', 'call', id, 'S3', false,
          '送货太慢', 0, at
        FROM draft WHERE n % 20 < 2 ORDER BY n
        """,
    ),
)
"""The statements that fill one tenant, in order; foreign keys and triggers are off while they run."""
