"""Migrating: complete, once, one at a time, and never leaving an invalid index unnoticed."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command

from crm_api.db import migrate
from crm_api.db.migrate import MigrationError, current_revision, head_revision, upgrade
from tests.support.database import query

pytestmark = pytest.mark.database


def test_reaches_the_head_and_stays(empty_database_url):
    assert current_revision(empty_database_url) is None
    upgrade(empty_database_url)
    assert current_revision(empty_database_url) == head_revision() is not None
    upgrade(empty_database_url)
    assert current_revision(empty_database_url) == head_revision()


def test_two_migrators_do_not_race(empty_database_url):
    with ThreadPoolExecutor(max_workers=1) as executor:
        other = executor.submit(asyncio.run, _hold_lock_then_look(empty_database_url))
        assert other.result(timeout=60) is None
    upgrade(empty_database_url)
    assert current_revision(empty_database_url) == head_revision()


async def _hold_lock_then_look(url):
    """Hold the migrators' lock; a migrator started meanwhile must not have begun when it is given back."""
    connection = await migrate._connect(url)
    try:
        await connection.execute(f"SELECT pg_advisory_lock({migrate.LOCK_KEY})")
        waiting = asyncio.create_task(asyncio.to_thread(upgrade, url))
        await asyncio.sleep(0.5)
        begun = await connection.fetchval("SELECT to_regclass('alembic_version')")
        await connection.execute(f"SELECT pg_advisory_unlock({migrate.LOCK_KEY})")
        await waiting
        return begun
    finally:
        await connection.close()


def test_gives_up_on_a_migrator_that_does_not_finish(own_database_url, monkeypatch):
    monkeypatch.setattr(migrate, "_LOCK_SECONDS", 0.3)

    async def work():
        connection = await migrate._connect(own_database_url)
        try:
            await connection.execute(f"SELECT pg_advisory_lock({migrate.LOCK_KEY})")
            with pytest.raises(MigrationError, match="another migrator"):
                await asyncio.to_thread(upgrade, own_database_url)
        finally:
            await connection.close()

    asyncio.run(work())


def test_invalid_index_is_an_error_that_says_how_to_mend_it(own_database_url):
    query(own_database_url, "CREATE TABLE twice AS SELECT 1 AS n UNION ALL SELECT 1")
    with pytest.raises(Exception, match="could not create unique index"):
        query(own_database_url, "CREATE UNIQUE INDEX CONCURRENTLY twice_n ON twice (n)")
    with pytest.raises(MigrationError, match="REINDEX INDEX CONCURRENTLY twice_n"):
        upgrade(own_database_url)


@pytest.mark.asyncio
async def test_works_where_a_loop_is_running(own_database_url):
    assert current_revision(own_database_url) == head_revision()
    upgrade(own_database_url)


def test_incomplete_installation_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(migrate, "__file__", str(tmp_path / "a" / "b" / "c" / "migrate.py"))
    with pytest.raises(MigrationError, match="installation is incomplete"):
        head_revision()


def test_migrations_make_the_tables_the_code_declares(own_database_url):
    configuration = migrate.configuration(own_database_url)
    configuration.attributes["compare"] = True
    command.check(configuration)  # raises with the differences
