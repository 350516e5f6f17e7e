"""The embedded server: shared, killed, restarted, as root and as an ordinary user."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest

from crm_api.db import embedded_host
from crm_api.db.embedded import EmbeddedError, EmbeddedServer, default_home
from tests.support import embedded_process
from tests.support.database import query

PROCESS = embedded_process.__file__

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become other users")


class Holder:
    """A process of its own that holds a lease until it is told to let go."""

    def __init__(self, home, uid=None):
        command = [sys.executable, PROCESS, str(os.geteuid() if uid is None else uid), str(home)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seen(self):
        return json.loads(self.process.stdout.readline())

    def let_go(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()

    def kill(self):
        self.process.kill()
        self.let_go()


@pytest.fixture
def open_folder():
    """A folder that every user may enter, unlike pytest's own; servers left in it are stopped."""
    folder = Path(tempfile.mkdtemp(prefix="crm-embedded-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server(open_folder):
    server = EmbeddedServer(open_folder / "home", durable=False)
    yield server
    discard(server)


def discard(server):
    with contextlib.suppress(EmbeddedError):
        server.stop(force=True)
    shutil.rmtree(server.layout.base)
    shutil.rmtree(server.layout.sockets, ignore_errors=True)


@pytest.fixture
def nobody():
    return pwd.getpwnam("nobody").pw_uid


def wait_until_gone(pid):
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)


class TestLifetime:
    def test_runs_for_the_length_of_a_lease(self, server):
        with server.lease():
            assert query(server.url(), "SELECT current_database()")[0][0] == "crm"
            assert server.status().running
        assert not server.status().running

    def test_login_is_no_superuser(self, server):
        with server.lease():
            row = query(server.url(), "SELECT current_user, usesuper FROM pg_user WHERE usename = current_user")[0]
        assert tuple(row) == ("crm", False)

    def test_chinese_is_searchable(self, server):
        with server.lease():
            query(server.url(), "CREATE EXTENSION pg_trgm")
            assert query(server.url(), "SELECT show_trgm('王小明')")[0][0]

    def test_listens_on_no_port(self, server):
        with server.lease():
            assert query(server.url(), "SHOW listen_addresses")[0][0] == ""

    def test_durable_unless_tests_say_otherwise(self, open_folder):
        server = EmbeddedServer(open_folder / "durable")
        with server.lease():
            shown = query(server.url(), "SELECT current_setting('fsync'), current_setting('full_page_writes')")[0]
        discard(server)
        assert tuple(shown) == ("on", "on")

    def test_started_server_outlives_its_users_until_stopped(self, server):
        server.start()
        with server.lease():
            pass
        assert server.status().running
        assert server.stop() is True
        assert server.stop() is False

    def test_stop_refuses_while_in_use(self, server):
        with server.lease():
            with pytest.raises(EmbeddedError, match=f"in use by process {os.getpid()}"):
                server.stop()
            assert server.stop(force=True)

    def test_data_survives_a_stop(self, server):
        with server.lease():
            query(server.url(), "CREATE TABLE kept AS SELECT 7 AS n")
        with server.lease():
            assert query(server.url(), "SELECT n FROM kept")[0][0] == 7

    def test_makes_further_databases_once(self, server):
        with server.lease():
            assert server.ensure_database("second") == server.ensure_database("second")
            assert query(server.url("second"), "SELECT current_database()")[0][0] == "second"
            with pytest.raises(EmbeddedError, match="not a database name"):
                server.ensure_database('x"; DROP DATABASE crm')

    def test_operators_own_configuration_wins(self, server):
        with server.lease():
            pass
        (server.layout.data / "local.conf").write_text("work_mem = '3MB'\n")
        (server.layout.data / "local.conf").chmod(0o644)
        with server.lease():
            assert query(server.url(), "SHOW work_mem")[0][0] == "3MB"


class TestSharing:
    def test_last_process_out_stops_it(self, server):
        first, second = Holder(server.home), Holder(server.home)
        assert first.seen()["pid"] == second.seen()["pid"]
        first.let_go()
        assert server.status().running
        assert server.status().users == [second.process.pid]
        second.let_go()
        assert not server.status().running

    def test_many_start_at_once_and_get_one_server(self, server):
        holders = [Holder(server.home) for _ in range(4)]
        assert len({holder.seen()["pid"] for holder in holders}) == 1
        for holder in holders:
            holder.let_go()
        assert not server.status().running

    def test_lease_of_a_killed_process_does_not_count(self, server):
        holder = Holder(server.home)
        holder.seen()
        holder.kill()
        assert server.status().running
        assert server.status().users == []
        with server.lease():
            pass
        assert not server.status().running

    def test_forked_child_does_not_give_back_its_parents_lease(self, server):
        lease = server.acquire()
        child = os.fork()
        if child == 0:
            server.release(lease)
            os._exit(0)
        os.waitpid(child, 0)
        assert server.status().running
        server.release(lease)
        assert not server.status().running


class TestCrashes:
    def test_killed_postmaster_is_replaced_and_nothing_committed_is_lost(self, server):
        server.durable = True
        with server.lease():
            query(server.url(), "CREATE TABLE kept AS SELECT 7 AS n")
            killed = server.status().pid
            os.kill(killed, signal.SIGKILL)
            with server.lease():
                assert server.status().pid != killed
                assert query(server.url(), "SELECT n FROM kept")[0][0] == 7

    def test_stale_pid_file_whose_number_another_process_got(self, server):
        with server.lease():
            pass
        account = server.layout.account
        stranger = subprocess.Popen(["/bin/sleep", "60"], cwd="/", **account.spawn_options())
        lines = [str(stranger.pid), str(server.layout.data), "1700000000", "5432", str(server.layout.sockets), "", ""]
        for path in (server.layout.data / "postmaster.pid", server.layout.sockets / ".s.PGSQL.5432.lock"):
            path.write_text("\n".join(lines))
        try:
            with server.lease():
                assert server.status().pid != stranger.pid
        finally:
            stranger.kill()
            stranger.wait()

    def test_half_made_cluster_is_made_anew(self, server):
        (server.layout.base / "data.new").mkdir()
        (server.layout.base / "data.new" / "PG_VERSION").write_text("18\n")
        with server.lease():
            assert query(server.url(), "SELECT 1")[0][0] == 1

    def test_broken_data_is_reported_with_the_log(self, server):
        with server.lease():
            pass
        (server.layout.data / "global" / "pg_control").write_bytes(b"")
        with pytest.raises(EmbeddedError, match=r"does not start; its log in .*pg_control"):
            server.acquire()

    def test_data_of_another_major_version_is_left_alone(self, server):
        with server.lease():
            pass
        (server.layout.data / "PG_VERSION").write_text("17\n")
        with pytest.raises(EmbeddedError, match="made by PostgreSQL 17 and this is 18"):
            server.acquire()


class TestPlaces:
    def test_unwieldy_home_gets_its_socket_elsewhere(self, open_folder):
        server = EmbeddedServer(open_folder / ("我的 商店 " + "x" * 60) / ("y" * 60), durable=False)
        with server.lease():
            assert len(bytes(server.layout.sockets)) < 90
            assert server.layout.sockets.stat().st_mode & 0o777 == 0o700
            assert query(server.url(), "SELECT 1")[0][0] == 1
        discard(server)

    @pytest.mark.parametrize("name", ['a"b', "a$b", "a`b", "a\nb", "a\\b"])
    def test_home_that_a_shell_would_misread_is_refused(self, open_folder, name):
        with pytest.raises(EmbeddedError, match="CRM_HOME must not contain"):
            EmbeddedServer(open_folder / name).acquire()

    def test_socket_folder_of_somebody_else_is_refused(self, open_folder):
        server = EmbeddedServer(open_folder / ("x" * 90), durable=False)
        server.layout.sockets.chmod(0o777)
        with pytest.raises(EmbeddedError, match="not a private folder"):
            EmbeddedServer(server.home).acquire()
        discard(server)

    def test_unwritable_place_is_named(self, open_folder):
        (open_folder / "file").write_text("")
        with pytest.raises(EmbeddedError, match=r"cannot create .*file"):
            EmbeddedServer(open_folder / "file" / "home").acquire()

    @as_root
    def test_default_home_of_root_is_open_to_the_server(self):
        assert default_home() == Path("/var/lib/crm-api")


@as_root
class TestUsers:
    def test_root_runs_it_as_somebody_else(self, server):
        with server.lease():
            owner = Path(f"/proc/{server.status().pid}").stat().st_uid
        assert owner == server.layout.account.uid != 0
        assert server.layout.data.stat().st_mode & 0o777 == 0o700

    def test_closed_home_moves_data_and_opens_nothing(self, open_folder):
        closed = open_folder / "closed"
        closed.mkdir(mode=0o700)
        server = EmbeddedServer(closed / "home", durable=False)
        with server.lease():
            assert server.layout.data.is_relative_to("/var/lib/crm-api/homes")
            assert query(server.url(), "SELECT 1")[0][0] == 1
        discard(server)
        assert closed.stat().st_mode & 0o777 == 0o700

    def test_closed_programs_are_copied(self, server, monkeypatch, open_folder):
        monkeypatch.setattr(embedded_host, "STATE_ROOT", open_folder / "state")
        can = embedded_host.Account.can
        monkeypatch.setattr(
            embedded_host.Account,
            "can",
            lambda self, access, path: "site-packages" not in str(path) and can(self, access, path),
        )
        with server.lease():
            assert server.layout.programs.is_relative_to(open_folder / "state" / "server")
            assert query(server.url(), "SELECT 1")[0][0] == 1
            query(server.url(), "CREATE EXTENSION pg_trgm")

    def test_several_make_a_folder_at_once(self, tmp_path):
        us = embedded_host.Account("us", os.geteuid(), os.getegid())
        start = threading.Barrier(8)

        def make(number):
            for turn in range(100):
                start.wait(10)
                us.own(tmp_path / f"{turn}")
            return number

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(make, range(8))) == list(range(8))
        assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o700}

    def test_ordinary_user(self, open_folder, nobody):
        home = open_folder / "nobodys"
        home.mkdir()
        os.chown(home, nobody, -1)
        first, second = Holder(home, nobody), Holder(home, nobody)
        seen = first.seen()
        assert (seen["login"], seen["account"]) == ("crm", "nobody")
        assert Path(f"/proc/{seen['pid']}").stat().st_uid == nobody
        assert second.seen()["pid"] == seen["pid"]
        first.let_go()
        second.let_go()
        wait_until_gone(seen["pid"])
        assert not (home / "postgres" / "data" / "postmaster.pid").exists()

    def test_root_may_use_an_ordinary_users_server(self, open_folder, nobody):
        home = open_folder / "nobodys"
        home.mkdir()
        os.chown(home, nobody, -1)
        holder = Holder(home, nobody)
        pid = holder.seen()["pid"]
        server = EmbeddedServer(home, durable=False)
        with server.lease():
            assert server.status().pid == pid
        assert server.status().running
        holder.let_go()
        with server.lease():  # root starts it again as its owner
            assert server.layout.account.name == "nobody"
        holder = Holder(home, nobody)
        assert holder.seen()["login"] == "crm"
        holder.let_go()

    def test_another_users_data_is_refused(self, server, nobody):
        with server.lease():
            pass
        holder = Holder(server.home, nobody)
        assert "belongs to user" in holder.seen()["error"]
        holder.let_go()

    def test_another_user_is_kept_out_even_when_the_folder_is_open(self, server, nobody):
        with server.lease():
            server.layout.sockets.chmod(0o755)
            reader, writer = os.pipe()
            child = os.fork()
            if child == 0:
                os.setgid(pwd.getpwuid(nobody).pw_gid)
                os.setuid(nobody)
                try:
                    query(server.url(), "SELECT 1")
                except (asyncpg.PostgresError, OSError) as error:
                    os.write(writer, str(error).encode())
                os._exit(0)
            os.waitpid(child, 0)
            os.close(writer)
            with os.fdopen(reader) as pipe:
                assert "Peer authentication failed" in pipe.read()
            server.layout.sockets.chmod(0o700)
