"""What the emulator remembers: accounts, jobs, rows and the pages it has read, in one SQLite file.

Every step is one transaction, so that a killed process finds each row either finished and billed, or open.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from thunderbit_dagster.api.codes import JobKind, JobStatus, RowStatus
from thunderbit_dagster.emulator import jobs

_FILE_NAME: Final = "emulator.sqlite3"
_SCHEMA_VERSION: Final = 1
KEPT_PAGES: Final = 20_000
"""Pages that `/search` can find; older ones make room."""

_TABLES = """
CREATE TABLE accounts (name TEXT PRIMARY KEY, granted INTEGER NOT NULL, spent INTEGER NOT NULL DEFAULT 0);
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, route TEXT NOT NULL, account TEXT NOT NULL,
    kind TEXT NOT NULL, status TEXT NOT NULL, total INTEGER NOT NULL, completed INTEGER NOT NULL,
    failed INTEGER NOT NULL, credits_used INTEGER NOT NULL, price INTEGER NOT NULL, created_at REAL NOT NULL,
    completed_at REAL, request TEXT NOT NULL, webhook_attempts INTEGER NOT NULL DEFAULT 0,
    webhook_done INTEGER NOT NULL
);
CREATE VIEW states AS
    SELECT id, route, account, kind, total, created_at, status, completed, failed, credits_used, price,
        completed_at, seq, webhook_attempts, webhook_done FROM jobs;
CREATE INDEX jobs_by_status ON jobs (status);
CREATE TABLE rows (
    job TEXT NOT NULL, place INTEGER NOT NULL, url TEXT NOT NULL, status TEXT NOT NULL,
    credits INTEGER NOT NULL DEFAULT 0, payload TEXT, error TEXT, PRIMARY KEY (job, place)
);
CREATE VIRTUAL TABLE pages USING fts5 (url UNINDEXED, host UNINDEXED, title, text);
CREATE TABLE page_ids (url TEXT PRIMARY KEY, page INTEGER NOT NULL);
"""


class StoreInUseError(Exception):
    """Another emulator holds this data directory."""


@dataclass(frozen=True, slots=True)
class FoundPage:
    """A page that `/search` found among those fetched before."""

    url: str
    title: str
    snippet: str


class EmulatorStore:
    """The memory of one emulator. For one thread at a time.

    Args:
        data_dir: Where the file lies; made when missing. None: in memory, gone with the object.

    Raises:
        StoreInUseError: Another process uses the directory.
    """

    def __init__(self, data_dir: Path | None) -> None:
        self._db = sqlite3.connect(_location(data_dir), isolation_level=None, timeout=1.0, check_same_thread=False)
        try:
            self._prepare(durable=data_dir is not None)
        except (sqlite3.Error, ValueError) as error:
            self._db.close()
            if "locked" not in str(error):
                raise
            raise StoreInUseError(f"another emulator uses {data_dir}") from None

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    # Accounts

    def open_account(self, name: str, credits_granted: int) -> None:
        """Make an account with this balance, unless there is one already."""
        self._db.execute("INSERT OR IGNORE INTO accounts (name, granted) VALUES (?, ?)", (name, credits_granted))

    def credits_left(self, account: str) -> int:
        """What the account may still spend, not counting what open jobs may cost."""
        row = self._db.execute("SELECT granted - spent FROM accounts WHERE name = ?", (account,)).fetchone()
        return int(row[0])

    def credits_reserved(self, account: str) -> int:
        """The most that the account's open jobs can still cost."""
        query = """SELECT SUM(price * (total - completed - failed)) FROM jobs
                   WHERE account = ? AND status IN ('PENDING', 'PROCESSING')"""
        return int(self._db.execute(query, (account,)).fetchone()[0] or 0)

    def spend(self, account: str, amount: int) -> None:
        """Bill the account. The balance may go below zero by the cost of one page."""
        self._db.execute("UPDATE accounts SET spent = spent + ? WHERE name = ?", (amount, account))

    # Jobs

    def add_job(
        self, job: jobs.EmulatedJob, urls: tuple[str, ...], request: Mapping[str, object], *, webhook: bool
    ) -> None:
        """Remember a new job, its URLs and the body it came with."""
        query = """INSERT INTO jobs (id, route, account, kind, total, created_at, status, completed, failed,
                       credits_used, price, completed_at, request, webhook_done)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
        with self._transaction():
            self._db.execute(query, (*_job_values(job), json.dumps(request), not webhook))
            self._db.executemany(
                "INSERT INTO rows (job, place, url, status) VALUES (?, ?, ?, 'PENDING')",
                [(job.id, place, url) for place, url in enumerate(urls)],
            )

    def job(self, job_id: str) -> jobs.EmulatedJob | None:
        """The job of that id."""
        return next(self._jobs("SELECT * FROM states WHERE id = ?", job_id), None)

    def all_jobs(self) -> list[jobs.EmulatedJob]:
        """Every job, oldest first."""
        return list(self._jobs("SELECT * FROM states ORDER BY seq"))

    def open_jobs(self) -> list[jobs.EmulatedJob]:
        """The jobs that are not terminal, oldest first."""
        return list(self._jobs("SELECT * FROM states WHERE status IN ('PENDING', 'PROCESSING') ORDER BY seq"))

    def job_request(self, job_id: str) -> dict[str, object]:
        """The body the job was submitted with."""
        row = self._db.execute("SELECT request FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return dict(json.loads(row[0]))

    def save_job(self, job: jobs.EmulatedJob) -> None:
        """Write the job's state."""
        self._db.execute(
            """UPDATE jobs SET status = ?, completed = ?, failed = ?, credits_used = ?, completed_at = ?
               WHERE id = ?""",
            (job.status.value, job.completed, job.failed, job.credits_used, job.completed_at, job.id),
        )

    # Rows

    def start_row(self, job_id: str, index: int) -> None:
        """The row is being fetched."""
        self._db.execute("UPDATE rows SET status = 'PROCESSING' WHERE job = ? AND place = ?", (job_id, index))

    def finish_row(self, job: jobs.EmulatedJob, row: jobs.EmulatedRow) -> None:
        """Write a finished row, the job as it is with that row counted, and the bill: all or nothing."""
        with self._transaction():
            self._db.execute(
                "UPDATE rows SET status = ?, credits = ?, payload = ?, error = ? WHERE job = ? AND place = ?",
                (row.status.value, row.credits, _dump(row.payload), _dump(row.error), job.id, row.index),
            )
            self.save_job(job)
            self.spend(job.account, row.credits)

    def rows(
        self, job_id: str, *, offset: int = 0, limit: int = -1, finished_only: bool = False
    ) -> list[jobs.EmulatedRow]:
        """Rows of a job in the order submitted; `limit` -1 for all."""
        query = """SELECT place, url, status, credits, payload, error FROM rows
                   WHERE job = ? AND (NOT ? OR status IN ('SUCCEEDED', 'FAILED'))
                   ORDER BY place LIMIT ? OFFSET ?"""
        return [_row(found) for found in self._db.execute(query, (job_id, finished_only, limit, offset))]

    def open_rows(self, job_id: str) -> list[tuple[int, str]]:
        """Index and URL of the rows that are not finished."""
        query = """SELECT place, url FROM rows
                   WHERE job = ? AND status IN ('PENDING', 'PROCESSING') ORDER BY place"""
        return [(int(place), str(url)) for place, url in self._db.execute(query, (job_id,))]

    # Webhooks

    def undelivered(self) -> list[tuple[jobs.EmulatedJob, int]]:
        """Ended jobs whose webhook is still to be delivered, with the deliveries tried so far."""
        query = """SELECT * FROM states WHERE webhook_done = 0 AND status NOT IN ('PENDING', 'PROCESSING')
                   ORDER BY seq"""
        return [(_job(found), int(found[_ATTEMPTS])) for found in self._db.execute(query).fetchall()]

    def record_delivery(self, job_id: str, *, attempts: int, done: bool) -> None:
        """Note a delivery that was tried."""
        query = "UPDATE jobs SET webhook_attempts = ?, webhook_done = ? WHERE id = ?"
        self._db.execute(query, (attempts, done, job_id))

    # Pages

    def remember_page(self, url: str, host: str, title: str, text: str) -> None:
        """Let `/search` find this page; the newest copy of a URL counts."""
        with self._transaction():
            self._db.execute("DELETE FROM pages WHERE rowid = (SELECT page FROM page_ids WHERE url = ?)", (url,))
            added = self._db.execute("INSERT INTO pages VALUES (?, ?, ?, ?)", (url, host, title, text))
            self._db.execute("INSERT OR REPLACE INTO page_ids VALUES (?, ?)", (url, added.lastrowid))
            cut = ((added.lastrowid or 0) - KEPT_PAGES,)
            self._db.execute("DELETE FROM pages WHERE rowid <= ?", cut)
            self._db.execute("DELETE FROM page_ids WHERE page <= ?", cut)

    def search_pages(self, words: list[str], *, limit: int, host: str | None = None) -> list[FoundPage]:
        """The pages that hold a word that begins like one of `words`, best first (BM25)."""
        if not words:
            return []
        query = """SELECT url, title, snippet(pages, 3, '', '', ' ... ', 24) FROM pages
                   WHERE pages MATCH ? AND (? IS NULL OR host = ? OR host LIKE '%.' || ?) ORDER BY rank LIMIT ?"""
        match = " OR ".join('"' + word.replace('"', '""') + '"*' for word in words)
        return [FoundPage(*found) for found in self._db.execute(query, (match, host, host, host, limit))]

    def _jobs(self, query: str, *values: object) -> Iterator[jobs.EmulatedJob]:
        return map(_job, self._db.execute(query, values).fetchall())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _prepare(self, *, durable: bool) -> None:
        if durable:
            # One process only, and no data lost when it is killed: the log is written with every commit.
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("BEGIN IMMEDIATE")
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        self._db.execute("COMMIT")
        if version == 0:
            self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")
        elif version != _SCHEMA_VERSION:
            raise ValueError(f"the emulator's data has version {version}; this is version {_SCHEMA_VERSION}")


# Place of `webhook_attempts` in the view `states`.
_ATTEMPTS: Final = 13


def _location(data_dir: Path | None) -> str:
    if data_dir is None:
        return ":memory:"
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / _FILE_NAME
    # Submitted headers may hold cookies, so the file is the owner's alone.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    return str(path)


def _job_values(job: jobs.EmulatedJob) -> tuple[object, ...]:
    fixed = (job.id, job.route, job.account, job.kind.value, job.total, job.created_at)
    counted = (job.status.value, job.completed, job.failed, job.credits_used, job.price, job.completed_at)
    return (*fixed, *counted)


def _job(found: tuple[Any, ...]) -> jobs.EmulatedJob:
    job_id, route, account, kind, total, created_at, status, completed, failed, used, price, completed_at, *_ = found
    return jobs.EmulatedJob(
        id=job_id,
        route=route,
        account=account,
        kind=JobKind(kind),
        total=total,
        created_at=created_at,
        status=JobStatus(status),
        completed=completed,
        failed=failed,
        credits_used=used,
        price=price,
        completed_at=completed_at,
    )


def _row(found: tuple[int, str, str, int, str | None, str | None]) -> jobs.EmulatedRow:
    place, url, status, cost, payload, error = found
    loaded = json.loads(payload) if payload else {}
    return jobs.EmulatedRow(place, url, RowStatus(status), cost, loaded, json.loads(error) if error else None)


def _dump(value: Mapping[str, object] | None) -> str | None:
    return json.dumps(value) if value else None
