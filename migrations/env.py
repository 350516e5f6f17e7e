"""Alembic's entry point: run by ``crm-api migrate`` and, for developers, by the ``alembic`` command."""

import asyncio
import os

from alembic import context
from sqlalchemy import Connection

from crm_api.db.migrate import MigrationError, run_migrations

config = context.config


def _url() -> str:
    url = config.attributes.get("url") or os.environ.get("CRM_MIGRATION_DATABASE_URL")
    url = url or os.environ.get("CRM_DATABASE_URL")
    if not url:
        message = "set CRM_DATABASE_URL, or use `crm-api migrate`, which knows the embedded server"
        raise MigrationError(message)
    return str(url)


def _metadata():  # noqa: ANN202 - SQLAlchemy's MetaData, imported only when needed
    """Return the tables of all domains: only autogenerate and check compare with them."""
    if not config.cmd_opts:
        return None
    from crm_api import registry  # noqa: F401, PLC0415 - importing it declares every table
    from crm_api.db.schema import metadata  # noqa: PLC0415

    return metadata


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=_metadata(), transaction_per_migration=True, compare_server_default=True
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():  # the SQL text only, for review and squawk
    context.configure(dialect_name="postgresql", literal_binds=True, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    asyncio.run(run_migrations(_url(), _migrate))
