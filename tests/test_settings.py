"""Settings come from CRM_ variables only, and a wrong one stops the start with one line."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from crm_api.settings import Settings, SettingsError, load_settings, redact_url


def refusal(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    assert "\n" not in message
    return message


class TestReading:
    def test_defaults(self):
        settings = load_settings()
        assert settings.database_url is None
        assert (settings.statement_timeout_ms, settings.worker_statement_timeout_ms) == (5_000, 60_000)
        assert (settings.lock_timeout_ms, settings.idle_in_transaction_timeout_ms) == (2_000, 10_000)
        assert (settings.pool_timeout, settings.connect_timeout) == (3.0, 3.0)
        assert settings.max_body_bytes == 2 * 1024**2

    @pytest.mark.parametrize(
        ("name", "value", "field", "expected"),
        [
            ("CRM_PORT", "9000", "port", 9000),
            ("CRM_MAX_BODY_BYTES", "3MiB", "max_body_bytes", 3 * 1024**2),
            ("CRM_PGBOUNCER", "", "pgbouncer", False),
            ("CRM_LOG_LEVEL", "INFO", "log_level", "info"),
            ("CRM_LOG_FORMAT", "json", "log_format", "json"),
            ("CRM_HOME", "/srv/crm", "home", Path("/srv/crm")),
            ("CRM_DATABASE_URL", "postgres://a@b/c", "database_url", "postgresql://a@b/c"),
            ("CRM_DATABASE_URL", "postgresql://crm@/crm?host=/run/x&port=5432", "database_url", ...),
            ("CRM_DATABASE_URL", "", "database_url", None),
        ],
    )
    def test_reads(self, monkeypatch, name, value, field, expected):
        monkeypatch.setenv(name, value)
        assert getattr(load_settings(), field) == (value if expected is ... else expected)

    def test_home_is_absolute_and_expanded(self, monkeypatch):
        monkeypatch.setenv("HOME", "/home/shop")
        monkeypatch.setenv("CRM_HOME", "~/crm")
        assert load_settings().home == Path("/home/shop/crm")

    def test_variables_of_the_tests_are_ignored(self, monkeypatch):
        monkeypatch.setenv("CRM_TEST_ANYTHING", "1")
        load_settings()

    def test_cannot_be_changed(self):
        with pytest.raises(ValidationError):
            load_settings().port = 1

    def test_urls_fall_back(self):
        one = Settings(database_url="postgresql://a/b")
        assert one.effective_read_url == one.effective_migration_url == "postgresql://a/b"
        own = Settings(
            database_url="postgresql://a/b",
            read_database_url="postgresql://r/b",
            migration_database_url="postgresql://m/b",
        )
        assert (own.effective_read_url, own.effective_migration_url) == ("postgresql://r/b", "postgresql://m/b")
        moved = own.with_database("postgresql://x/y")
        assert moved.effective_read_url == moved.effective_migration_url == "postgresql://x/y"


class TestRefusing:
    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("CRM_PORT", "http", "CRM_PORT: input should be a valid integer"),
            ("CRM_PORT", "70000", "less than or equal to 65535"),
            ("CRM_POOL_SIZE_READ", "0", "CRM_POOL_SIZE_READ: input should be greater than or equal to 1"),
            ("CRM_POOL_TIMEOUT", "-1", "CRM_POOL_TIMEOUT"),
            ("CRM_POOL_TIMEOUT", "nan", "CRM_POOL_TIMEOUT"),
            ("CRM_PGBOUNCER", "perhaps", "CRM_PGBOUNCER: input should be a valid boolean"),
            ("CRM_LOG_FORMAT", "xml", "'json' or 'console' (got 'xml')"),
            ("CRM_MAX_BODY_BYTES", "lots", "CRM_MAX_BODY_BYTES"),
            ("CRM_TENANT_PINNING", "none", "'session' or 'transaction'"),
            ("CRM_DATABASE_URL", "mysql://root:secret@db/crm", "must look like postgresql://"),
            ("CRM_DATABASE_URL", "postgresql+asyncpg://a:secret@b/c", "must look like postgresql://"),
            ("CRM_DATABASE_URL", "postgresql://a:secret@b:port/c", "not a URL"),
            ("CRM_DATABASE_URL", "postgresql://a:secret@b", "names no database"),
        ],
    )
    def test_bad_value(self, monkeypatch, name, value, said):
        message = refusal(monkeypatch, **{name: value})
        assert message.startswith(name)
        assert said in message
        assert "secret" not in message

    def test_unknown_variable_with_close_matches(self, monkeypatch):
        message = refusal(monkeypatch, CRM_POOL_SIZE_REED="5")
        assert message == "CRM_POOL_SIZE_REED: no such setting; did you mean CRM_POOL_SIZE_READ or CRM_POOL_SIZE_WRITE?"

    def test_unknown_variable_with_none(self, monkeypatch):
        assert refusal(monkeypatch, CRM_XYZZY="5") == "CRM_XYZZY: no such setting; see `crm-api settings` for the list"

    def test_names_every_problem(self, monkeypatch):
        message = refusal(monkeypatch, CRM_PORT="x", CRM_XYZZY="5")
        assert "CRM_PORT: " in message
        assert "CRM_XYZZY: " in message

    def test_long_values_are_shortened(self, monkeypatch):
        assert len(refusal(monkeypatch, CRM_PORT="x" * 5000)) < 250

    def test_pooler_needs_the_tenant_per_transaction(self, monkeypatch):
        assert (
            refusal(monkeypatch, CRM_PGBOUNCER="true") == "CRM_PGBOUNCER=true also needs CRM_TENANT_PINNING=transaction"
        )
        monkeypatch.setenv("CRM_TENANT_PINNING", "transaction")
        assert load_settings().pgbouncer

    def test_second_url_without_the_first(self, monkeypatch):
        assert "CRM_DATABASE_URL is not" in refusal(monkeypatch, CRM_READ_DATABASE_URL="postgresql://a/b")


class TestShowing:
    def test_passwords_are_masked(self):
        settings = Settings(database_url="postgresql://me:secret@db:5432/crm?password=secret&sslmode=require")
        shown = settings.redacted()
        assert shown["database_url"] == "postgresql://me:***@db:5432/crm?password=***&sslmode=require"
        assert set(shown) == set(Settings.model_fields)

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            (None, None),
            ("postgresql://crm@/crm?host=/run", "postgresql://crm@/crm?host=/run"),
            ("postgresql://db/crm", "postgresql://db/crm"),
            ("postgresql://a:p%40b@db/crm", "postgresql://a:***@db/crm"),
        ],
    )
    def test_redact_url(self, url, shown):
        assert redact_url(url) == shown

    def test_every_setting_is_described(self):
        assert not [name for name, field in Settings.model_fields.items() if not field.description]
