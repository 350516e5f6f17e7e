"""No tenant can see or touch another's rows: every table, every operation, with a row of each tenant everywhere."""

import json
import re

import asyncpg
import pytest
import pytest_asyncio

from crm_api.db.compile import compile_statement
from crm_api.db.pool import Database
from crm_api.db.projections import projections
from crm_api.db.schema import APPEND_ONLY, NO_ROW_SECURITY, metadata
from crm_api.settings import Settings
from tests.support.api import application, client_of, make_tenant
from tests.support.rows import fill_every_table, row_for, tenant_tables
from tests.web.test_scopes import BODIES, OPERATIONS

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

TABLES = [table.name for table in tenant_tables()]
PARTITION = re.compile(r"events_(default|y\d{4}m\d{2})")
PROTECTED = [table.name for table in tenant_tables() if not table.info.get(NO_ROW_SECURITY)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(database_server):
    """A database with one row of two tenants in every table."""
    with database_server.migrated() as url:
        settings = Settings(database_url=url)
        mine, theirs = await make_tenant(settings), await make_tenant(settings)
        owner = await asyncpg.connect(url)
        await owner.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=str)
        for tenant in (mine, theirs):
            await fill_every_table(owner, tenant.id)
        yield settings, mine, theirs, owner
        await owner.close()


async def app_connection(settings):
    connection = await asyncpg.connect(settings.database_url)
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=str)
    await connection.execute("SET ROLE crm_app")
    return connection


async def fingerprint(owner, tenant_id, *, without=()):
    """Return a digest of everything a tenant owns."""
    return {
        name: await owner.fetchval(
            f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {name} t WHERE tenant_id = $1", tenant_id
        )
        for name in TABLES
        if name not in without
    }


class TestSchema:
    @pytest.mark.parametrize("name", TABLES)
    async def test_keys_start_with_the_tenant(self, name):
        table = metadata.tables[name]
        assert next(iter(table.primary_key.columns)).name == "tenant_id"
        for constraint in table.foreign_key_constraints:
            assert constraint.elements[0].parent.name == "tenant_id", constraint.name
        for index in table.indexes:
            if index.unique and name != "api_keys":  # a key is recognised before its tenant is known
                assert next(iter(index.columns)).name == "tenant_id", index.name

    async def test_only_the_cursor_table_belongs_to_nobody(self):
        assert [table.name for table in metadata.sorted_tables if "tenant_id" not in table.c] == ["outbox_cursors"]

    async def test_metadata_and_migrations_agree_on_tables(self, database_url):
        owner = await asyncpg.connect(database_url)
        rows = await owner.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        await owner.close()
        ours = {row[0] for row in rows if not row[0].startswith("pgqueuer")} - {"alembic_version"}
        partitions = {name for name in ours if name not in metadata.tables}
        assert ours - partitions == set(metadata.tables)
        assert {name for name in partitions if not PARTITION.fullmatch(name)} == set()
        assert "events_default" in partitions


@pytest.mark.asyncio(loop_scope="module")
class TestTables:
    @pytest.mark.parametrize("name", PROTECTED)
    async def test_protected_table(self, world, name):
        settings, mine, theirs, _owner = world
        table = metadata.tables[name]
        connection = await app_connection(settings)
        try:
            assert await connection.fetchval(f"SELECT count(*) FROM {name}") == 0, "the setting is missing"
            for nonsense in ("", "00000000-0000-0000-0000-000000000000"):
                await connection.execute(f"SET app.tenant = '{nonsense}'")
                assert await connection.fetchval(f"SELECT count(*) FROM {name}") == 0
            await connection.execute(f"SET app.tenant = '{mine.id}'")
            tenants = await connection.fetch(f"SELECT DISTINCT tenant_id FROM {name}")
            assert [row[0] for row in tenants] == [mine.id]
            sql, values = compile_statement(table.insert(), row_for(table, theirs.id))
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(sql, *values)
            await self._cannot_change(connection, table, theirs)
        finally:
            await connection.close()

    async def _cannot_change(self, connection, table, theirs):
        changing = (
            f"UPDATE {table.name} SET tenant_id = tenant_id WHERE tenant_id = $1",
            f"DELETE FROM {table.name} WHERE tenant_id = $1",
        )
        for statement in changing:
            if table.info.get(APPEND_ONLY):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement, theirs.id)
            else:
                assert (await connection.execute(statement, theirs.id)).endswith(" 0")

    async def test_partitions_cannot_be_reached_around_their_table(self, world):
        """Row-level security stands on the table; a partition asked directly must not be a way around it."""
        settings, mine, theirs, owner = world
        partitions = await owner.fetch(
            "SELECT c.relname, c.relrowsecurity FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'events'::regclass ORDER BY 1"
        )
        assert len(partitions) > 4
        connection = await app_connection(settings)
        try:
            await connection.execute(f"SET app.tenant = '{mine.id}'")
            for name, protected in partitions:
                assert protected, name
                for statement in ("SELECT * FROM {}", "DELETE FROM {}", "INSERT INTO {} SELECT * FROM events"):
                    with pytest.raises(asyncpg.InsufficientPrivilegeError):
                        await connection.execute(statement.format(name))
            # Should somebody grant it one day, the policy still tells tenants apart.
            await owner.execute("GRANT SELECT ON events_default TO crm_app")
            owned = await owner.fetchval("SELECT count(*) FROM events_default WHERE tenant_id = $1", theirs.id)
            assert owned == 1, "the row is not where this test looks"
            tenants = await connection.fetch("SELECT DISTINCT tenant_id FROM events_default")
            assert [row[0] for row in tenants] == [mine.id]
        finally:
            await connection.close()

    async def test_unprotected_tables_hold_ids_and_search_keys_only(self):
        open_tables = {
            table.name: {c.name for c in table.c} for table in tenant_tables() if table.info.get(NO_ROW_SECURITY)
        }
        assert open_tables == {"customer_search_keys": {"tenant_id", "customer_id", "name", "haystack", "keys_version"}}

    async def test_the_application_role_owns_nothing_and_is_no_superuser(self, world):
        _settings, _mine, _theirs, owner = world
        assert await owner.fetchval("SELECT count(*) FROM pg_class WHERE relowner = 'crm_app'::regrole") == 0
        row = await owner.fetchrow("SELECT rolsuper, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname = 'crm_app'")
        assert tuple(row) == (False, False, False)


def theirs_in(body, their_id):
    """Return the body with every id in it replaced by theirs."""
    return json.loads(re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", str(their_id), json.dumps(body)))


@pytest.mark.asyncio(loop_scope="module")
class TestOperations:
    async def test_no_operation_reaches_another_tenants_row(self, world):
        """Call every REST operation as ``mine``, with a good body and ids of ``theirs``: nothing shown or changed."""
        settings, mine, theirs, owner = world
        database = await Database.open(settings)
        before = await fingerprint(owner, theirs.id)
        tried = set()
        async with application(settings, database) as app, client_of(app, mine.key) as client:
            for method, path in OPERATIONS:
                concrete = re.sub(r"\{(id|\w+_id)\}", str(theirs.id), path.replace("{external_id}", "x"))
                concrete = concrete.replace("{platform}", "x").replace("{tag}", "x")
                if (method, path) == ("POST", "/v1/imports"):
                    continue  # refers to nothing
                body = theirs_in(BODIES.get((method, path), {}), theirs.id)
                sent = {} if method in {"GET", "DELETE"} and not body else {"json": body}
                response = await client.request(method, concrete, **sent)
                tried.add((method, path))
                assert response.status_code < 500, f"{method} {path}: {response.text}"
                assert str(theirs.id) not in response.text.replace(concrete, ""), f"{method} {path}"
                if re.search(r"\{(id|\w+_id)\}", path.replace("{external_id}", "")):
                    nothing = response.status_code == 200 and response.json().get("data") == []
                    assert response.status_code == 404 or nothing, f"{method} {path}: {response.text}"
                elif "customer_id" in body:
                    assert response.status_code in {404, 422}, f"{method} {path}: {response.text}"
        await database.close()
        assert len(tried) == len(OPERATIONS) - 1
        assert await fingerprint(owner, theirs.id) == before

    async def test_no_global_id_reaches_another_tenants_row(self, world):
        settings, mine, theirs, _owner = world
        database = await Database.open(settings)
        names = [each.name for each in projections() if each.node and each.graphql]
        assert len(names) > 10
        async with application(settings, database) as app:
            for tenant, found in ((mine, False), (theirs, True)):
                async with client_of(app, tenant.key) as client:
                    ids = [f"{name}:{theirs.id}" for name in names]
                    query = {"query": "query($ids: [ID!]!) { nodes(ids: $ids) { id } }", "variables": {"ids": ids}}
                    nodes = (await client.post("/graphql", json=query)).json()["data"]["nodes"]
                    assert [node is not None for node in nodes] == [found] * len(names), nodes
        await database.close()
