"""The ``crm-api`` command.

Thin: each command reads the settings, calls a function elsewhere and prints. Everything heavy is imported inside the
commands, so that ``crm-api --help`` answers at once. Without ``CRM_DATABASE_URL`` a command leases the embedded server
for as long as it runs.

Exit status: 0 done, 1 could not be done, 2 wrong settings or arguments; the reason is one line on standard error.
"""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from crm_api.db.embedded import EmbeddedServer
    from crm_api.settings import Settings

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Customer management for shops.")
db = typer.Typer(no_args_is_help=True, help="The embedded PostgreSQL server.")
tenants = typer.Typer(no_args_is_help=True, help="The shops that share this installation.")
outbox = typer.Typer(no_args_is_help=True, help="Messages between the domains.")
keys = typer.Typer(no_args_is_help=True, help="API keys.")
churn = typer.Typer(no_args_is_help=True, help="Warnings of customers who may be leaving.")
schema = typer.Typer(no_args_is_help=True, help="The API's own description.")
for group, group_name in (
    (db, "db"),
    (tenants, "tenants"),
    (keys, "keys"),
    (outbox, "outbox"),
    (churn, "churn"),
    (schema, "schema"),
):
    app.add_typer(group, name=group_name)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
TenantId = Annotated[str, typer.Option("--tenant", help="Tenant id.")]
Host = Annotated[str | None, typer.Option(help="Address to listen on (CRM_HOST).")]
Port = Annotated[int | None, typer.Option(help="Port to listen on, 0 for a free one (CRM_PORT).", min=0, max=65535)]

_MARKS = {"ok": ("ok", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}


def main() -> None:
    """Run the command line; turn what may be expected to go wrong into one line and an exit status."""
    try:
        app()
    except Exception as error:
        status = _expected(error)
        if status is None:
            raise
        typer.echo(f"crm-api: {_one_line(error)}", err=True)
        sys.exit(status)


def _one_line(error: Exception) -> str:
    """Say what went wrong, with each wrong field of the product's own errors, and what to try."""
    fields = [field.message for field in getattr(error, "errors", ())]
    text = " ".join(("; ".join(fields) or str(error) or type(error).__name__).split())
    # A table, column or role that is not there: nothing else makes them but the migrations.
    missing = type(error).__name__ in {"UndefinedTableError", "UndefinedColumnError"} or 'role "crm_' in text
    return f"{text} (has `crm-api migrate` been run?)" if missing else text


def _expected(error: Exception) -> int | None:
    """Return the exit status of an error that needs no traceback, None for a bug."""
    from crm_api.settings import SettingsError

    if isinstance(error, SettingsError):
        return 2
    import asyncpg
    from alembic.util import CommandError

    from crm_api.core.errors import CrmError
    from crm_api.db.embedded import EmbeddedError
    from crm_api.db.migrate import MigrationError

    known = (
        EmbeddedError,
        MigrationError,
        CommandError,
        CrmError,
        asyncpg.PostgresError,
        ConnectionError,
        TimeoutError,
    )
    return 1 if isinstance(error, known) else None


@contextmanager
def _connected() -> Iterator["Settings"]:
    from crm_api.launch import connected
    from crm_api.settings import load_settings

    with connected(load_settings()) as settings:
        yield settings


def _embedded() -> "EmbeddedServer":
    from crm_api.db.embedded import EmbeddedServer
    from crm_api.settings import SettingsError, load_settings

    settings = load_settings()
    if settings.database_url is not None:
        message = "CRM_DATABASE_URL is set, so the embedded server is not used: unset it to manage the embedded server"
        raise SettingsError(message)
    return EmbeddedServer(settings.home)


def _plain(value: Any) -> Any:
    """Return a dataclass or Pydantic model as a plain dictionary."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _print(value: Any, *, as_json: bool) -> None:
    """Print a record, or a list of them, as JSON or as lines of ``name: value``."""
    if as_json:
        many = isinstance(value, list)
        plain = [_plain(item) for item in value] if many else _plain(value)
        typer.echo(json.dumps(plain, ensure_ascii=False, indent=2, default=str))
        return
    for number, item in enumerate(value if isinstance(value, list) else [value]):
        if number:
            typer.echo()
        for name, content in _plain(item).items():
            shown = ", ".join(map(str, content)) if isinstance(content, list | tuple | set | frozenset) else content
            typer.echo(f"{name}: {'' if shown is None else shown}")


# The embedded server


@db.command("start")
def db_start() -> None:
    """Start the embedded server and leave it running until `crm-api db stop`."""
    server = _embedded()
    server.start()
    typer.echo(server.url())


@db.command("stop")
def db_stop(*, force: Annotated[bool, typer.Option(help="Stop it even while others use it.")] = False) -> None:
    """Stop the embedded server."""
    typer.echo("stopped" if _embedded().stop(force=force) else "was not running")


@db.command("status")
def db_status(*, as_json: AsJson = False) -> None:
    """Show whether the embedded server runs, where its data is and who uses it."""
    _print(_embedded().status(), as_json=as_json)


@db.command("psql", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def db_psql(context: typer.Context) -> None:
    """Open psql on the database; further arguments go to psql (`crm-api db psql -c 'SELECT 1'`)."""
    from crm_api.db.embedded import EmbeddedServer
    from crm_api.launch import connected
    from crm_api.settings import load_settings

    configured = load_settings()
    with connected(configured) as settings:
        if configured.database_url is None:
            command = EmbeddedServer(settings.home).psql_command()
        else:
            command = ["psql", "-d", configured.database_url]
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C cancels a query inside psql
        try:
            status = subprocess.call([*command, *context.args])  # noqa: S603 - the caller's own shell could do the same
        except FileNotFoundError:
            typer.echo("crm-api: psql is not installed here: install PostgreSQL's client programs", err=True)
            status = 1
        finally:
            signal.signal(signal.SIGINT, before)
    raise typer.Exit(status)


# Set-up


@app.command()
def migrate(revision: Annotated[str, typer.Argument(help="Revision to bring the database to.")] = "head") -> None:
    """Bring the database to the newest schema."""
    from crm_api.db.migrate import current_revision, upgrade

    with _connected() as settings:
        url = settings.effective_migration_url or ""
        before = current_revision(url)
        upgrade(url, revision)
        after = current_revision(url)
    typer.echo(f"already at {after}" if before == after else f"migrated from {before or 'nothing'} to {after}")


@app.command()
def doctor(*, as_json: AsJson = False) -> None:
    """Check database, extensions, locale, roles, migrations, clock and folders; say how to mend what is wrong."""
    from crm_api.doctor import examine, has_failed

    with _connected() as settings:
        checks = examine(settings)
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], ensure_ascii=False, indent=2))
    for check in [] if as_json else checks:
        mark, colour = _MARKS[check.state]
        typer.echo(f"{typer.style(f'{mark:4}', fg=colour)}  {check.name:15}  {check.detail}")
        if check.mend:
            typer.echo(f"{'':23}mend: {check.mend}")
    raise typer.Exit(1 if has_failed(checks) else 0)


@app.command("settings")
def show_settings(*, as_json: AsJson = False) -> None:
    """Show every setting with its value, passwords masked."""
    from crm_api.settings import Settings, load_settings

    values = load_settings().redacted()
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    for name, value in values.items():
        typer.echo(f"CRM_{name.upper()}={'' if value is None else value}")
        typer.echo(f"    {Settings.model_fields[name].description}")


# Running


@app.command()
def serve(
    *,
    host: Host = None,
    port: Port = None,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    uds: Annotated[str | None, typer.Option(help="Unix socket to listen on instead of host and port.")] = None,
) -> None:
    """Run the API."""
    from crm_api import launch

    with _connected() as settings:
        launch.serve(
            settings,
            host=settings.host if host is None else host,
            port=settings.port if port is None else port,
            workers=workers,
            uds=uds,
        )


@app.command()
def worker(
    *,
    health_file: Annotated[
        Path | None, typer.Option(help="File to touch every five seconds for as long as all is well.")
    ] = None,
) -> None:
    """Run background jobs, the schedule and the outbox relay."""
    from crm_api import launch

    with _connected() as settings:
        launch.work(settings, health_file)


@app.command()
def dev(*, host: Host = None, port: Port = None) -> None:
    """Migrate, then run API and worker together until Ctrl-C."""
    from crm_api import launch
    from crm_api.db.migrate import upgrade

    with _connected() as settings:
        upgrade(settings.effective_migration_url or "")
        status = launch.develop(
            settings,
            host=settings.host if host is None else host,
            port=settings.port if port is None else port,
        )
    raise typer.Exit(status)


@app.command()
def demo(
    *, once: Annotated[bool, typer.Option("--once", help="Leave after the checks; 0 when all held.")] = False
) -> None:
    """Import sample data, check the results, then serve."""
    from crm_api.demo import run_demo

    with _connected() as settings:
        raise typer.Exit(run_demo(settings, once=once))


# The outbox


@outbox.command("status")
def outbox_status(*, as_json: AsJson = False) -> None:
    """Show how far each subscriber is, what failed, and what was given up."""
    from crm_api.admin import outbox_status as look

    with _connected() as settings:
        _print(asyncio.run(look(settings)), as_json=as_json)


@outbox.command("failures")
def outbox_failures(
    subscriber: Annotated[str | None, typer.Option(help="Only of this subscriber.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, newest first.")] = 50,
    *,
    as_json: AsJson = False,
) -> None:
    """Show messages that failed, with the error; those without a next attempt were given up."""
    from crm_api.admin import outbox_failures as look

    with _connected() as settings:
        _print(asyncio.run(look(settings, subscriber, limit)), as_json=as_json)


@outbox.command("retry")
def outbox_retry(
    subscriber: Annotated[str | None, typer.Option(help="Only of this subscriber.")] = None,
    message: Annotated[str | None, typer.Option(help="Only this message id.")] = None,
) -> None:
    """Have failed messages tried again at once, those given up included."""
    from crm_api.admin import outbox_retry as again

    wanted = None if message is None else _uuid(message)
    with _connected() as settings:
        typer.echo(f"{asyncio.run(again(settings, subscriber, wanted))} to be tried again")


@outbox.command("rebase")
def outbox_rebase() -> None:
    """After restoring a backup on another server, before API and worker start: put the messages in order again."""
    from crm_api.admin import outbox_rebase as mend

    with _connected() as settings:
        asyncio.run(mend(settings))
    typer.echo("done")


# Tenants and keys


@tenants.command("create")
def tenants_create(
    name: str,
    *,
    preset: Annotated[str, typer.Option(help="Kind of shop to set up.")] = "retail",
    currency: Annotated[str, typer.Option(help="ISO 4217 code; points are earned in it.")] = "CNY",
    time_zone: Annotated[str, typer.Option(help="IANA name; business days are in it.")] = "Asia/Shanghai",
    as_json: AsJson = False,
) -> None:
    """Create a tenant; prints its id and its first admin key, which is never shown again."""
    from crm_api.admin import create_tenant

    with _connected() as settings:
        _print(
            asyncio.run(create_tenant(settings, name, preset, currency=currency, time_zone=time_zone)), as_json=as_json
        )


@tenants.command("list")
def tenants_list(*, as_json: AsJson = False) -> None:
    """List the tenants."""
    from crm_api.admin import list_tenants

    with _connected() as settings:
        _print(list(asyncio.run(list_tenants(settings))), as_json=as_json)


@keys.command("create")
def keys_create(
    tenant: TenantId,
    scopes: Annotated[str, typer.Option(help="Comma-separated, such as customers:read,orders:write; or admin.")],
    name: Annotated[str, typer.Option(help="What the key is for.")] = "command line",
    *,
    as_json: AsJson = False,
) -> None:
    """Create an API key; it is shown once."""
    from crm_api.admin import create_key

    wanted = frozenset(scope.strip() for scope in scopes.split(",") if scope.strip())
    with _connected() as settings:
        _print(asyncio.run(create_key(settings, _uuid(tenant), wanted, name)), as_json=as_json)


@keys.command("list")
def keys_list(tenant: TenantId, *, as_json: AsJson = False) -> None:
    """List a tenant's keys, without their secrets."""
    from crm_api.admin import list_keys

    with _connected() as settings:
        _print(list(asyncio.run(list_keys(settings, _uuid(tenant)))), as_json=as_json)


@keys.command("revoke")
def keys_revoke(tenant: TenantId, key: Annotated[str, typer.Argument(help="Key id.")]) -> None:
    """Revoke a key; requests with it fail within CRM_KEY_CACHE_SECONDS."""
    from crm_api.admin import revoke_key

    with _connected() as settings:
        asyncio.run(revoke_key(settings, _uuid(tenant), _uuid(key)))
    typer.echo("revoked")


def _uuid(text: str) -> Any:
    from uuid import UUID

    try:
        return UUID(text)
    except ValueError:
        raise typer.BadParameter(f"not an id: {text!r}") from None


# Churn


@churn.command("backtest")
def churn_backtest(
    *,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Tenant id; may be left out where there is only one.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Last day to assess, such as 2026-06-30; the latest that leaves a horizon.")
    ] = None,
    cuts: Annotated[int, typer.Option(help="On how many days to assess.", min=1, max=60)] = 6,
    step_days: Annotated[int, typer.Option(help="Days between them.", min=1, max=365)] = 30,
    horizon_days: Annotated[
        int, typer.Option(help="Who buys nothing in so many days after a cut was lost then.", min=7, max=730)
    ] = 90,
    as_json: AsJson = False,
) -> None:
    """Test the warnings on the past: false alarms, hits and lead time; docs/domains/churn.md defines each figure."""
    from crm_api.admin import churn_backtest as test
    from crm_api.churn.models import ChurnBacktestCreate
    from crm_api.churn.report import lines

    data = ChurnBacktestCreate(until=_day(until), cuts=cuts, step_days=step_days, horizon_days=horizon_days)

    async def progress(done: int, figures: Any) -> None:
        typer.echo(f"{done} of {cuts}: {figures['on']}", err=True)

    tenant_id = None if tenant is None else _uuid(tenant)
    with _connected() as settings:
        result = asyncio.run(test(settings, tenant_id, data, progress))
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False, indent=2))
        return
    for line in lines(result):
        typer.echo(line)


def _day(text: str | None) -> Any:
    from datetime import date

    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"not a day: {text!r}, write it as 2026-06-30") from None


# The API's description


@schema.command("export")
def schema_export(
    directory: Annotated[str, typer.Option("--dir", help="Folder for openapi.json and schema.graphql.")] = "openapi",
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail when the files are not up to date.")
    ] = False,
) -> None:
    """Write the OpenAPI document and the GraphQL schema."""
    from pathlib import Path

    from crm_api.web.export import export_schemas

    stale = export_schemas(Path(directory), check=check)
    if check and stale:
        typer.echo(f"crm-api: not up to date: {', '.join(map(str, stale))}; run `crm-api schema export`", err=True)
        raise typer.Exit(1)
