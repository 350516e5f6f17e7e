"""Every setting of crm-api, in one place.

Settings come from environment variables that start with ``CRM_`` and from nowhere else: no file is read behind the
operator's back. :func:`load_settings` refuses to start on an unknown variable or a bad value with one line that names
the variable and says what to do, because a misspelt ``CRM_POOL_SIZE_REED`` that is quietly ignored is found in
production.
"""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "CRM_"
TEST_PREFIX = "CRM_TEST_"
"""Variables the test suite reads for itself; the application neither knows nor minds them."""

MASK = "***"


class SettingsError(Exception):
    """The environment does not describe a configuration we can start with; ``str()`` is the one line to show."""


def _check_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises when the port is no number
    except ValueError as error:
        message = f"not a URL ({error})"
        raise ValueError(message) from error
    if parts.scheme not in {"postgresql", "postgres"}:
        message = "must look like postgresql://user:password@host:5432/database"
        raise ValueError(message)
    if not parts.path.strip("/"):
        message = "names no database (add /database after the host)"
        raise ValueError(message)
    return "postgresql" + value[len(parts.scheme) :]


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _expand(value: Path) -> Path:
    return value.expanduser().absolute()


DatabaseUrl = Annotated[str, AfterValidator(_check_url)]
Count = Annotated[int, Field(ge=1, le=100_000)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]
Size = Annotated[ByteSize, Field(ge=1)]


class Settings(BaseSettings):
    """Everything that can be configured; each field is the variable ``CRM_<FIELD>``.

    Sizes accept ``2097152`` or ``2MiB``; an empty variable counts as unset.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", validate_default=False
    )

    # Database
    database_url: DatabaseUrl | None = Field(None, description="PostgreSQL to use; unset means the embedded server.")
    read_database_url: DatabaseUrl | None = Field(None, description="A replica for reads; unset means database_url.")
    migration_database_url: DatabaseUrl | None = Field(None, description="Login that owns the tables, for migrations.")
    home: Annotated[Path, AfterValidator(_expand)] | None = Field(None, description="Folder of the embedded server.")
    pool_size_read: Count = Field(4, description="Connections for reads, per process.")
    pool_size_write: Count = Field(4, description="Connections for writes, per process.")
    pool_timeout: Seconds = Field(3.0, description="Seconds to wait for a free connection before answering 503.")
    connect_timeout: Seconds = Field(3.0, description="Seconds to wait for a new connection.")
    statement_timeout_ms: Milliseconds = Field(5_000, description="Longest statement of an API request.")
    worker_statement_timeout_ms: Milliseconds = Field(60_000, description="Longest statement of a job.")
    lock_timeout_ms: Milliseconds = Field(2_000, description="Longest wait for a row or table lock.")
    idle_in_transaction_timeout_ms: Milliseconds = Field(10_000, description="Longest idle time inside a transaction.")
    pgbouncer: bool = Field(default=False, description="The URL leads to a pooler in transaction mode.")
    tenant_pinning: Literal["session", "transaction"] = Field(
        "session", description="How reads carry the tenant: on the connection, or per transaction (poolers, Citus)."
    )

    # HTTP
    host: str = Field("127.0.0.1", min_length=1, description="Address `crm-api serve` listens on.")
    port: int = Field(8000, ge=0, le=65_535, description="Port `crm-api serve` listens on (0 picks a free one).")
    max_body_bytes: Size = Field(ByteSize(2 * 1024**2), description="Largest request body other than uploads.")
    max_upload_bytes: Size = Field(ByteSize(1024**3), description="Largest uploaded file.")
    key_cache_seconds: Annotated[float, Field(ge=0, le=3_600)] = Field(
        5.0, description="How long a checked API key is remembered; a revoked key dies within this time."
    )

    # GraphQL
    graphql_max_depth: Count = Field(15, description="Deepest selection of a document.")
    graphql_max_aliases: Count = Field(50, description="Most aliases in a document.")
    graphql_max_fields: Count = Field(1_000, description="Most fields in a document, fragments expanded.")
    graphql_max_cost: Annotated[int, Field(ge=1)] = Field(100_000, description="Most rows × fields a document may ask.")
    graphql_max_tokens: Count = Field(5_000, description="Most lexical tokens in a document.")
    graphql_cache_size: Count = Field(1_000, description="Documents and plans kept compiled, per process.")
    graphql_connections_per_key: Count = Field(
        20, description="Most streams and WebSockets an API key may have open, per process."
    )
    graphql_subscriptions: Count = Field(20, description="Most operations at a time on one WebSocket.")
    graphql_message_bytes: Size = Field(ByteSize(65_536), description="Largest message of a WebSocket client.")
    graphql_init_seconds: Seconds = Field(10.0, description="Time a WebSocket client has to send connection_init.")
    graphql_ping_seconds: Seconds = Field(20.0, description="Pause between signs of life on a stream.")
    graphql_send_seconds: Seconds = Field(10.0, description="Longest a stream waits for a client to read.")
    graphql_queue: Count = Field(100, description="Messages that may wait for one subscription before it is closed.")

    # Worker
    worker_concurrency: Count = Field(4, description="Jobs that run at a time in one worker.")
    job_heartbeat_seconds: Seconds = Field(5.0, description="How often a running job says it is alive.")
    relay_batch: Count = Field(500, description="Outbox messages relayed at a time.")
    relay_poll_seconds: Seconds = Field(0.25, description="Pause between looks at the outbox.")
    worker_metrics_port: int | None = Field(
        None, ge=1, le=65_535, description="Port on which `crm-api worker` serves /metrics; unset means none."
    )

    # Messages to customers
    outbound_private_hosts: bool = Field(
        default=False, description="Let channels reach private and loopback hosts, also without TLS (development)."
    )
    message_days: Count = Field(90, description="Days after which sent and failed messages are deleted.")
    code_pepper: SecretStr | None = Field(
        None, min_length=16, description="Secret mixed into the hashes of one-time codes; keep it out of the database."
    )
    code_resend_seconds: Annotated[int, Field(ge=1, le=3_600)] = Field(
        60, description="Least time between two codes to one contact point."
    )
    codes_per_contact_day: Count = Field(10, description="Most codes to one contact point in 24 hours.")
    codes_per_tenant_day: Annotated[int, Field(ge=1)] = Field(
        10_000, description="Most codes a tenant may send in 24 hours."
    )

    # Exports
    export_hours: Annotated[int, Field(ge=1, le=720)] = Field(72, description="Hours a finished export is kept.")
    export_link_hours: Annotated[int, Field(ge=1, le=720)] = Field(
        24, description="Hours a link that opens an export without a key is good for."
    )

    # Observability
    log_format: Annotated[Literal["json", "console"], BeforeValidator(_lower)] = Field(
        "console", description="json for machines, console for people."
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        "info", description="Least severe level that is logged."
    )
    otel: bool = Field(default=False, description="Send OpenTelemetry traces (needs the `otel` extra).")
    otel_endpoint: str | None = Field(None, description="OTLP/HTTP collector, such as http://collector:4318.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.database_url is None:
            for name in ("read_database_url", "migration_database_url"):
                if getattr(self, name) is not None:
                    message = f"{_variable(name)} is set but {_variable('database_url')} is not; set both or neither"
                    raise ValueError(message)
        if self.pgbouncer and self.tenant_pinning == "session":
            # A pooler hands the same server connection to many clients: a tenant pinned to it would leak.
            message = "CRM_PGBOUNCER=true also needs CRM_TENANT_PINNING=transaction"
            raise ValueError(message)
        return self

    @property
    def effective_read_url(self) -> str | None:
        """URL that reads use: the replica when there is one."""
        return self.read_database_url or self.database_url

    @property
    def effective_migration_url(self) -> str | None:
        """URL that migrations use: the owning login when there is one."""
        return self.migration_database_url or self.database_url

    def with_database(self, url: str) -> Self:
        """Return a copy that uses the database at ``url`` for reads, writes and migrations."""
        return self.model_copy(
            update={"database_url": _check_url(url), "read_database_url": None, "migration_database_url": None}
        )

    def redacted(self) -> dict[str, object]:
        """Return all settings as plain values that are safe to show: passwords in URLs are masked."""
        shown = self.model_dump(mode="json")
        return {name: redact_url(value) if name.endswith("_url") else value for name, value in shown.items()}


def redact_url(url: str | None) -> str | None:
    """Mask the password of a database URL, in the authority as well as in the query."""
    if url is None:
        return None
    parts = urlsplit(url)
    login, at, place = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    netloc = f"{user}{colon}{MASK if colon else ''}{at}{place}"
    query = "&".join(
        f"password={MASK}" if item.startswith("password=") else item for item in parts.query.split("&") if item
    )
    return urlunsplit((parts.scheme, netloc, parts.path, query, parts.fragment))


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: a variable is unknown or its value is bad; the message is one line naming each of them.
    """
    problems = list(_unknown_variables(os.environ))
    settings = None
    try:
        settings = Settings()
    except ValidationError as error:
        problems += [_describe(detail) for detail in error.errors(include_url=False)]
    if problems or settings is None:
        raise SettingsError("; ".join(problems))
    return settings


def _variable(field: str) -> str:
    return f"{PREFIX}{field.upper()}"


def _unknown_variables(environ: Iterable[str]) -> Iterable[str]:
    known = [_variable(name) for name in Settings.model_fields]
    for name in sorted(environ):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper.startswith(TEST_PREFIX) or upper in known:
            continue
        close = difflib.get_close_matches(upper, known, n=2, cutoff=0.7)
        hint = f"did you mean {' or '.join(close)}?" if close else "see `crm-api settings` for the list"
        yield f"{name}: no such setting; {hint}"


def _describe(detail: ErrorDetails) -> str:
    """Put one pydantic error into words that name the variable."""
    reason = detail["msg"].removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:] if reason.startswith("Input ") else reason
    if not detail["loc"]:
        return reason  # a rule between several variables; the message names them
    field = str(detail["loc"][0])
    shown = "" if field.endswith("_url") else f" (got {_shorten(detail['input'])})"
    return f"{_variable(field)}: {reason}{shown}"


def _shorten(value: object) -> str:
    text = repr(value)
    limit = 60
    return text if len(text) <= limit else text[:limit] + "…'"
