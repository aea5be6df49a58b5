"""The two checks of ``thunderbit-dagster doctor`` that ask nothing of the API: the store, and Dagster."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import dagster as dg
import obstore
from obstore.exceptions import BaseError

from thunderbit_dagster.cli.doctor.checks import Finding, failed, ok, warning
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.jobs.open_jobs import KnownJob, open_jobs, wipe_warning
from thunderbit_dagster.storage import credentials
from thunderbit_dagster.storage.errors import PublishError, StorageError, first_line
from thunderbit_dagster.storage.store import ParquetStore
from thunderbit_dagster.storage.uri import to_path
from thunderbit_dagster.storage.writer import what_to_do

SENSOR_DAEMON: Final = "SENSOR"


def check_storage(store: ParquetStore) -> Finding:
    """Publish an empty partition twice, read it back, and remove it."""
    crawl = f"thunderbit_doctor_{secrets.token_hex(4)}"
    existed = not store.base_uri.startswith("file:") or to_path(store.base_uri).exists()
    try:
        for _ in range(2):
            with store.open_partition(crawl, {}) as writer:
                published = writer.commit({})
        consistent = store.pair(crawl, {}).consistent
    except PublishError as error:
        # Its own text is about a partition that people have; of an object store's error only a part is to be shown.
        said = error.__context__ or error
        seen = f"cannot write to {store.base_uri}: {credentials.reason(store.base_uri, said)}"
        return failed("storage", seen, _storage_advice(store, said))
    except (StorageError, OSError) as error:
        seen = str(error) if isinstance(error, StorageError) else first_line(error)
        return failed("storage", seen, _storage_advice(store, error))
    finally:
        left = _remove(store, crawl, existed=existed)
    if not consistent:
        advice = "Use a store that gives back at once what was written, as file systems and S3, GCS and Azure do."
        return failed("storage", f"what was written to {store.base_uri} is not what is read", advice)
    size = published.succeeded.size_bytes + published.failed.size_bytes
    seen = f"wrote, replaced and read two tables of {size:,} bytes in {store.base_uri}"
    if left:
        return warning("storage", f"{seen}; {left}", f"Remove {store.base_uri}/{crawl}. Crawls never remove anything.")
    return ok("storage", f"{seen}, and removed them")


def _storage_advice(store: ParquetStore, error: BaseException) -> str:
    if store.base_uri.startswith("file:"):
        return f"{what_to_do(store.base_uri, error)}, or set THUNDERBIT_DATA_URI to another place."
    return "Check the bucket's name and region, and the credentials in this environment; reading and writing is needed."


def _remove(store: ParquetStore, crawl: str, *, existed: bool) -> str:
    """Take away what the check wrote; why it could not, or an empty text."""
    try:
        if store.base_uri.startswith("file:"):
            _remove_folder(to_path(store.base_uri), crawl, existed=existed)
        else:
            keys = [store.uri(crawl, table, {}) for table in ("succeeded", "failed")]
            place = obstore.store.from_url(store.base_uri)
            obstore.delete(place, [key.removeprefix(f"{store.base_uri}/") for key in keys])
    except (BaseError, StorageError, OSError) as error:
        return f"they could not be removed: {first_line(error)}"
    return ""


def _remove_folder(root: Path, crawl: str, *, existed: bool) -> None:
    if (root / crawl).exists():
        shutil.rmtree(root / crawl)
    if not existed:
        # Something else may have come meanwhile.
        with suppress(OSError):
            root.rmdir()


def check_dagster(home: Path, crawls: Sequence[Crawl] = ()) -> Finding:
    """Open the Dagster instance of a folder, read its runs and open jobs, and look for the daemon."""
    named = bool(os.environ.get("DAGSTER_HOME"))
    if not home.is_dir() and not named:
        advice = "Set DAGSTER_HOME, or start `thunderbit-dagster dev`: without an instance Dagster forgets open jobs."
        return warning("dagster", f"DAGSTER_HOME is not set, and there is no instance in {home}", advice)
    if not home.is_dir():
        return failed("dagster", f"DAGSTER_HOME is {home}, which is no folder", "Make it, or set another.")
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            instance.get_runs(limit=1)
            alive = instance.get_daemon_statuses([SENSOR_DAEMON])[SENSOR_DAEMON].healthy
            jobs = open_jobs(instance, crawls, time.time())
    except Exception as error:  # noqa: BLE001 - storages are plugins, each with errors of its own
        advice = "Check dagster.yaml and its database; after an upgrade of Dagster, run `dagster instance migrate`."
        return failed("dagster", f"the instance in {home} does not open: {_words(error)}", advice)
    if not alive:
        advice = "Start `dagster dev`, or `dagster-daemon run` in production: jobs are collected by the sensor."
        return warning(
            "dagster", f"the instance in {home} answers{_count(jobs)}, but no sensor daemon is running", advice
        )
    seen = f"the instance in {home} answers{_count(jobs)}, and its sensor daemon is running"
    return ok("dagster", seen, wipe_warning(jobs) or "")


def _count(jobs: Sequence[KnownJob]) -> str:
    return f", {len(jobs):,} batch job(s) are open" if jobs else ""


def _words(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
