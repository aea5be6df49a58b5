"""A log that the first release wrote, with jobs open, under the code of today.

`logs/first_release.json` holds its records without the account, the addresses and the jobs, and with times counted from
the end. One partition is collected, one is running, one was cut off by lack of credits, and of one the reply was lost.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import dagster as dg
import pytest
from crawl_world import Line, crawl, failure_of, resource

from thunderbit_dagster.emulator import Emulator
from thunderbit_dagster.ledger.records import RECORD_KEY

LOG = Path(__file__).parent / "logs" / "first_release.json"
JOBS = (("collected", 0, 2), ("running", 0, 2), ("running", 2, 3), ("cut_off", 0, 2), ("unknown", 0, 1))
"""The jobs of that time, the last of which nobody recorded."""


def filled(value: object, texts: dict[str, str], now: float) -> object:
    """A record with what was left out of it put in."""
    if isinstance(value, dict):
        return {name: now + item if name == "at" else filled(item, texts, now) for name, item in value.items()}
    if isinstance(value, list):
        return [filled(item, texts, now) for item in value]
    for name, text in texts.items() if isinstance(value, str) else ():
        value = value.replace(f"{{{name}}}", text)
    return value


def replay(instance: dg.DagsterInstance, docs: Line, events: list[dict[str, object]], texts: dict[str, str]) -> None:
    kinds = {"observation": dg.AssetObservation, "materialization": dg.AssetMaterialization}
    for event in events:
        shared = event["asset"].split("/") if "/" in event["asset"] else None
        key = dg.AssetKey(shared) if shared else docs.crawl.key(event["asset"])
        metadata = {RECORD_KEY: dg.MetadataValue.json(filled(event["record"], texts, time.time()))}
        instance.report_runless_asset_event(kinds[event["kind"]](key, partition=event["partition"], metadata=metadata))


@pytest.fixture
def docs(own_instance: dg.DagsterInstance, emulator: Emulator, pages, tmp_path):
    log = json.loads(LOG.read_text())
    lists = filled(log["lists"], {"origin": pages.origin}, 0.0)
    line = Line(own_instance, emulator, tmp_path, [crawl(lists, batch_size=2, name="old")], resource(emulator))
    with line.client() as client:
        jobs = [str(client.submit_distill(lists[name][start:end]).ref) for name, start, end in JOBS]
        account = client.account_fingerprint
    texts = {f"job_{number}": job for number, job in enumerate(jobs)}
    replay(own_instance, line, log["events"], {**texts, "origin": pages.origin, "account": account})
    line.until_jobs_end()
    return line


def test_open_jobs_are_polled_and_collected(docs):
    before = docs.posts
    [run] = docs.tick_and_launch()
    assert run.success
    assert docs.checks(run) == [True]
    wanted = docs.crawl.urls["running"]
    assert docs.urls("succeeded", urls="running") == [*wanted[:3], wanted[4]]
    assert docs.codes(urls="running") == [("REJECTED", "INVALID_INPUT", "permanent")]
    assert docs.published() == {"collected", "running"}
    assert docs.posts == before


def test_what_was_not_sent_is_sent_and_nothing_that_was_paid_is_sent_again(docs):
    before = docs.posts
    assert docs.submit("cut_off").success
    assert docs.posts == before + 1
    docs.until_jobs_end()
    runs = docs.tick_and_launch()
    assert [run.success for run in runs] == [True] * len(runs)
    assert docs.urls("succeeded", urls="cut_off") == docs.crawl.urls["cut_off"]


def test_a_submit_without_an_answer_stays_in_doubt(docs):
    before = docs.posts
    _, reasons = failure_of(docs.submit("unknown"))
    assert "no known answer" in reasons["unknown"]
    assert docs.posts == before
