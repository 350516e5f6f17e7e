"""The demo: a real day of a shop through the public API, checked against what the data must give.

Everything goes over HTTP to a server and worker of its own; only the tenant and its first key are made directly, as
the command line does. What was done is kept in ``crm-demo/state.json``, so that a second run goes on from there.
"""

import asyncio
import os
import socket
import sys
import time
from pathlib import Path

import httpx
from rich.console import Console

from crm_api.db.migrate import upgrade
from crm_api.demo.checks import Checks
from crm_api.demo.story import Story
from crm_api.demo.tenant import open_tenant
from crm_api.launch import background
from crm_api.settings import Settings

FOLDER = Path("crm-demo")
_READY_SECONDS = 60


def run_demo(settings: Settings, *, once: bool) -> int:
    """Run the demo; return 0 when every check held.

    Args:
        settings: name a database.
        once: leave after the checks instead of serving until Ctrl-C.

    """
    console = Console(soft_wrap=True)
    FOLDER.mkdir(exist_ok=True)
    started = time.monotonic()
    upgrade(settings.effective_migration_url or "")
    tenant = asyncio.run(open_tenant(settings, FOLDER))
    port = _free_port(settings.host, settings.port)
    base = f"http://{settings.host}:{port}"
    # The log would drown the story; it is beside the picture when somebody wants it.
    os.environ["CRM_LOG_LEVEL"] = "warning"
    quiet = settings.model_copy(update={"log_level": "warning"})
    with background(quiet, host=settings.host, port=port):
        with httpx.Client(base_url=base, headers={"authorization": f"Bearer {tenant.api_key}"}, timeout=30) as client:
            _await_ready(client)
            console.print(_greeting(tenant.fresh))
            checks = Checks()
            Story(client, tenant, console, checks).run()
            checks.show(console)
        console.print(f"[dim]{time.monotonic() - started:.1f} s[/dim]")
        console.print(_examples(base, tenant.api_key), markup=False, highlight=False)
        if not once:
            _serve_until_interrupted(console, base)
    return 0 if checks.held else 1


def _greeting(fresh: bool) -> str:
    if fresh:
        return "[bold]A new shop[/bold]: importing, receiving webhooks, scoring, awarding points, handling a complaint"
    return "[bold]The shop of an earlier run is here[/bold]: going on with its data (remove crm-demo/ to start anew)"


def _free_port(host: str, wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise OSError(f"no free port on {host}")


def _await_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        try:
            if client.get("/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"the server was not ready after {_READY_SECONDS} s")


def _serve_until_interrupted(console: Console, base: str) -> None:
    console.print(f"\nServing at {base} (REST documents: {base}/docs, GraphiQL: {base}/graphql). Ctrl-C ends it.")
    sys.stdout.flush()
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print("bye")


def _examples(base: str, key: str) -> str:
    query = (
        '{"query": "{ customers(first: 3) { nodes { name purchases { netSpend { amount currency } } '
        "loyalty { available } scores { lifecycle grade r f m } "
        'orders(first: 2) { nodes { placedAt total { amount } } } } } }"}'
    )
    return f"""
Paste these:

  export CRM_KEY={key}
  curl -s '{base}/v1/customers?limit=2&fields=id,name,purchases,scores' -H "Authorization: Bearer $CRM_KEY"
  curl -s '{base}/v1/customers?q=0000&limit=3&fields=name,identities' -H "Authorization: Bearer $CRM_KEY"
  curl -s {base}/graphql -H "Authorization: Bearer $CRM_KEY" -H 'Content-Type: application/json' -d '{query}'
"""
