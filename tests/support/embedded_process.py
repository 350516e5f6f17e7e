"""One process that leases an embedded server, as a given user: started by the tests of it.

``python embedded_process.py UID HOME`` prints a line of JSON once it holds a lease, keeps it until standard
input ends, then gives it back. It starts as whoever runs the tests and becomes UID after its imports: the interpreter
itself may lie where UID cannot reach it.
"""

import asyncio
import json
import os
import pwd
import sys
from pathlib import Path

import asyncpg

from crm_api.db.embedded import EmbeddedError, EmbeddedServer


def become(uid: int) -> None:
    entry = pwd.getpwuid(uid)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(uid)
    os.environ["HOME"] = entry.pw_dir


async def whoami(url: str) -> str:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return str(await connection.fetchval("SELECT current_user"))
    finally:
        await connection.close()


def tell(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    uid, home = int(sys.argv[1]), Path(sys.argv[2])
    asyncio.run(asyncio.sleep(0))  # has everything imported that a loop needs
    if uid != os.geteuid():
        become(uid)
    server = EmbeddedServer(home, durable=False)
    try:
        with server.lease():
            status = server.status()
            seen = {"login": asyncio.run(whoami(server.url())), "pid": status.pid, "data": str(status.data)}
            tell(seen | {"account": status.account, "users": status.users})
            sys.stdin.read()
    except EmbeddedError as error:
        tell({"error": str(error)})


if __name__ == "__main__":
    main()
