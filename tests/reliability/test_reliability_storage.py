"""A store that refuses: the run says so, readers keep what they had, and the same run again works and pays nothing."""

from __future__ import annotations

import errno
import json
import random
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from crawl_world import failure_of, one_partition
from kill_child import CHILD_ENVIRONMENT

from thunderbit_dagster.storage import writer
from thunderbit_dagster.storage.local import StagedFile

FREE_SPACE = "Free space on the disk"
WRITES = [1, 2, 4]
"""Of the first: the head of a file. Later ones: a row group, a footer."""


def crawl_twice(line, pages):
    """A crawl that was published once and whose second jobs have ended."""
    docs = line(one_partition(lambda: urls))
    urls = pages.urls(2)
    docs.through()
    before = urls
    urls = pages.urls(3)
    assert docs.submit().success
    docs.until_jobs_end()
    return docs, before, urls


def assert_old_rows_until_it_works(docs, before, urls, tmp_path, mend):
    """The failed run left everything as it was; mended, the sensor's next try publishes, and nothing is sent."""
    assert docs.urls("succeeded") == before
    assert docs.store.pair(docs.crawl.name, {"urls": "all"}).consistent
    assert not list(tmp_path.rglob("*.part"))
    posts = docs.posts
    mend()
    [run] = docs.tick_and_launch()
    assert run.success
    assert docs.urls("succeeded") == urls
    assert docs.checks(run) == [True]
    assert docs.posts == posts
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("rows_at_once", [1, 5_000], ids=["while rows come", "at the end"])
@pytest.mark.parametrize("nth", WRITES)
def test_a_disk_that_is_full_at_any_write_fails_the_partition_and_nothing_else(
    *, line, pages, tmp_path, monkeypatch, nth, rows_at_once
):
    docs, before, urls = crawl_twice(line, pages)
    monkeypatch.setattr(writer, "MAX_GROUP_ROWS", rows_at_once)
    write, written = StagedFile.write, []

    def full(file, data):
        written.append(len(data))
        if len(written) >= nth:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    with mock.patch.object(StagedFile, "write", full):
        [run] = docs.tick_and_launch()
    assert not run.success
    _, reasons = failure_of(run)
    assert FREE_SPACE in reasons["all"]
    assert "readers see what they saw before" in reasons["all"]
    assert_old_rows_until_it_works(docs, before, urls, tmp_path, lambda: None)


def test_a_directory_that_cannot_be_written_to_fails_the_partition_and_nothing_else(line, pages, tmp_path):
    docs, before, urls = crawl_twice(line, pages)
    staging = tmp_path / "data" / docs.crawl.name / "_staging"
    staging.rmdir()
    staging.write_text("a file where a directory should be")
    [run] = docs.tick_and_launch()
    assert not run.success
    description, _ = failure_of(run)
    assert "Could not write" in description
    assert "materialize the partition again" in description
    assert_old_rows_until_it_works(docs, before, urls, tmp_path, staging.unlink)


def test_a_rename_that_is_refused_half_way_is_named_and_the_next_run_repairs_the_pair(line, pages, tmp_path):
    docs, before, urls = crawl_twice(line, pages)
    publish, published = StagedFile.publish, []

    def refused(file):
        published.append(file)
        if len(published) == 2:
            raise OSError(errno.EACCES, "Permission denied")
        publish(file)

    with mock.patch.object(StagedFile, "publish", refused):
        [run] = docs.tick_and_launch()
    _, reasons = failure_of(run)
    assert "Its failed table is already new and its succeeded table is still the old one" in reasons["all"]
    assert docs.urls("succeeded") == before
    assert not docs.store.pair(docs.crawl.name, {"urls": "all"}).consistent
    assert not list(tmp_path.rglob("*.part"))
    [run] = docs.tick_and_launch()
    assert run.success
    assert docs.urls("succeeded") == urls
    assert docs.store.pair(docs.crawl.name, {"urls": "all"}).consistent


@pytest.mark.skipif(sys.platform == "win32", reason="resource limits")
def test_a_file_that_outgrows_the_disk_fails_cleanly_and_is_written_once_there_is_room(emulator, pages, tmp_path):
    """The limit is the kernel's own, on the size of files."""
    draw = random.Random(7)
    words = " ".join(f"{draw.getrandbits(64):016x}" for _ in range(100_000))
    url = pages.page(f"<html><title>Long</title><body><main><h1>Long</h1><p>{words}</p></main></body></html>")
    wish = {
        "root": str(tmp_path),
        "base_url": emulator.base_url,
        "api_key": emulator.api_key,
        "lists": {"a": [url], "b": [], "c": []},
        "limit": 700_000,
        "published": False,
    }
    command = [sys.executable, str(Path(__file__).with_name("full_disk_child.py")), json.dumps(wish)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=CHILD_ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["submitted"]
    assert "Could not write" in said["failure"]
    assert said["left"] == []
    assert said["again"]
    assert said["collected"]
    assert said["now"] == [url]
