"""Alembic's entry point: run by ``crm-api migrate`` and, for developers, by the ``alembic`` command."""

import asyncio
import os
import re

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
    if not config.cmd_opts and not config.attributes.get("compare"):
        return None
    from sqlalchemy.dialects.postgresql.base import ischema_names  # noqa: PLC0415

    from crm_api import registry  # noqa: F401, PLC0415 - importing it declares every table
    from crm_api.db.schema import metadata  # noqa: PLC0415
    from crm_api.db.tables import Xid8  # noqa: PLC0415

    ischema_names.setdefault("xid8", Xid8)  # SQLAlchemy does not know it and would warn
    return metadata


_NOT_OURS = re.compile(r"pgqueuer|events_(default|y\d{4}m\d\d)$")


def _include_name(name: str | None, kind: str, _parents: object) -> bool:
    """Leave out what is not in our metadata: the job queue's tables come from its own package, partitions from theirs."""
    return not (kind == "table" and name is not None and _NOT_OURS.match(name))


def _include_object(item: object, _name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
    """Leave out what Alembic cannot compare: reflection loses the collation of an index's column."""
    return not (kind == "index" and any("COLLATE" in str(each) for each in getattr(item, "expressions", ())))


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=_metadata(),
        transaction_per_migration=True,
        compare_server_default=True,
        include_name=_include_name,
        include_object=_include_object,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():  # the SQL text only, for review and squawk
    context.configure(dialect_name="postgresql", literal_binds=True, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    asyncio.run(run_migrations(_url(), _migrate))
