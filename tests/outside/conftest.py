"""A real server for other people's tools: `crm-api serve` on an embedded database of its own.

To point the checks at a server that runs already, set CRM_TEST_OUTSIDE_URL and CRM_TEST_OUTSIDE_KEY.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.outside.support import Server, free_port, report_errors, run, script, wait_until_ready

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.outside)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Start the API as an operator would, with one tenant in it."""
    if url := os.environ.get("CRM_TEST_OUTSIDE_URL"):
        yield Server(url.rstrip("/"), os.environ["CRM_TEST_OUTSIDE_KEY"])
        return
    # Not pytest's tmp_path: its parent is closed to the unprivileged user that runs PostgreSQL when we are root.
    home = Path(tempfile.mkdtemp(prefix="crm-outside-", dir="/tmp"))
    home.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if not name.startswith("CRM_")}
    env |= {"CRM_HOME": str(home / "home"), "CRM_LOG_FORMAT": "json", "CRM_LOG_LEVEL": "warning"}
    cli = script("crm-api")
    log = (home / "serve.log").open("w")
    process = None
    try:
        run([cli, "db", "start"], env=env)
        run([cli, "migrate"], env=env)
        created = json.loads(run([cli, "tenants", "create", "Outside checks", "--preset", "retail", "--json"], env=env))
        port = free_port()
        process = subprocess.Popen([cli, "serve", "--port", str(port)], env=env, stdout=log, stderr=subprocess.STDOUT)
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, home / "serve.log")
        yield Server(url, created["api_key"])
        report_errors(home / "serve.log")
    finally:
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
        log.close()
        run([cli, "db", "stop"], env=env)
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def openapi_file(server, tmp_path_factory) -> Path:
    """The document the running server gives out; the snapshot in openapi/ is held equal to the code elsewhere."""
    path = tmp_path_factory.mktemp("openapi") / "openapi.json"
    path.write_text(json.dumps(server.request("GET", "/openapi.json"), indent=2))
    return path
