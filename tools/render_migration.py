"""Print the body of a migration that creates tables of the metadata: ``python tools/render_migration.py orders …``.

The output is pasted into a migration and is frozen history from then on; nothing imports the metadata at migration
time.
"""

import sys

from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import render_op_text
from alembic.migration import MigrationContext
from alembic.operations import ops

import crm_api.registry  # noqa: F401 - loads every table
from crm_api.db.schema import metadata


def main(names: list[str]) -> None:
    """Print ``op.create_table`` and ``op.create_index`` calls for the named tables."""
    context = AutogenContext(
        MigrationContext.configure(dialect_name="postgresql"),
        opts={
            "sqlalchemy_module_prefix": "sa.",
            "alembic_module_prefix": "op.",
            "user_module_prefix": None,
            "render_item": None,
        },
    )
    for name in names:
        table = metadata.tables[name]
        print(render_op_text(context, ops.CreateTableOp.from_table(table)))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            print(render_op_text(context, ops.CreateIndexOp.from_index(index)))
        print(f'protect("{name}")\n')


if __name__ == "__main__":
    main(sys.argv[1:])
