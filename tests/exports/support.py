"""The way from a list to its file, for tests."""

import asyncio
import sys
from uuid import UUID

import crm_api.registry  # noqa: F401 - loads every table
from crm_api.db.pool import Database
from crm_api.exports.runner import ExportRun
from crm_api.settings import Settings


class Desk:
    """Somebody who exports."""

    def __init__(self, client, database, tenant):
        self.client, self.database, self.tenant = client, database, tenant

    async def ask(self, resource="customers", **how):
        answer = await self.client.post("/v1/exports", json={"resource": resource, **how})
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def see(self, export):
        answer = await self.client.get(f"/v1/exports/{export['id']}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def run(self, export, **how):
        await ExportRun(self.database, self.tenant.id, UUID(export["id"]), **how).run()
        return await self.see(export)

    async def fetch(self, export):
        return await self.client.get(f"/v1/exports/{export['id']}/download")

    async def file(self, resource="customers", *, page=500, sheet_rows=1_048_575, **how):
        """Export and return the file's bytes."""
        done = await self.run(await self.ask(resource, **how), page=page, sheet_rows=sheet_rows)
        assert (done["state"], done["error"]) == ("completed", None)
        answer = await self.fetch(done)
        assert answer.status_code == 200, answer.text
        assert int(answer.headers["content-length"]) == len(answer.content) == done["size_bytes"]
        return answer.content

    async def listed(self, path="customers", **query):
        """Return all rows of a list as the API answers them."""
        rows, after = [], None
        while True:
            page = (
                await self.client.get(
                    f"/v1/{path}", params={**query, "limit": 200, **({"after": after} if after else {})}
                )
            ).json()
            rows += page["data"]
            after = page["page"]["next"]
            if after is None:
                return rows

    async def post(self, path, body):
        answer = await self.client.post(f"/v1/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()


async def main():
    """Run one export as a process of its own, to be killed or measured: ``support.py URL TENANT EXPORT PAGE LEASE``."""
    url, tenant, export, page, lease = sys.argv[1:]
    database = await Database.open(Settings(database_url=url), worker=True)
    sys.stdout.write("running\n")
    sys.stdout.flush()
    await ExportRun(database, UUID(tenant), UUID(export), page=int(page), lease=float(lease)).run()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main())
