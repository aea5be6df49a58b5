"""An object store that is overloaded, slow, or refuses: a real S3 server behind a proxy that makes it so."""

from __future__ import annotations

import base64
import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib import metadata

import httpx
import loopback_s3
import pytest
from loopback_s3 import BUCKET, times
from packaging.version import Version
from storage_rows import GUIDES, publish, versions

from thunderbit_dagster.storage import objects
from thunderbit_dagster.storage.errors import PublishError, StorageError, UnknownSchemeError
from thunderbit_dagster.storage.store import ParquetStore

TAKES_BACK = Version(metadata.version("obstore")) >= Version("0.12")
"""Whether obstore can abort an upload of which a part has failed; else it stays, unseen by readers."""
READS = 8
_names = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with loopback_s3.s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture
def proxy(server):
    with loopback_s3.proxy(server) as proxy:
        yield proxy


@pytest.fixture
def store(proxy, monkeypatch):
    """A prefix of its own, with short patience; reached through the proxy."""
    for name, value in loopback_s3.environment(proxy.url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(objects, "MAX_RETRIES", 3)
    monkeypatch.setattr(objects, "RETRY_TIMEOUT", timedelta(seconds=3))
    return ParquetStore(f"s3://{BUCKET}/store-{next(_names)}")


def writes(asked):
    return asked.method in ("PUT", "POST")


def reads(asked):
    return asked.method in ("GET", "HEAD")


def long_text(megabytes):
    """Text that compresses to three quarters."""
    return base64.b64encode(os.urandom(megabytes * 768 * 1024)).decode()


def unfinished_uploads(server):
    return httpx.get(f"{server}/{BUCKET}?uploads", trust_env=False).text.count("<Upload>")


def test_an_overloaded_store_is_asked_again_until_the_partition_is_published(store, proxy):
    proxy.fault = times(2, 503, writes)
    publish(store, "new")
    assert len(proxy.refused) == 2
    assert versions(store, "succeeded") == ({"snew"}, 3)
    assert store.pair("docs", GUIDES).consistent


def test_a_store_that_stays_overloaded_is_given_up_in_time_and_the_old_partition_stays(store, proxy):
    publish(store, "old")
    proxy.fault = lambda asked: 503 if writes(asked) else None
    began = time.monotonic()
    with pytest.raises(PublishError, match="readers see what they saw before") as caught:
        publish(store, "new")
    assert time.monotonic() - began < objects.RETRY_TIMEOUT.total_seconds() + 2
    assert "Check that the storage can be reached" in str(caught.value)
    proxy.fault = times(0, 503, writes)
    assert versions(store, "succeeded") == ({"sold"}, 3)
    assert versions(store, "failed") == ({"sold"}, 2)
    assert store.pair("docs", GUIDES).submission_id == "sold"


def test_a_store_that_fails_between_the_two_tables_leaves_each_whole_and_the_next_commit_repairs_them(store, proxy):
    publish(store, "old")
    proxy.fault = lambda asked: 503 if writes(asked) and "/succeeded/" in asked.path else None
    with pytest.raises(PublishError, match="failed table is already new"):
        publish(store, "new")
    proxy.fault = times(0, 503, writes)
    assert not store.pair("docs", GUIDES).consistent
    assert (versions(store, "succeeded")[0], versions(store, "failed")[0]) == ({"sold"}, {"snew"})
    publish(store, "newer")
    assert store.pair("docs", GUIDES).submission_id == "snewer"


def test_the_key_of_the_hour_that_comes_twice_comes_back_from_its_object(store):
    hours = [{"date": f"2026-10-25-02:00{offset}", "urls": "guides"} for offset in ("", "+0100")]
    for number, hour in enumerate(hours):
        publish(store, str(number), dimensions=hour)
    assert sorted(store.partitions("docs", "failed"), key=lambda hour: hour["date"]) == hours
    assert [versions(store, "succeeded", hour)[0] for hour in hours] == [{"s0"}, {"s1"}]
    rows = store.scan("docs", "succeeded").to_table(columns=["date"])
    assert set(rows["date"].to_pylist()) == {hour["date"] for hour in hours}


def test_a_slow_store_is_waited_for(store, proxy):
    def late(_):
        time.sleep(0.1)

    proxy.fault = late
    publish(store, "new")
    assert versions(store, "failed") == ({"snew"}, 2)


def test_a_store_that_denies_is_not_asked_again_and_nothing_secret_is_said(store, proxy):
    publish(store, "old")
    proxy.asked.clear()
    proxy.fault = lambda asked: 403 if writes(asked) else None
    with pytest.raises(PublishError, match="Check the credentials") as caught:
        publish(store, "new")
    assert len(proxy.refused) == 1
    assert "hush" not in str(caught.value)
    assert "no credentials were found" not in str(caught.value)
    assert caught.value.__cause__ is None
    proxy.fault = times(0, 403, writes)
    assert versions(store, "succeeded") == ({"sold"}, 3)
    proxy.fault = lambda asked: 403 if reads(asked) else None
    with pytest.raises(StorageError, match="Could not read s3://") as caught:
        store.read("docs", "succeeded", GUIDES)
    assert "hush" not in str(caught.value)


def test_a_part_of_a_large_upload_that_fails_once_is_sent_again(store, proxy):
    proxy.fault = times(1, 503, lambda asked: "partNumber=2" in asked.query)
    publish(store, "new", ok=4, markdown=long_text(5))
    assert len(proxy.refused) == 1
    assert versions(store, "succeeded") == ({"snew"}, 4)


def test_a_large_upload_of_which_a_part_fails_is_taken_back_and_its_table_stays_the_old_one(store, proxy, server):
    publish(store, "old")
    proxy.fault = lambda asked: 503 if "partNumber=2" in asked.query else None
    with pytest.raises(PublishError, match="its succeeded table is still the old one"):
        publish(store, "new", ok=4, markdown=long_text(5))
    assert versions(store, "succeeded") == ({"sold"}, 3)
    assert not store.pair("docs", GUIDES).consistent
    if TAKES_BACK:
        assert any(asked.method == "DELETE" and "uploadId" in asked.query for asked in proxy.asked)
    assert unfinished_uploads(server) == (0 if TAKES_BACK else 1)


def test_an_overloaded_store_is_read_again_and_given_up_in_time(store, proxy):
    publish(store, "new")
    proxy.fault = times(2, 503, reads)
    assert versions(store, "succeeded") == ({"snew"}, 3)
    proxy.fault = lambda asked: 503 if reads(asked) else None
    with pytest.raises(StorageError, match="Could not read s3://") as caught:
        store.read("docs", "succeeded", GUIDES)
    assert "hush" not in str(caught.value)


def test_readers_of_a_store_that_fails_now_and_then_see_whole_versions(store, proxy):
    publish(store, "0")
    counted = itertools.count(1)
    proxy.fault = lambda _: 503 if next(counted) % 7 == 0 else None
    seen = []

    def write(*numbers):
        for number in numbers:
            publish(store, str(number), ok=number % 5, bad=number % 3)

    with ThreadPoolExecutor(1) as pool:
        for number in range(1, 2 * READS, 2):
            # A reader tries three times, so a table may be replaced twice meanwhile.
            written = pool.submit(write, number, number + 1)
            table = store.read("docs", "succeeded", GUIDES)
            seen.append((set(table["submission_id"].to_pylist()), table.num_rows))
            written.result()
    assert len(seen) == READS
    for version, rows in seen:
        assert len(version) <= 1
        assert rows == (3 if version == {"s0"} else int(next(iter(version), "s0")[1:]) % 5)
    assert proxy.refused


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/p?region=eu-west-1",
        "gs://bucket/p#part",
        "az://account:hush@container/p",
        "s3a://bucket/p",
        "abfss://container/p",
        "https://bucket.s3.amazonaws.com/p",
        "s3:/bucket/p",
        "s3:bucket/p",
    ],
)
def test_options_and_schemes_that_are_not_known_are_refused(uri):
    with pytest.raises(UnknownSchemeError) as caught:
        ParquetStore(uri)
    assert "hush" not in str(caught.value)
    with pytest.raises(TypeError, match="region"):
        ParquetStore("s3://bucket/p", region="eu-west-1")


@pytest.mark.parametrize(
    ("uri", "settings"),
    [
        ("gs://bucket/p", {"GOOGLE_SKIP_SIGNATURE": "true"}),
        ("az://container/p", {"AZURE_STORAGE_ACCOUNT_NAME": "account", "AZURE_STORAGE_ACCOUNT_KEY": "aHVzaA=="}),
    ],
)
def test_other_clouds_are_set_up_from_their_own_environment(uri, settings, monkeypatch):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert (
        ParquetStore(uri).uri("docs", "failed", GUIDES) == f"{uri}/docs/failed/date=2026-11-02/urls=guides/rows.parquet"
    )
