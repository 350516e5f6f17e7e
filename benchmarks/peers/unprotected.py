"""Our own server without row-level security: what isolation costs is the difference.

It works as the tables' owner, to whom no policy applies, and a write begins without naming its tenant. The predicates
that the planner and the repositories add are still there: they are how rows are found. Never for real use.
"""

import sys
from typing import Any
from uuid import UUID

import uvicorn

import crm_api.app
from crm_api.db.pool import Database


class Unprotected(Database):
    """Pools that work as the login itself."""

    async def _pool(self, url: str | None, size: int, role: str, extra: dict[str, str]) -> Any:
        return await super()._pool(url, size, "crm" if role == "crm_app" else role, extra)

    def begin(self, tenant_id: UUID, *, read_only: bool = False) -> str:
        """Return BEGIN and nothing else."""
        assert tenant_id
        return "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if read_only else "BEGIN"


def create() -> Any:
    """Return the application with these pools."""
    crm_api.app.Database = Unprotected  # type: ignore[misc]
    return crm_api.app.create_app()


if __name__ == "__main__":
    uvicorn.run(
        "benchmarks.peers.unprotected:create",
        factory=True,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        server_header=False,
        log_config=None,
    )
