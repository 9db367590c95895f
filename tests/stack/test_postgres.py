"""The embedded PostgreSQL: its rows outlive every kind of death, and nobody else gets in."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from stack import account
from stack.binaries import find_postgres
from stack.postgres import Postgres
from stack.process import StackError, holders

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cluster that these tests start and stop; the first of them makes it."""
    return tmp_path_factory.mktemp("cluster") / "postgres"


@pytest.fixture
def server(folder: Path) -> Iterator[Postgres]:
    with Postgres(folder) as running:
        yield running


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's own."""
    place = Path(tempfile.mkdtemp(prefix="perimage-test-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


def rows(server: Postgres) -> list[int]:
    with psycopg.connect(server.url()) as connection:
        return [row[0] for row in connection.execute("SELECT number FROM kept ORDER BY number")]


def keep(server: Postgres, number: int) -> None:
    with psycopg.connect(server.url()) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
        connection.execute("INSERT INTO kept VALUES (%s)", [number])


def sleep_in(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT pg_sleep(600)")


def wait_for_death(server: Postgres) -> None:
    end = time.monotonic() + 10
    while server.pid and time.monotonic() < end:
        time.sleep(0.02)
    assert server.pid is None


def test_committed_rows_survive_kill_9_in_the_middle_of_other_work(server: Postgres) -> None:
    keep(server, 1)
    with psycopg.connect(server.url(), autocommit=True) as busy:
        sleeping = threading.Thread(target=sleep_in, args=[busy])
        sleeping.start()
        os.kill(server.pid or 0, signal.SIGKILL)
        wait_for_death(server)
        server.start()
        sleeping.join(timeout=10)
    assert not sleeping.is_alive()
    assert rows(server) == [1]


def test_a_process_that_got_the_dead_servers_number_does_not_block_the_start(server: Postgres) -> None:
    keep(server, 2)
    os.kill(server.pid or 0, signal.SIGKILL)
    wait_for_death(server)
    with subprocess.Popen(["sleep", "60"]) as unrelated:
        pid_file = server.data / "postmaster.pid"
        pid_file.write_text("\n".join([str(unrelated.pid), *pid_file.read_text().splitlines()[1:], ""]))
        server.start()
        unrelated.kill()
    assert 2 in rows(server)


def test_a_clean_stop_leaves_no_process_and_no_socket(server: Postgres) -> None:
    place = Path(psycopg.connect(server.url()).info.host)
    assert list(place.glob(".s.PGSQL*"))
    server.stop()
    assert not list(place.glob(".s.PGSQL*"))
    assert holders(server.folder / "postgres.hold") == []


def test_it_keeps_its_promises_on_and_the_network_off(server: Postgres) -> None:
    with psycopg.connect(server.url()) as connection:
        told = {
            name: connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            for name in ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses", "data_checksums")
        }
    assert told == {
        "fsync": ("on",),
        "synchronous_commit": ("on",),
        "full_page_writes": ("on",),
        "listen_addresses": ("",),
        "data_checksums": ("on",),
    }


def test_nobody_gets_in_without_the_password(server: Postgres) -> None:
    secret = (server.folder / "password").read_text()
    assert (server.folder / "password").stat().st_mode & 0o777 == 0o600
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url().replace(secret, "guess"))


def test_the_server_outlives_the_thread_that_started_it(folder: Path) -> None:
    server = Postgres(folder)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    time.sleep(0.3)
    assert server.pid
    server.stop()


def test_a_second_manager_of_one_folder_is_refused_by_name(server: Postgres) -> None:
    with pytest.raises(StackError, match=f"Process {os.getpid()} already runs PostgreSQL"):
        Postgres(server.folder).start()


def test_a_half_made_cluster_is_made_again_and_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("long, with a comma " * 8)
    (folder / "data.new").mkdir(parents=True)
    (folder / "data.new" / "PG_VERSION").write_text("18\n")
    with Postgres(folder) as server:
        place = Path(psycopg.connect(server.url()).info.host)
        assert len(str(place)) < 60
        assert place.stat().st_mode & 0o777 == 0o700
        assert server.url() == Postgres(folder).url()
    assert not place.exists()


@as_root
def test_a_socket_folder_that_somebody_else_put_there_is_refused(tmp_path: Path) -> None:
    server = Postgres(tmp_path / ("x" * 100))
    server.folder.mkdir()
    place = Path(server.url().split("host=")[1])
    os.chown(place, 65534, 65534)
    try:
        with pytest.raises(StackError, match="belongs to somebody else"):
            server.start()
    finally:
        place.rmdir()


def test_data_of_a_version_that_is_not_here_is_explained(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(StackError, match=r"PostgreSQL 9, which is not on this machine.*DATABASE_URL"):
        Postgres(tmp_path).start()


@as_root
def test_root_without_namespaces_becomes_nobody(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = account.nobody()
    try:
        subprocess.run([find_postgres() / "postgres", "-V"], user=other.uid, check=True, capture_output=True)
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip("nobody cannot reach PostgreSQL's programs")
    monkeypatch.setattr(account, "ways_to_begin", lambda: [f"user:{other.uid}:{other.gid}"])
    for number in (1, 2):  # the second start finds a folder that is nobody's
        with Postgres(open_folder / "postgres") as server:
            keep(server, number)
            assert Path(f"/proc/{server.pid}").stat().st_uid == other.uid
            assert len(rows(server)) == number


@as_root
def test_root_that_may_be_nobody_else_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "ways_to_begin", lambda: ["self"])
    with pytest.raises(StackError, match=r"refuses to run as root.*set DATABASE_URL"):
        Postgres(tmp_path / "postgres").start()


@as_root
def test_an_ordinary_user_needs_no_tricks(open_folder: Path, project_folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    try:
        subprocess.run([sys.executable, "-c", "import psycopg"], user=nobody.pw_uid, check=True, capture_output=True)
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip("nobody cannot reach this Python")
    os.chown(open_folder, nobody.pw_uid, nobody.pw_gid)
    script = (
        "import psycopg, sys, pathlib; from stack.postgres import Postgres; from stack.valkey import Valkey\n"
        "with Postgres(pathlib.Path(sys.argv[1]) / 'pg') as server, Valkey(pathlib.Path(sys.argv[1]) / 'vk'):\n"
        "    print(psycopg.connect(server.url()).execute('SELECT 42').fetchone()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, open_folder],
        user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], cwd=project_folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(project_folder)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "42", done.stderr


def test_the_address_names_any_database(folder: Path) -> None:
    assert f"@/{quote('a b/ü', safe='')}?host=" in Postgres(folder).url("a b/ü")
