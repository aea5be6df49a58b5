"""Dagster's SQLite storages as they are, without the time they spend on opening and creating their files.

Dagster opens a database anew for each statement, and makes each new one by its migrations. Here connections stay open,
no commit waits for the disk, and a new database is a copy of the first of its kind. SQL, schema and files stay as they
are. An event that is read again is not made from its JSON again: events do not change.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from unittest import mock

import dagster as dg
import sqlalchemy as db
from dagster._core.storage.event_log import sql_event_log
from dagster._core.storage.event_log.sqlite import consolidated_sqlite_event_log, sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from dagster._core.storage.sql import check_alembic_revision
from sqlalchemy.pool import NullPool, QueuePool

KNOWN_EVENTS = 20_000
STORAGES = (consolidated_sqlite_event_log, sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage)


def _make_run(directory: str) -> None:
    with sqlite_event_log.SqliteEventLogStorage(directory).run_connection("run"):
        pass


MAKERS = {
    "event_log": consolidated_sqlite_event_log.ConsolidatedSqliteEventLogStorage,
    "index": sqlite_event_log.SqliteEventLogStorage,
    "runs": sqlite_run_storage.SqliteRunStorage.from_local,
    "schedules": sqlite_schedule_storage.SqliteScheduleStorage.from_local,
    "run": _make_run,
}
"""What makes each kind of database; `run` holds the events of one run and is called by its id."""


class Engines:
    """One engine for each database, and with it its compiled statements and its open connections."""

    def __init__(self, templates: Path) -> None:
        self._templates = templates
        self._engines: dict[str, db.Engine] = {}
        self._heads: dict[str | None, object] = {}
        self._lock = threading.RLock()

    def create(self, url: str, **_: object) -> db.Engine:
        """In place of SQLAlchemy's ``create_engine``."""
        with self._lock:
            if url not in self._engines:
                self._copy_template(_path(url))
                self._engines[url] = _engine(url, lasting=_path(url).stem in MAKERS)
            return self._engines[url]

    def forget(self, directory: Path) -> None:
        """Close what is open below a directory."""
        with self._lock:
            for url in [url for url in self._engines if _path(url).is_relative_to(directory)]:
                db.Engine.dispose(self._engines.pop(url))

    def revision(self, config, connection):
        """In place of ``check_alembic_revision``, which reads all migrations each time."""
        name = config.config_file_name
        if name not in self._heads:
            self._heads[name] = check_alembic_revision(config, connection)[1]
        known = db.inspect(connection).has_table("alembic_version")
        current = connection.scalar(db.text("SELECT version_num FROM alembic_version")) if known else None
        return current, self._heads[name]

    def _copy_template(self, path: Path) -> None:
        if path.exists() or path.is_relative_to(self._templates):
            return
        kind = path.stem if path.stem in MAKERS else "run"
        directory = self._templates / kind
        if not directory.exists():
            directory.mkdir()
            MAKERS[kind](str(directory))
            self.forget(directory)
        copy = path.with_suffix(f".{os.getpid()}")
        shutil.copyfile(directory / f"{kind}.db", copy)
        with suppress(FileExistsError):  # another process was quicker
            os.link(copy, path)
        copy.unlink()


def _path(url: str) -> Path:
    return Path(db.make_url(url).database or "")


def _engine(url: str, *, lasting: bool) -> db.Engine:
    pool = {"poolclass": QueuePool, "max_overflow": -1} if lasting else {"poolclass": NullPool}
    engine = db.create_engine(url, connect_args={"timeout": 30}, **pool)
    engine.dispose = lambda **_: None  # Dagster does so after each statement
    db.event.listen(engine, "connect", _relax)
    return engine


def _relax(connection, _record) -> None:
    connection.execute("PRAGMA synchronous=OFF")


@contextmanager
def quick_dagster() -> Iterator[Engines]:
    """Every instance of this process is quick until the block ends."""
    dispose = dg.DagsterInstance.dispose
    with tempfile.TemporaryDirectory(prefix="dagster-templates-") as templates, ExitStack() as stack:
        engines = Engines(Path(templates))

        def dispose_and_forget(instance) -> None:
            dispose(instance)
            if not instance.is_ephemeral:
                engines.forget(Path(instance.root_directory))

        for storage in STORAGES:
            stack.enter_context(mock.patch.object(storage, "create_engine", engines.create))
            stack.enter_context(mock.patch.object(storage, "check_alembic_revision", engines.revision))
        stack.enter_context(mock.patch.object(dg.DagsterInstance, "dispose", dispose_and_forget))
        known = lru_cache(KNOWN_EVENTS)(sql_event_log.deserialize_value)
        stack.enter_context(mock.patch.object(sql_event_log, "deserialize_value", known))
        stack.callback(engines.forget, Path("/"))
        yield engines
