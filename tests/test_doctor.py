"""The doctor finds what is wrong and says how to mend it."""

import time

import pytest

from crm_api import doctor
from crm_api.db.migrate import head_revision
from crm_api.doctor import Check, examine, has_failed
from crm_api.settings import Settings
from tests.support.database import query

pytestmark = pytest.mark.database


def check(settings, name):
    return next(check for check in examine(settings) if check.name == name)


class TestHealthy:
    def test_all_is_well(self, settings):
        checks = examine(settings)
        assert not has_failed(checks), [check for check in checks if check.state == "fail"]
        assert {check.name for check in checks} >= {
            "connection", "version", "encoding", "locale", "extensions", "roles", "migrations", "indexes", "clock",
            "connections", "temporary files",
        }  # fmt: skip

    def test_every_problem_comes_with_a_remedy(self, empty_database_url):
        checks = examine(Settings(database_url=empty_database_url))
        assert has_failed(checks)
        assert [check for check in checks if check.state != "ok"] == [check for check in checks if check.mend]


class TestProblems:
    def test_no_server(self):
        checks = examine(Settings(database_url="postgresql://me:secret@127.0.0.1:1/crm"))
        assert checks[0].state == "fail"
        assert "secret" not in checks[0].detail
        assert "CRM_DATABASE_URL" in checks[0].mend

    def test_never_migrated(self, empty_database_url):
        found = check(Settings(database_url=empty_database_url), "migrations")
        assert found == Check("migrations", "fail", f"at nothing, newest is {head_revision()}", "run `crm-api migrate`")

    def test_database_newer_than_the_program(self, own_database_url):
        query(own_database_url, "UPDATE alembic_version SET version_num = 'from_the_future'")
        found = check(Settings(database_url=own_database_url), "migrations")
        assert (found.state, "upgrade crm-api" in found.mend) == ("fail", True)

    def test_locale_that_loses_chinese(self, database_server):
        name = "crm_test_locale_c"
        database_server.execute(
            f"DROP DATABASE IF EXISTS {name}",
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc"
            " LC_COLLATE 'C' LC_CTYPE 'C'",
        )
        url = database_server.url_of(name)
        try:
            before_extension = check(Settings(database_url=url), "locale")
            query(url, "CREATE EXTENSION pg_trgm")
            after_extension = check(Settings(database_url=url), "locale")
        finally:
            database_server.drop(name)
        assert before_extension.state == after_extension.state == "fail"
        assert "LC_CTYPE" in after_extension.mend

    def test_invalid_index(self, own_database_url):
        query(own_database_url, "CREATE TABLE twice AS SELECT 1 AS n UNION ALL SELECT 1")
        with pytest.raises(Exception, match="could not create unique index"):
            query(own_database_url, "CREATE UNIQUE INDEX CONCURRENTLY twice_n ON twice (n)")
        found = check(Settings(database_url=own_database_url), "indexes")
        assert (found.state, found.mend) == ("fail", "REINDEX INDEX CONCURRENTLY twice_n")

    @pytest.mark.parametrize(("seconds", "state"), [(0, "ok"), (-5, "warn"), (5, "warn"), (90, "fail"), (-90, "fail")])
    def test_clock(self, settings, monkeypatch, seconds, state):
        real = time.time
        monkeypatch.setattr(doctor.time, "time", lambda: real() + seconds)
        assert check(settings, "clock").state == state

    def test_old_server(self, settings, monkeypatch):
        monkeypatch.setattr(doctor, "OLDEST", 99)
        assert check(settings, "version").state == "fail"

    def test_untested_server(self, settings, monkeypatch):
        monkeypatch.setattr(doctor, "NEWEST", 14)
        assert check(settings, "version").state == "warn"

    def test_missing_extension(self, settings, monkeypatch):
        monkeypatch.setattr(doctor, "EXTENSIONS", ("pg_trgm", "pg_unheard_of"))
        found = check(settings, "extensions")
        assert (found.state, found.detail) == ("fail", "not available: pg_unheard_of")

    def test_missing_role(self, settings, monkeypatch):
        monkeypatch.setattr(doctor, "ROLES", ("crm_app", "crm_unheard_of"))
        assert check(settings, "roles").detail == "missing: crm_unheard_of"

    def test_role_that_row_security_does_not_bind(self, settings, monkeypatch):
        superuser = query(settings.database_url, "SELECT rolname FROM pg_roles WHERE rolsuper LIMIT 1")[0][0]
        monkeypatch.setattr(doctor, "ROLES", (superuser,))
        found = check(settings, "roles")
        assert (found.state, "NOBYPASSRLS" in found.mend) == ("fail", True)

    def test_more_connections_than_the_server_has(self, settings):
        assert check(settings.model_copy(update={"pool_size_read": 5000}), "connections").state == "warn"

    def test_replica(self, settings):
        good = settings.model_copy(update={"read_database_url": settings.database_url})
        assert check(good, "read replica").state == "ok"
        bad = settings.model_copy(update={"read_database_url": "postgresql://127.0.0.1:1/crm"})
        assert check(bad, "read replica").state == "fail"

    def test_missing_home(self, settings, tmp_path):
        found = check(settings.model_copy(update={"home": tmp_path / "nowhere"}), "home")
        assert (found.state, found.mend) == ("fail", f"create it: mkdir -p {tmp_path / 'nowhere'}")
