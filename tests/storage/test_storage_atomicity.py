import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from obstore.exceptions import PermissionDeniedError, PreconditionError
from storage_rows import GUIDES, failed, publish, succeeded, versions

from thunderbit_dagster.storage import local as local_module
from thunderbit_dagster.storage.errors import PublishError, StorageError
from thunderbit_dagster.storage.local import StagedFile
from thunderbit_dagster.storage.objects import ObjectFile, Upload
from thunderbit_dagster.storage.store import READ_ATTEMPTS, ParquetStore

HERE = Path(__file__).parent


def child(script, *arguments, **options):
    command = [sys.executable, str(HERE / script), *arguments]
    return subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def staged(tmp_path):
    return list(tmp_path.rglob("*.part"))


def test_an_exception_leaves_the_old_partition_and_nothing_else(store, tmp_path):
    publish(store, "old")
    with pytest.raises(ZeroDivisionError):  # noqa: PT012, SIM117  # the block is the subject
        with store.open_partition("docs", GUIDES, flush_bytes=1) as writer:
            writer.write_succeeded(succeeded(0, "new", markdown="x" * 20_000_000))
            writer.write_failed(failed(1 // 0))
    assert versions(store, "succeeded") == ({"sold"}, 3)
    assert versions(store, "failed") == ({"sold"}, 2)
    assert staged(tmp_path) == []


def test_leaving_without_commit_publishes_nothing(store, tmp_path):
    with store.open_partition("docs", GUIDES, flush_bytes=1) as writer:
        writer.write_succeeded(succeeded(0))
    assert store.partitions("docs", "succeeded") == store.partitions("docs", "failed") == []
    assert staged(tmp_path) == []


def test_a_commit_replaces_the_whole_pair(store):
    publish(store, "old", ok=9, bad=9)
    publish(store, "new", ok=1, bad=0)
    assert versions(store, "succeeded") == ({"snew"}, 1)
    assert versions(store, "failed") == (set(), 0)
    pair = store.pair("docs", GUIDES)
    assert pair.consistent
    assert pair.submission_id == "snew"


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize(
    ("point", "new_tables", "left"),
    [
        ("buffered", (), 2),
        ("flushed", (), 2),
        ("mid-write", (), 2),
        ("one-sealed", (), 2),
        ("both-sealed", (), 2),
        ("between", ("failed",), 1),
        ("published", ("failed", "succeeded"), 0),
    ],
)
def test_kill_9_leaves_old_or_new_and_the_next_writer_cleans_up(local, tmp_path, point, new_tables, left):
    publish(local, "old")
    process = child("crash_child.py", local.base_uri, point)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == -9, errors
    expected = {
        table: (({"snew"}, new) if table in new_tables else ({"sold"}, old))
        for table, new, old in (("succeeded", 7, 3), ("failed", 6, 2))
    }
    assert {table: versions(local, table) for table in expected} == expected
    assert local.pair("docs", GUIDES).consistent == (len(new_tables) != 1)
    for table, (_, count) in expected.items():
        root = tmp_path / "data" / "docs" / table
        assert ds.dataset(root, partitioning="hive").count_rows() == count
    assert len(staged(tmp_path)) == left
    publish(local, "next", ok=1, bad=1)
    assert staged(tmp_path) == []
    assert local.pair("docs", GUIDES).submission_id == "snext"


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_readers_beside_a_writer_that_is_killed_see_whole_versions(local):
    process = child("loop_child.py", local.base_uri)
    seen = set()
    for _ in range(60):
        newest = int(process.stdout.readline())
        rows = local.read("docs", "succeeded", GUIDES, ["submission_id"])["submission_id"].to_pylist()
        version = {int(text[1:]) for text in rows} or {0}
        assert len(version) == 1
        number = version.pop()
        assert len(rows) == number % 40
        assert number == 0 or number >= newest
        seen.add(number)
    process.kill()
    process.communicate(timeout=30)
    assert len(seen) > 3
    footer = local.footer("docs", "succeeded", GUIDES)
    assert footer.num_rows == int(footer.metadata["succeeded_rows"]) == versions(local, "succeeded")[1]


def test_readers_beside_a_writer_see_whole_versions_in_an_object_store():
    store = ParquetStore("memory://beside")
    publish(store, "1", ok=1)
    stop = threading.Event()

    def replace():
        number = 1
        while not stop.is_set():
            number = number % 30 + 1
            publish(store, str(number), ok=number, markdown="x" * 100 * number)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        outcomes = [whole_version(store) for _ in range(80)]
    finally:
        stop.set()
        thread.join()
    assert outcomes.count("read") > 10
    assert versions(store, "succeeded")


def whole_version(store):
    try:
        found, count = versions(store, "succeeded")
    except StorageError as error:
        # Replaced three times while it was read: said, and never a mixture.
        assert "precondition" in str(error)  # noqa: PT017
        return "refused"
    assert found == {f"s{count}"}
    return "read"


def test_an_opened_object_never_mixes_two_versions():
    store = ParquetStore("memory://pinned")
    publish(store, "1", ok=30)
    key = "docs/succeeded/date=2026-11-02/urls=guides/rows.parquet"
    with store._backend.filesystem.open_input_file(key) as file:
        assert file.read(4) == b"PAR1"
        publish(store, "2", ok=30)
        with pytest.raises(PreconditionError):
            file.read(4)


@pytest.mark.parametrize("times", [1, READ_ATTEMPTS - 1, READ_ATTEMPTS])
def test_an_object_that_is_replaced_while_it_is_read_is_read_again(monkeypatch, times):
    store = ParquetStore(f"memory://replaced-{times}")
    publish(store, "old")
    opened, left = ObjectFile.__init__, list(range(times))

    def open_and_replace(file, *place):
        opened(file, *place)
        if left:
            publish(store, f"new{left.pop()}")

    monkeypatch.setattr(ObjectFile, "__init__", open_and_replace)
    if times == READ_ATTEMPTS:
        with pytest.raises(StorageError, match=r"Could not read .*precondition"):
            versions(store, "succeeded")
    else:
        assert versions(store, "succeeded") == ({"snew0"}, 3)


def test_data_is_on_the_disk_before_it_is_visible_and_the_name_after(local, monkeypatch):
    calls = []
    sync, replace = os.fsync, os.replace

    def record_sync(descriptor):
        calls.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def record_replace(source, target):
        calls.append(Path(target).parts[-4])
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "replace", record_replace)
    publish(local, "1")
    assert calls == ["file", "file", "failed", "directory", "succeeded", "directory"]


def test_a_living_writer_is_not_swept_away(local, tmp_path):
    with local.open_partition("docs", GUIDES) as first:
        first.write_succeeded(succeeded(0, "first"))
        publish(local, "second")
        assert len(staged(tmp_path)) == 2
        first.commit({"submission_id": "sfirst"})
    assert local.pair("docs", GUIDES).submission_id == "sfirst"
    assert staged(tmp_path) == []


def test_a_sweep_between_creation_and_lock_makes_the_writer_start_over(local, monkeypatch):
    real, stolen = local_module._lock, []

    def steal_once(file):
        if not stolen:
            stolen.append(file.name)
            os.unlink(file.name)  # noqa: PTH108
        return real(file)

    monkeypatch.setattr(local_module, "_lock", steal_once)
    publish(local, "1")
    assert stolen
    assert local.pair("docs", GUIDES).consistent


@pytest.fixture
def only_half(monkeypatch):
    """The second of the two publishing steps is refused."""

    def refuse_second(sink):
        real, published = sink.publish, []

        def publish_once(self):
            if published:
                raise OSError(errno.EIO, "Input/output error")
            published.append(self)
            real(self)

        monkeypatch.setattr(sink, "publish", publish_once)

    return refuse_second


@pytest.mark.parametrize("sink", [StagedFile, Upload])
@pytest.mark.parametrize("second", ["new", "old"])
def test_a_pair_published_by_half_is_seen_and_said(tmp_path, monkeypatch, only_half, sink, second):
    store = ParquetStore(tmp_path / "data" if sink is StagedFile else f"memory://half-{second}")
    publish(store, "old")
    only_half(sink)
    with pytest.raises(PublishError, match=r"succeeded table of docs .*failed table is already new"):
        publish(store, second)
    monkeypatch.undo()
    pair = store.pair("docs", GUIDES)
    assert not pair.consistent
    assert pair.submission_id is None
    assert pair.failed.metadata["submission_id"] == f"s{second}"
    assert versions(store, "succeeded") == ({"sold"}, 3)
    publish(store, "again")
    assert store.pair("docs", GUIDES).submission_id == "sagain"


@pytest.mark.skipif(sys.platform == "win32", reason="resource limits")
def test_a_disk_that_takes_no_more_is_reported_and_the_old_partition_stays(local, tmp_path):
    process = child("full_child.py", local.base_uri)
    message, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    for part in ("succeeded table of docs (date=2026-11-02, urls=guides)", "File too large", "is intact"):
        assert part in message
    assert versions(local, "succeeded") == ({"sold"}, 3)
    assert staged(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "Free space"), (errno.EROFS, "write permission"), (errno.EIO, "can be reached")],
)
def test_a_refusal_at_the_sync_says_what_to_do(local, tmp_path, monkeypatch, number, advice):
    publish(local, "old")

    def refuse(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(PublishError, match=advice) as caught:
        publish(local, "new")
    assert os.strerror(number) in str(caught.value)
    assert "intact" in str(caught.value)
    assert versions(local, "succeeded") == ({"sold"}, 3)
    assert staged(tmp_path) == []


def test_a_directory_that_cannot_be_made_is_reported_at_the_opening(local, tmp_path):
    (tmp_path / "data").write_text("a file, where the directory should be")
    with pytest.raises(PublishError, match="failed table of docs"):
        local.open_partition("docs", GUIDES)


def test_a_refused_upload_is_reported_without_signatures(monkeypatch):
    store = ParquetStore("memory://refused")
    publish(store, "old")

    def refuse(_):
        raise PermissionDeniedError("Denied https://x.example/c/rows?sig=hush&se=2026.\n\nDebug source: hush")

    monkeypatch.setattr(Upload, "publish", refuse)
    with pytest.raises(PublishError, match="Check the credentials") as caught:
        publish(store, "new")
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert versions(store, "succeeded") == ({"sold"}, 3)


def test_a_file_that_is_no_parquet_is_named(local):
    publish(local, "1")
    uri = local.uri("docs", "failed", GUIDES)
    Path(uri.removeprefix("file://")).write_bytes(b"not parquet")
    for read in (local.footer, local.read):
        with pytest.raises(StorageError, match="Could not read") as caught:
            read("docs", "failed", GUIDES)
        assert uri in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="resource usage")
def test_memory_stays_far_below_what_is_written(local):
    process = child("memory_child.py", local.base_uri)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    growth, rows = map(int, output.split())
    assert rows == 3_000
    assert growth < 150_000_000
