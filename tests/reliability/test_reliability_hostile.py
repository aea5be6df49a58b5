"""Promise 12: no answer holds a run hostage; what can be read is published, one unreadable row costs one row."""

from __future__ import annotations

import gzip
import itertools
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import dagster as dg
import pytest
from crawl_world import QUIET
from hostile_api import JOB, Asked, HostileApi, as_json, bomb, send, trickle
from typing_extensions import Self

from thunderbit_dagster import Crawl, Distill, ParquetStore, ThunderbitResource, build_crawl_definitions
from thunderbit_dagster import resource as resource_module
from thunderbit_dagster.collection import asset, collect
from thunderbit_dagster.collection.wait import Waiter
from thunderbit_dagster.runs.partitions import range_tags

URLS = [f"https://example.com/{number}" for number in range(30)]
POISON = 23
"""The row that spoils its page."""
SECONDS, MEGABYTES = 60.0, 300
SILENCE = 0.5


@dataclass(frozen=True)
class Kind:
    """What the API answers, and how many rows can be published at all."""

    answer: Callable[[Asked, socket.socket], None]
    good: int = len(URLS)
    silence: float = 5.0


def proper(asked: Asked, to: socket.socket) -> None:
    send(to, as_json(asked.job()))


def once(strange: Callable[[Asked, socket.socket], None], times: int = 2) -> Callable[[Asked, socket.socket], None]:
    """The strange answer to the first requests, then proper ones."""
    return lambda asked, to: strange(asked, to) if asked.number < times else proper(asked, to)


def row_by_row(strange: Callable[[Asked, socket.socket], None]) -> Callable[[Asked, socket.socket], None]:
    """The strange answer wherever the poisonous row is in the page."""

    def answer(asked: Asked, to: socket.socket) -> None:
        spoilt = any(row["index"] == POISON for row in asked.rows) and asked.size > 1
        spoilt = spoilt or (asked.size == 1 and asked.page == POISON)
        (strange if spoilt else proper)(asked, to)

    return answer


def with_rows(change: Callable[[list[dict[str, object]]], object], **fields: object):
    return lambda asked, to: send(to, as_json(asked.job(change(asked.rows), **fields)))


def with_row(**changed: object):
    """The poisonous row with other fields."""
    return with_rows(lambda rows: [{**row, **changed} if row["index"] == POISON else row for row in rows])


def replaced_row(value: object):
    return with_rows(lambda rows: [value if row["index"] == POISON else row for row in rows])


def text(change: Callable[[str], str | bytes]):
    """The proper answer as text, changed."""

    def answer(asked: Asked, to: socket.socket) -> None:
        changed = change(json.dumps(asked.job()))
        send(to, changed if isinstance(changed, bytes) else changed.encode())

    return answer


def endless_rows(asked: Asked, to: socket.socket) -> None:
    if asked.page == 0:
        return send(to, as_json(asked.job(total=1_000_000)))
    foreign = [
        {"url": f"https://example.org/{asked.page}/{n}", "status": "SUCCEEDED", "markdown": "x"} for n in range(100)
    ]
    return send(to, as_json(asked.job(foreign, total=1_000_000)))


def endless_chunks(asked: Asked, to: socket.socket) -> None:
    del asked
    to.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    trickle(to, itertools.repeat(b"10000\r\n" + b" " * 65_536 + b"\r\n"), 0.0)


def reset(asked: Asked, to: socket.socket) -> None:
    body = as_json(asked.job())
    to.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[: len(body) // 2])
    to.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def slowly(asked: Asked, to: socket.socket, *, headers: bool = False) -> None:
    body = as_json(asked.job())
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n".encode()
    if not headers:
        to.sendall(head + b"\r\n")
    trickle(to, (bytes([byte]) for byte in (head if headers else body)), 0.2)


def too_deep(asked: Asked, to: socket.socket) -> None:
    rows = [{**row, "metadata": "@"} if row["index"] == POISON else row for row in asked.rows]
    send(to, as_json(asked.job(rows)).replace(b'"@"', b'{"a":' * 200_000 + b"1" + b"}" * 200_000))


def packed(data: bytes, encoding: str = "gzip"):
    return lambda _asked, to: send(to, data, headers=(f"Content-Encoding: {encoding}",))


def then_processing(asked: Asked, to: socket.socket) -> None:
    send(to, as_json(asked.job(status="COMPLETED" if asked.number == 0 else "PROCESSING")))


KINDS = {
    "rows without end": Kind(endless_rows),
    "the same page for ever": Kind(
        lambda asked, to: send(to, as_json(asked.job(Asked(0, 0, 100, asked.urls).rows, total=9_999)))
    ),
    "one new row a page, for ever": Kind(
        lambda asked, to: send(
            to,
            as_json(
                asked.job([*asked.rows, {"url": f"https://example.org/{asked.page}", "markdown": "x"}], total=10**6)
            ),
        )
    ),
    "a wrong byte in a row": Kind(text(lambda told: told.encode().replace(b"# Page 23", b"# P\xffge 23"))),
    "a wrong byte in a name": Kind(text(lambda told: told.encode().replace(b'"total"', b'"t\xfftal"'))),
    "a gzip bomb": Kind(row_by_row(packed(bomb(400))), good=29),
    "a gzip bomb twice packed": Kind(row_by_row(packed(gzip.compress(bomb(400)), "gzip, gzip")), good=29),
    "packed as nobody asked": Kind(row_by_row(packed(b"\x8b\x00\x80", "br")), good=29),
    "packed wrongly": Kind(row_by_row(packed(b"\x1f\x8b\x08 no")), good=29),
    "a byte order mark": Kind(text(lambda told: b"\xef\xbb\xbf" + told.encode())),
    "UTF-16": Kind(text(lambda told: told.encode("utf-16"))),
    "UTF-32": Kind(text(lambda told: told.encode("utf-32"))),
    "UTF-16 cut within a character": Kind(once(text(lambda told: told.encode("utf-16")[:-1]))),
    "NaN": Kind(text(lambda told: told.replace('"creditsUsed": 30', '"creditsUsed": NaN'))),
    "Infinity": Kind(text(lambda told: told.replace('"index": 23', '"index": Infinity'))),
    "keys twice": Kind(text(lambda told: told.replace('"total": 30', '"total": 7, "total": 30'))),
    "10^40": Kind(with_rows(lambda rows: rows, total=10**40, creditsUsed=10**40, completed=10**40)),
    "an index of 10^40": Kind(with_row(index=10**40)),
    "an index that is text": Kind(row_by_row(with_row(index="@@"))),
    "a literal of 5,000 digits": Kind(
        row_by_row(text(lambda told: told.replace('"index": 23', f'"index": {"9" * 5_000}'))), good=29
    ),
    "numbers as text": Kind(with_rows(lambda rows: [{**row, "index": str(row["index"])} for row in rows], total="30")),
    "lone surrogates": Kind(with_row(markdown="a\ud800b\udc00")),
    "NUL": Kind(with_row(markdown="a\x00b")),
    "nested 200,000 deep": Kind(row_by_row(too_deep), good=29),
    "another job's id": Kind(with_rows(lambda rows: rows, id="batch_ffffffffffffffffffffffff")),
    "no id": Kind(with_rows(lambda rows: rows, id=None)),
    "COMPLETED, then PROCESSING": Kind(then_processing),
    "204": Kind(once(lambda _asked, to: send(to, b"", status="204 No Content"))),
    "202": Kind(once(lambda asked, to: send(to, as_json(asked.job(status="PROCESSING")), status="202 Accepted"))),
    "a redirect": Kind(
        once(lambda _asked, to: send(to, b"", status="302 Found", headers=("Location: http://example.org/",)))
    ),
    "a redirect to itself": Kind(
        once(lambda _asked, to: send(to, b"", status="307 Temporary Redirect", headers=("Location: ?",)))
    ),
    "chunks without end": Kind(row_by_row(endless_chunks), good=29, silence=2.0),
    "a header of 1 MB": Kind(
        once(lambda asked, to: send(to, as_json(asked.job()), headers=(f"X-Long: {'x' * 2**20}",)))
    ),
    "10,000 headers": Kind(once(lambda asked, to: send(to, as_json(asked.job()), headers=("X-Many: x",) * 10_000))),
    "a byte at a time": Kind(row_by_row(slowly), good=29, silence=SILENCE),
    "a byte of a header at a time": Kind(once(partial(slowly, headers=True), 1), silence=SILENCE),
    "cut off": Kind(row_by_row(lambda asked, to: send(to, as_json(asked.job())[:-40], length=10_000)), good=29),
    "JSON cut off": Kind(row_by_row(text(lambda told: told[:-40])), good=29),
    "a reset in the middle": Kind(row_by_row(reset), good=29),
    "HTML of a proxy": Kind(row_by_row(lambda _asked, to: send(to, b"<html><h1>Bad gateway</h1></html>")), good=29),
    "two documents": Kind(row_by_row(text(lambda told: told + told)), good=29),
    "an empty body": Kind(once(lambda _asked, to: send(to, b""))),
    "a list in place of the job": Kind(row_by_row(text(lambda told: f"[{told}]")), good=29),
    "a number in place of the job": Kind(once(lambda _asked, to: send(to, b"7"))),
    "a wrong length": Kind(once(lambda asked, to: send(to, as_json(asked.job()), length="-5"))),
    "an error within a success": Kind(
        once(
            lambda _asked, to: send(
                to, as_json({"success": False, "error": {"code": "INTERNAL_ERROR", "message": "x"}})
            )
        )
    ),
    "null for a row": Kind(replaced_row(None), good=29),
    "a number for a row": Kind(replaced_row(7), good=29),
    "a list for a row": Kind(replaced_row([]), good=29),
    "an object for the text": Kind(with_row(markdown={"text": "x"}), good=29),
    "a list for the text": Kind(with_row(markdown=["x"]), good=29),
    "a number for the text": Kind(with_row(markdown=1e308), good=29),
    "an object for the URL": Kind(with_row(url={"href": "x"}), good=29),
    "a negative index": Kind(with_row(index=-1)),
    "one index for all": Kind(with_rows(lambda rows: [{**row, "index": 0} for row in rows])),
    "a status nobody knows": Kind(with_row(status="BAKED"), good=29),
    "a status that is no text": Kind(with_row(status=["SUCCEEDED"])),
    "results as an object": Kind(once(with_rows(lambda _rows: {"0": "x"}))),
    "results of null": Kind(once(with_rows(lambda _rows: "@", results=None))),
    "URLs as they ended": Kind(
        with_rows(lambda rows: [{**row, "url": f"http://example.com/home/{row['index']}"} for row in rows])
    ),
    "20 MB in a row": Kind(with_row(markdown="long " * 4_000_000)),
    "metadata that is text": Kind(with_row(metadata="x", links="y", images=3, highlights={"a": 1})),
}


QUICK = {
    "rows without end",
    "a wrong byte in a row",
    "a gzip bomb",
    "a redirect",
    "cut off",
    "an object for the text",
}
"""The others are slow tests: a second each."""


class PeakMemory:
    """The growth of this process while the block runs, in megabytes."""

    def __enter__(self) -> Self:
        self._over, self._before, self.peak = threading.Event(), _resident(), 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.peak = max(self.peak, _resident() - self._before)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096 / 2**20


@pytest.fixture
def quick(monkeypatch):
    """Pauses between tries take no time; what waits for a job sees its clock go on."""
    slept = [0.0]

    def sleep(seconds: float) -> None:
        slept[0] += seconds

    monkeypatch.setattr(resource_module, "sleep", sleep)
    monkeypatch.setattr(collect, "REREAD_SECONDS", 0.0)
    waiter = partial(Waiter, clock=lambda: time.time() + slept[0], sleep=sleep)
    with mock.patch.object(asset, "Waiter", waiter):
        yield


def crawled(api: HostileApi, root: Path, silence: float, urls: dict[str, list[str]] | None = None, **options: int):
    """Everything in one run: submit, wait, collect."""
    urls = urls or {"all": URLS}
    ends = {} if len(urls) == 1 else range_tags(next(iter(urls)), list(urls)[-1])
    store = ParquetStore(root)
    definitions = build_crawl_definitions(
        [Crawl(name="docs", urls=urls, request=Distill(), **options)],
        thunderbit=ThunderbitResource(
            api_key="tb_" + "0" * 32, base_url=api.base_url, requests_per_minute=10**6, request_timeout=silence
        ),
        store=store,
    )
    assets = [one for one in definitions.assets if isinstance(one, dg.AssetsDefinition)]
    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.materialize(
            assets,
            instance=instance,
            resources=definitions.resources,
            partition_key=None if ends else next(iter(urls)),
            tags=ends,
            run_config=QUIET,
            raise_on_error=False,
        )
        said = [entry.user_message for entry in instance.all_logs(run.run_id)]
        failures = [event.step_failure_data for event in run.all_events if event.event_type_value == "STEP_FAILURE"]
    said += [failure.user_failure_data.description for failure in failures if failure.user_failure_data]
    return run.success, said, store


def bound(api: HostileApi) -> int:
    return 3 + 2 * len(set(api.pages))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in KINDS]
)
def test_good_rows_are_published_in_time_with_few_requests(tmp_path, name):
    kind, began = KINDS[name], time.monotonic()
    with HostileApi(kind.answer).serving() as api, PeakMemory() as memory:
        success, said, store = crawled(api, tmp_path, kind.silence)
    assert success, said[-3:]
    assert time.monotonic() - began < SECONDS
    assert len(api.pages) <= bound(api), api.pages
    assert memory.peak < MEGABYTES
    assert api.posts == 1
    rows = {table: store.read("docs", table, {"urls": "all"}).to_pylist() for table in ("succeeded", "failed")}
    assert sorted(row["url"] for table in rows.values() for row in table) == sorted(URLS)
    assert len(rows["succeeded"]) == kind.good, [
        (row["error_code"], row["error_message"][:200]) for row in rows["failed"]
    ]
    if kind.good < len(URLS):
        [lost] = rows["failed"]
        assert lost["url"] == URLS[POISON]
        assert lost["error_code"] in {"UNREADABLE_ROW", "MISSING_RESULT"}
        assert lost["error_class"] == "job"
        assert lost["retryable"]
        assert len(lost["error_message"]) <= 2_500
        assert any(JOB in text and ("all" in text or URLS[POISON] in text) for text in said)


@pytest.mark.usefixtures("quick")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["HTML", "bomb", "nothing", "silence"])
def test_a_job_of_which_nothing_can_be_read_fails_its_partition_and_says_which(tmp_path, name):
    strange = {
        "HTML": lambda _asked, to: send(to, b"<html>Bad gateway</html>"),
        "bomb": packed(bomb(400)),
        "nothing": lambda _asked, to: to.close(),
        "silence": lambda _asked, to: to.recv(1),
    }[name]
    first = lambda asked, to: (proper if asked.number == 0 else strange)(asked, to)  # noqa: E731
    began = time.monotonic()
    with HostileApi(first).serving() as api, PeakMemory() as memory:
        success, said, _ = crawled(api, tmp_path, SILENCE)
    assert not success
    assert time.monotonic() - began < SECONDS
    assert len(api.pages) <= bound(api) + 3
    assert memory.peak < MEGABYTES
    assert any(JOB in text and "all" in text and "kept" in text for text in said), said[-3:]


@pytest.mark.usefixtures("quick")
def test_a_second_submit_that_is_answered_with_the_first_ones_job_is_a_lost_reply(tmp_path):
    with HostileApi(proper).serving() as api:
        parts = {"a": URLS[:10], "b": URLS[10:20]}
        success, said, store = crawled(api, tmp_path, 5.0, parts, batch_size=10)
    assert not success
    assert api.posts == 2
    assert any(JOB in text and "which is another job" in text and "b:" in text for text in said), said[-3:]
    with HostileApi(proper).serving() as api:
        success, said, store = crawled(api, tmp_path, 5.0, {"a": URLS[:10]})
    assert success
    assert store.read("docs", "succeeded", {"urls": "a"}).num_rows == 10
