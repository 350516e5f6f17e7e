"""What a real server gets over a socket and no in-process client can send."""

import asyncio
import contextlib

import pytest
import pytest_asyncio
import uvicorn

from crm_api.app import create_app
from crm_api.db.pool import Database
from tests.support.api import make_tenant

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.database, pytest.mark.edge]
GOOD = b'{"name": "x"}'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(settings):
    """Run the application on a loopback port, as ``crm-api serve`` does; yields (port, key, database)."""
    tenant = await make_tenant(settings)
    database = await Database.open(settings)
    config = uvicorn.Config(
        create_app(settings, database), port=0, http="httptools", log_level="critical", lifespan="on"
    )
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve())
    while not running.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield running.servers[0].sockets[0].getsockname()[1], tenant, database
    running.should_exit = True
    await task
    await database.close()


async def talk(server, *pieces, close=False):
    """Send bytes, piece by piece, and return the status of the answer, or None when the server just hangs up."""
    port, tenant, _ = server
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece.replace(b"KEY", tenant.key.encode()))
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            await asyncio.sleep(0)
        if close:
            writer.write_eof()
        line = b""
        with contextlib.suppress(ConnectionError):
            line = await asyncio.wait_for(reader.readline(), 10)
        return int(line.split()[1]) if line else None
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def customers(server):
    _, tenant, database = server
    async with database.read(tenant.actor) as unit:
        return await unit.connection.fetchval("SELECT count(*) FROM customers")


def post(*headers, body=GOOD, length=True, path=b"/v1/customers"):
    lines = [
        b"POST " + path + b" HTTP/1.1",
        b"Host: crm.test",
        b"Authorization: Bearer KEY",
        b"Content-Type: application/json",
        *headers,
    ]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


BAD = {
    "NUL in a header": [post(b"X-A: a\x00b")],
    "line feed in a header's name": [post(b"X\x0bA: b")],
    "blank before the colon": [post(b"X-A : b")],
    "header without a name": [post(b": b")],
    "two lengths": [post(b"Content-Length: 1")],
    "length and chunks": [post(b"Transfer-Encoding: chunked")],
    "length is text": [post(b"Content-Length: many", length=False)],
    "length is negative": [post(b"Content-Length: -1", length=False)],
    "length beyond 64 bits": [post(b"Content-Length: 99999999999999999999", length=False)],
    "length beyond the limit": [post(b"Content-Length: 10000000", length=False)],
    "chunk of no size": [post(b"Transfer-Encoding: chunked", length=False, body=b"x\r\n")],
    "chunk of a negative size": [post(b"Transfer-Encoding: chunked", length=False, body=b"-5\r\nhello\r\n")],
    "NUL in the path": [post(path=b"/v1/cust\x00omers")],
    "NUL in the path, quoted": [post(path=b"/v1/customers%00")],
    "bytes in the path": [post(path=b"/v1/\xff")],
    "no method": [b"/v1/customers HTTP/1.1\r\nHost: x\r\n\r\n"],
    "no version": [b"GET /v1/customers\r\n\r\n"],
    "HTTP/9": [b"GET /v1/customers HTTP/9.9\r\nHost: x\r\n\r\n"],
    "noise": [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20],
    "a header of 1 MB": [b"GET /v1/customers HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 1_000_000 + b"\r\n\r\n"],
}


@pytest.mark.parametrize("name", BAD)
async def test_refused_and_harmless(server, name):
    before = await customers(server)
    status = await talk(server, *BAD[name], close=True)
    assert status is None or 400 <= status < 500
    assert await customers(server) == before
    assert await talk(server, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n") == 200


async def test_a_chunked_body_above_the_limit(server):
    before = await customers(server)
    chunk = b"%x\r\n" % 65536 + b" " * 65536 + b"\r\n"
    assert await talk(server, post(b"Transfer-Encoding: chunked", length=False, body=b""), *[chunk] * 40) == 413
    assert await customers(server) == before


async def test_a_body_shorter_than_it_says(server):
    before = await customers(server)
    assert await talk(server, post(b"Content-Length: 100", length=False), close=True) in {None, 400}
    assert await customers(server) == before


async def test_the_same_request_told_truthfully(server):
    before = await customers(server)
    assert await talk(server, post()) == 201
    assert await customers(server) == before + 1
