"""kill -9 at every named point of a crawl: afterwards nothing is lost, doubled, broken or paid again."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pyarrow.dataset as ds
import pytest
from crash_points import POINTS
from crawl_world import new_emulator
from kill_child import CHILD_ENVIRONMENT, KEYS, NAME, UNDECIDED, declare, open_instance

from thunderbit_dagster.api.budget import MemoryBudget
from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.api.models import JobRef
from thunderbit_dagster.ledger.event_log import LedgerReader
from thunderbit_dagster.ledger.notifications import WEBHOOKS_KEY
from thunderbit_dagster.ledger.records import Notified, from_metadata, to_metadata
from thunderbit_dagster.storage.store import ParquetStore

SEED = 20261123
ROUNDS_A_POINT = int(os.environ.get("RELIABILITY_ROUNDS", "1"))
"""36 points; with three rounds each the whole takes a quarter of an hour of processor time."""
HERE = Path(__file__).parent
SUCCEEDED, FAILED = "succeeded", "failed"


def rounds() -> list[tuple[str, int]]:
    draw = random.Random(SEED)
    return [(point, 1 if "cursor" in point else draw.randint(1, 3)) for point in POINTS for _ in range(ROUNDS_A_POINT)]


class Zygote:
    """A process that has imported everything and forks one that crawls for each wish."""

    def __init__(self, log: Path) -> None:
        self._log = log.open("w")
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "kill_child.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=CHILD_ENVIRONMENT,
        )

    def crawl(self, **wish: object) -> int:
        """The exit code of a forked process; negative is the number of the signal that ended it."""
        self._process.stdin.write(json.dumps({"again": False, "crash_at": "", "policy": "wait", **wish}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._log.close()


@dataclass
class Scene:
    """An account, and a crawl that was published once, from which every round begins."""

    zygote: Zygote
    emulator: object
    template: Path
    old: dict[str, list[str]]
    new: dict[str, list[str]]

    def wish(self, root: Path) -> dict[str, object]:
        return {"root": str(root), "base_url": self.emulator.base_url, "api_key": self.emulator.api_key}


@pytest.fixture(scope="module")
def scene(pages, tmp_path_factory, _own_budget):
    folder = tmp_path_factory.mktemp("killed")
    zygote = Zygote(folder / "stderr")
    old = {key: [*pages.urls(2), *pages.urls(1, "missing")] for key in KEYS}
    new = {key: [*pages.urls(2), *pages.urls(1, "missing")] for key in KEYS}
    with new_emulator(pages) as emulator:
        scene = Scene(zygote, emulator, folder / "template", old, new)
        try:
            assert zygote.crawl(lists=old, **scene.wish(scene.template)) == 0, (folder / "stderr").read_text()
            yield scene
        finally:
            zygote.close()


def rows_of(store: ParquetStore, key: str) -> dict[str, list[dict[str, object]]]:
    return {table: store.read(NAME, table, {"urls": key}).to_pylist() for table in (SUCCEEDED, FAILED)}


def check_readers_see_whole_tables(root: Path, scene: Scene) -> None:
    """Each table of each partition is all old or all new, also for readers that walk the directory."""
    store = ParquetStore(root / "data")
    for key in KEYS:
        for table, rows in rows_of(store, key).items():
            urls = {row["url"] for row in rows}
            expected = [
                {url for url in lists[key] if ("/missing/" in url) is (table == FAILED)}
                for lists in (scene.old, scene.new)
            ]
            assert urls in expected
    for table in (SUCCEEDED, FAILED):
        folder = root / "data" / NAME / table
        assert {path.name for path in folder.rglob("*") if path.is_file()} == {"rows.parquet"}
        assert ds.dataset(folder, partitioning="hive").to_table().num_rows == (6 if table == SUCCEEDED else 3)


def check_both_assets_tell_of_the_same_submission(root: Path) -> None:
    """Dagster holds both tables of each partition materialized, from one collection."""
    with open_instance(root) as instance:
        newest = {table: newest_collected(instance, table) for table in (SUCCEEDED, FAILED)}
    assert newest[SUCCEEDED] == newest[FAILED]
    assert set(newest[FAILED]) == set(KEYS)


def newest_collected(instance: dg.DagsterInstance, table: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for event in instance.fetch_materializations(dg.AssetKey([NAME, table]), limit=100).records:
        record = from_metadata(event.asset_materialization.metadata)
        found.setdefault(event.asset_materialization.partition, record.submission_id)
    return found


def jobs_with_urls(scene: Scene, since: int) -> dict[str, tuple[object, list[str]]]:
    budget = MemoryBudget(1_000_000)
    with ThunderbitClient(scene.emulator.api_key, base_url=scene.emulator.base_url, budget=budget) as client:
        return {
            job.id: (job, [row.url for row in client.iter_rows(JobRef(job.kind, job.id))])
            for job in scene.emulator.jobs[since:]
        }


def tell_of_orphans(instance: dg.DagsterInstance, reader: LedgerReader, scene: Scene, since: int) -> None:
    """What the webhooks of jobs say whose submit has no known answer."""
    jobs = jobs_with_urls(scene, since)
    posts = {post.intent.intent_id: post for s in reader.submissions(KEYS).values() for post in s.orphans}
    for post in posts.values():
        for job, urls in jobs.values():
            if any(item.url in urls for item in post.intent.items):
                call = Notified(
                    job=f"{job.kind.value}/{job.id}",
                    status="COMPLETED",
                    intent_id=post.intent.intent_id,
                    at=time.time(),
                )
                instance.report_runless_asset_event(dg.AssetObservation(WEBHOOKS_KEY, metadata=to_metadata(call)))


def find_the_dead(root: Path) -> None:
    """As Dagster does: a submit run whose process is gone has failed. The sensor finds dead collect runs itself."""
    with open_instance(root) as instance:
        for run in instance.get_runs():
            if not run.is_finished and run.job_name.endswith("_submit"):
                instance.report_run_failed(run)


def recover(scene: Scene, root: Path, since: int) -> None:
    """Run again; a submit in doubt is named by its webhook, and sent again only when there is no job of it."""
    find_the_dead(root)
    code = scene.zygote.crawl(lists=scene.new, **scene.wish(root))
    if code == UNDECIDED:
        with open_instance(root) as instance:
            tell_of_orphans(instance, LedgerReader(instance, declare(scene.new)), scene, since)
        code = scene.zygote.crawl(lists=scene.new, **scene.wish(root))
    if code == UNDECIDED:
        code = scene.zygote.crawl(lists=scene.new, policy="resubmit", **scene.wish(root))
    assert code == 0


def kill_and_recover(scene: Scene, root: Path, point: str, nth: int) -> None:
    shutil.copytree(scene.template, root)
    since = len(scene.emulator.jobs)
    code = scene.zygote.crawl(lists=scene.new, crash_at=f"{point}:{nth}", **scene.wish(root))
    assert code == -signal.SIGKILL, f"{point}, time {nth}: it ended with {code}"
    check_readers_see_whole_tables(root, scene)
    recover(scene, root, since)
    store = ParquetStore(root / "data")
    for key in KEYS:
        rows = rows_of(store, key)
        assert Counter(row["url"] for table in rows.values() for row in table) == Counter(scene.new[key])
        assert {row["position"] for table in rows.values() for row in table} == {0, 1, 2}
        assert store.pair(NAME, {"urls": key}).consistent
    check_readers_see_whole_tables(root, scene)
    check_both_assets_tell_of_the_same_submission(root)
    paid = Counter(url for _, urls in jobs_with_urls(scene, since).values() for url in urls)
    assert paid == Counter(url for urls in scene.new.values() for url in urls), f"{point}, time {nth}: paid again"
    assert not list(root.rglob("*.part"))
    shutil.rmtree(root)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_it_ends_in_the_same_rows_and_pays_nothing_again(scene, tmp_path, point):
    for number, (name, nth) in enumerate(rounds()):
        if name == point:
            kill_and_recover(scene, tmp_path / f"round-{number}", point, nth)
