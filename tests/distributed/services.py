"""PostgreSQL and Redis on loopback, each a process of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ports import free_port

START_SECONDS = 60
UNPRIVILEGED = "postgres"


def postgres_binaries() -> Path | None:
    """The newest PostgreSQL of Debian's packages, which are not on the PATH; None when there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    return found[-1].parent if found else None


def missing() -> list[str]:
    """What the distributed tests lack on this machine."""
    lacking = []
    if postgres_binaries() is None:
        lacking.append("Debian package postgresql")
    if shutil.which("redis-server") is None:
        lacking.append("Debian package redis-server")
    probe = "import dagster_postgres, dagster_celery, redis, psycopg2"
    if subprocess.run([sys.executable, "-c", probe], check=False, capture_output=True).returncode:
        lacking.append("pip install 'thunderbit-dagster[distributed]'")
    return lacking


@contextmanager
def postgres() -> Iterator[dict[str, str]]:
    """A new database; the settings that deploy/dagster.yaml reads from the environment."""
    binaries = postgres_binaries()
    assert binaries is not None
    # Not below pytest's folder: the server's user must be able to come here.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    owner = _own(folder)
    port = free_port()
    data, log = folder / "data", folder / "log"
    _run([binaries / "initdb", "-D", data, "-U", "dagster", "--auth=trust", "-E", "UTF8", "--no-sync"], owner)
    # What a killed process was about to write is dropped, not written when a lock is released long after.
    checks = "-c client_connection_check_interval=100ms"
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off {checks}"
    _run([binaries / "pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start"], owner)
    try:
        yield {
            "DAGSTER_POSTGRES_HOST": "127.0.0.1",
            "DAGSTER_POSTGRES_PORT": str(port),
            "DAGSTER_POSTGRES_USER": "dagster",
            "DAGSTER_POSTGRES_PASSWORD": "unused",
            "DAGSTER_POSTGRES_DB": "postgres",
        }
    finally:
        _run([binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], owner)
        shutil.rmtree(folder)


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """The URL of a new Redis, without a database number."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with _process(command, folder / "redis.log", lambda: _pongs(port)):
        yield f"redis://127.0.0.1:{port}"


@contextmanager
def _process(command: list[str], log: Path, is_ready: Callable[[], bool]) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        stop_by = time.monotonic() + START_SECONDS
        while not is_ready():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < stop_by, log.read_text()
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _pongs(port: int) -> bool:
    import redis  # noqa: PLC0415  # of the extra, which may be absent

    with redis.Redis(port=port) as client:
        try:
            return client.ping()
        except redis.ConnectionError:
            return False


def _own(folder: Path) -> pwd.struct_passwd | None:
    """Give a folder to a user that PostgreSQL accepts; None when we are one ourselves."""
    if os.geteuid() != 0:
        return None
    owner = pwd.getpwnam(UNPRIVILEGED)
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    return owner


def _run(command: list[object], owner: pwd.struct_passwd | None) -> None:
    ids = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    # The server keeps the log open, so its output is no pipe of ours.
    done = subprocess.run(
        [str(part) for part in command],
        check=False,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **ids,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}"


def connect(env: dict[str, str], database: str = "postgres"):
    """A connection to the server that commits each statement."""
    import psycopg2  # noqa: PLC0415  # of the extra, which may be absent

    place = {"host": env["DAGSTER_POSTGRES_HOST"], "port": env["DAGSTER_POSTGRES_PORT"]}
    connection = psycopg2.connect(user=env["DAGSTER_POSTGRES_USER"], dbname=database, **place)
    connection.autocommit = True
    return connection


def instance_settings(env: dict[str, str], database: str) -> dict[str, object]:
    """The storage of deploy/dagster.yaml, in a new database of its own on the same server."""
    with connect(env).cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {database}")
    settings = {
        "scheme": "postgresql+psycopg2",
        "hostname": env["DAGSTER_POSTGRES_HOST"],
        "port": int(env["DAGSTER_POSTGRES_PORT"]),
        "username": env["DAGSTER_POSTGRES_USER"],
        "password": env["DAGSTER_POSTGRES_PASSWORD"],
        "db_name": database,
    }
    return {"storage": {"postgres": {"postgres_db": settings}}, "telemetry": {"enabled": False}}
