"""The command line: what it prints, how it fails, and that it leaves nothing running."""

import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from uuid import UUID

import pytest

from crm_api import cli, launch
from crm_api.db.embedded import EmbeddedServer
from crm_api.db.migrate import head_revision
from tests.support.command_line import all_gone, crm_api, group, running, wait_for
from tests.support.database import query


@pytest.fixture
def home(monkeypatch):
    """A CRM_HOME of this test's own, reachable by the server's account."""
    folder = Path(tempfile.mkdtemp(prefix="crm-cli-"))
    folder.chmod(0o755)
    monkeypatch.setenv("CRM_HOME", str(folder))
    yield folder
    EmbeddedServer(folder).stop(force=True)
    shutil.rmtree(folder)


@pytest.fixture
def database(monkeypatch, own_database_url):
    monkeypatch.setenv("CRM_DATABASE_URL", own_database_url)
    return own_database_url


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class TestHelp:
    def test_lists_the_commands(self, call):
        status, out, _ = call("--help")
        assert status == 0
        for command in ("db", "migrate", "doctor", "serve", "worker", "dev", "tenants", "keys"):
            assert f" {command} " in out

    def test_imports_nothing_heavy(self):
        script = (
            "import sys\nsys.argv = ['crm-api', '--help']\nfrom crm_api.cli import main\n"
            "try: main()\nexcept SystemExit: pass\n"
            "heavy = {'sqlalchemy', 'fastapi', 'asyncpg', 'strawberry', 'alembic', 'pydantic', 'uvicorn'}\n"
            "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
        )
        import subprocess  # noqa: PLC0415

        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


class TestFailing:
    def test_unknown_setting_is_one_line_and_status_2(self, call, monkeypatch):
        monkeypatch.setenv("CRM_PROT", "1")
        status, out, err = call("migrate")
        assert (status, out) == (2, "")
        assert err == "crm-api: CRM_PROT: no such setting; did you mean CRM_PORT or CRM_OTEL?\n"

    def test_no_database_is_one_line_and_status_1(self, call, monkeypatch):
        monkeypatch.setenv("CRM_DATABASE_URL", "postgresql://127.0.0.1:1/crm")
        status, _, err = call("migrate")
        assert status == 1
        assert err.count("\n") == 1
        assert err.startswith("crm-api: ")

    def test_embedded_server_is_not_managed_when_a_url_is_given(self, call, monkeypatch):
        monkeypatch.setenv("CRM_DATABASE_URL", "postgresql://127.0.0.1:1/crm")
        for command in ("start", "stop", "status"):
            status, _, err = call("db", command)
            assert (status, "CRM_DATABASE_URL is set" in err) == (2, True)

    def test_bug_keeps_its_traceback(self, monkeypatch):
        def broken():
            raise ZeroDivisionError

        monkeypatch.setattr(cli, "app", broken)
        with pytest.raises(ZeroDivisionError):
            cli.main()

    @pytest.mark.database
    def test_database_that_was_never_migrated(self, call, monkeypatch, empty_database_url):
        monkeypatch.setenv("CRM_DATABASE_URL", empty_database_url)
        status, _, err = call("tenants", "create", "Shop")
        assert status == 1
        assert "crm-api migrate" in err

    def test_command_that_needs_an_id_names_it(self, call, monkeypatch):
        monkeypatch.setenv("CRM_DATABASE_URL", "postgresql://127.0.0.1:1/crm")
        status, _, err = call("keys", "list", "--tenant", "shop")
        assert status == 2
        assert "not an id: 'shop'" in err


@pytest.mark.database
class TestMigrateAndDoctor:
    def test_migrate_says_what_it_did(self, call, monkeypatch, empty_database_url):
        monkeypatch.setenv("CRM_DATABASE_URL", empty_database_url)
        assert call("migrate")[1] == f"migrated from nothing to {head_revision()}\n"
        assert call("migrate")[1] == f"already at {head_revision()}\n"

    def test_doctor(self, call, database):
        status, out, _ = call("doctor")
        assert status == 0
        assert "FAIL" not in out

    def test_doctor_for_programs(self, call, monkeypatch, empty_database_url):
        monkeypatch.setenv("CRM_DATABASE_URL", empty_database_url)
        status, out, _ = call("doctor", "--json")
        failed = {check["name"]: check["mend"] for check in json.loads(out) if check["state"] == "fail"}
        assert status == 1
        assert failed["migrations"] == "run `crm-api migrate`"

    def test_settings_hide_passwords(self, call, monkeypatch):
        monkeypatch.setenv("CRM_DATABASE_URL", "postgresql://me:secret@db/crm")
        for arguments in (("settings",), ("settings", "--json")):
            status, out, _ = call(*arguments)
            assert (status, "secret" in out) == (0, False)
            assert "me:***@db" in out


@pytest.mark.database
class TestTenantsAndKeys:
    def test_from_tenant_to_revoked_key(self, call, database):
        created = json.loads(call("tenants", "create", "王记", "--preset", "retail", "--json")[1])
        assert set(created) == {"tenant_id", "api_key"}
        tenant = created["tenant_id"]
        assert [row["name"] for row in json.loads(call("tenants", "list", "--json")[1])] == ["王记"]

        made = json.loads(call("keys", "create", "--tenant", tenant, "--scopes", "customers:read", "--json")[1])
        assert made["api_key"].startswith("crm_")
        shown = call("keys", "list", "--tenant", tenant)[1]
        assert made["key_id"] in shown
        assert made["api_key"] not in shown

        assert call("keys", "revoke", made["key_id"], "--tenant", tenant)[:2] == (0, "revoked\n")

    def test_unknown_preset_and_scope(self, call, database):
        status, _, err = call("tenants", "create", "Shop", "--preset", "bank")
        assert status == 1
        assert "choose from" in err
        tenant = json.loads(call("tenants", "create", "Shop", "--json")[1])["tenant_id"]
        status, _, err = call("keys", "create", "--tenant", tenant, "--scopes", "customers:fly")
        assert status == 1
        assert err.count("\n") == 1
        # One tenant need not be named; without orders, and with a name that is none, the command says what to do.
        for arguments, said in ((), "import orders first"), (("--tenant", str(UUID(int=7))), "tenants list"):
            status, _, err = call("churn", "backtest", *arguments)
            assert (status, said in err, err.count("\n")) == (1, True, 1), err


class TestEmbedded:
    def test_start_status_psql_stop(self, call, home):
        assert call("db", "stop")[1] == "was not running\n"
        status, url, _ = call("db", "start")
        assert status == 0
        shown = json.loads(call("db", "status", "--json")[1])
        assert (shown["running"], shown["kept"], shown["url"]) == (True, True, url.strip())
        assert query(url.strip(), "SELECT 1")[0][0] == 1
        done = crm_api("db", "psql", "-At", "-c", "SELECT current_user", CRM_HOME=home)
        assert (done.returncode, done.stdout) == (0, "crm\n")
        assert call("db", "stop")[1] == "stopped\n"

    def test_command_brings_its_own_server_and_takes_it_away(self, call, home):
        assert call("migrate")[0] == 0
        assert "CRM_DATABASE_URL" not in os.environ
        assert json.loads(call("db", "status", "--json")[1])["running"] is False

    def test_terminated_command_gives_its_server_back(self, home):
        with running("db", "psql", "-c", "SELECT pg_sleep(60)", CRM_HOME=home) as process:
            server = EmbeddedServer(home)
            deadline = time.monotonic() + 30
            while not server.status().users and time.monotonic() < deadline:
                time.sleep(0.05)
            process.terminate()
            process.wait(30)
        assert process.returncode == 128 + signal.SIGTERM
        assert not server.status().running


@pytest.mark.database
@pytest.mark.edge
class TestServing:
    def test_several_processes_on_a_unix_socket(self, database):
        with tempfile.TemporaryDirectory() as folder:
            uds = Path(folder) / "api.sock"
            with running("serve", "--workers", "2", "--uds", str(uds), CRM_DATABASE_URL=database) as process:
                wait_for("http://api/livez", process=process, uds=uds)
                assert len(group(process.pid)) >= 3
                process.terminate()
                process.wait(30)
                assert all_gone(process.pid)

    def test_several_processes_of_an_application_that_cannot_be_made_fail_at_once(self, settings, monkeypatch):
        def broken(_settings):
            raise ZeroDivisionError

        monkeypatch.setattr("crm_api.app.create_app", broken)
        with pytest.raises(ZeroDivisionError):
            launch.serve(settings, host="127.0.0.1", port=0, workers=2)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_dev_migrates_serves_and_leaves_nothing_behind(self, empty_database_url, number):
        port = free_port()
        with running("dev", "--port", str(port), CRM_DATABASE_URL=empty_database_url) as process:
            wait_for(f"http://127.0.0.1:{port}/readyz", process=process)
            assert query(empty_database_url, "SELECT version_num FROM alembic_version")[0][0] == head_revision()
            if number == signal.SIGINT:
                os.killpg(process.pid, number)  # as a terminal does on Ctrl-C
            else:
                process.send_signal(number)
            assert process.wait(30) == 0
            assert "Traceback" not in process.stderr.read()
            assert all_gone(process.pid)

    def test_dev_replaces_a_dead_worker_and_dies_with_its_parent(self, database):
        port = free_port()
        with running("dev", "--port", str(port), CRM_DATABASE_URL=database) as process:
            wait_for(f"http://127.0.0.1:{port}/readyz", process=process)
            worker = _wait_for_worker(process.pid)
            os.kill(worker, signal.SIGKILL)
            assert _wait_for_worker(process.pid, other_than=worker) != worker
            process.kill()
            assert all_gone(process.pid)


def _wait_for_worker(pid, other_than=None):
    deadline = time.monotonic() + 60
    while (found := _worker_of(pid)) in {None, other_than} and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found is not None
    return found


def _worker_of(pid):
    """Return the newest child of ``dev`` that is no API: children start in the order api, worker."""
    children = []
    for member in group(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            command = Path(f"/proc/{member}/cmdline").read_text()
        except OSError:
            continue
        if int(fields[1]) == pid and "spawn_main" in command:
            children.append(member)
    return max(children[1:], default=None) if len(children) > 1 else None
