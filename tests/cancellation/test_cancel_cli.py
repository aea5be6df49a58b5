"""`thunderbit-dagster jobs`: list, show, watch and cancel, on a real instance and over real HTTP."""

import threading
import time
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from crawl_world import crawl, until
from interrupting import deletes

from thunderbit_dagster.cli.doctor.checks import check_dagster
from thunderbit_dagster.cli.jobs.command import jobs as jobs_command
from thunderbit_dagster.jobs.open_jobs import open_jobs
from thunderbit_dagster.ledger.event_log import LedgerReader

DEFINITIONS = """
from thunderbit_dagster import Crawl, Distill, ParquetStore, ThunderbitResource, build_crawl_definitions

defs = build_crawl_definitions(
    [Crawl(name={name!r}, urls={urls!r}, request=Distill(), batch_size=3)],
    thunderbit=ThunderbitResource(api_key={key}, base_url={api!r}, requests_per_minute=1_000_000),
    store=ParquetStore({data!r}),
)
"""


@pytest.fixture
def docs(line, pages, held, own_instance):
    """A line whose instance is the one of DAGSTER_HOME; no page finishes yet."""
    del held
    return line(crawl({"a": pages.urls(3), "b": pages.urls(3)}, batch_size=3), instance=own_instance)


@pytest.fixture
def run(docs, tmp_path, monkeypatch):
    """Runs a command beside the line's definitions file."""
    home = tmp_path / "dagster"
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")
    file = tmp_path / "site.py"

    def write(key, data):
        values = {"name": docs.crawl.name, "urls": dict(docs.crawl.urls), "data": str(data or tmp_path / "data")}
        file.write_text(dedent(DEFINITIONS).format(key=key, api=docs.emulator.base_url, **values))

    def run(*words, answer=None, key=None, data=None):
        write(key or repr(docs.emulator.api_key), data)
        command, *rest = words
        return CliRunner().invoke(jobs_command, [command, "-f", str(file), *rest], input=answer)

    return run


def name_of(job):
    return f"distill/{job.id}"


def test_list_and_doctor_say_that_wiping_submissions_forgets_the_open_jobs(docs, run, held):
    warned = f"Do not wipe `{docs.crawl.name}/submissions`"
    assert warned not in run("list").output
    docs.submit("a")
    assert warned in run("list").output
    [job] = open_jobs(docs.instance, docs.crawls, time.time())
    looked_at = SimpleNamespace(dagster_home=Path(docs.instance.root_directory), crawls=docs.crawls, tell=str)
    assert "1 batch job(s) are open" in check_dagster(looked_at).seen
    held.release()
    docs.until_jobs_end()
    docs.tick_and_launch()
    assert warned not in run("list", "--all").output
    assert job.watched.job in run("list", "--all").output
    assert "batch job" not in check_dagster(looked_at).seen


def renamed(docs, **changes):
    """The crawl as the definitions declare it by now."""
    docs.crawls = [replace(docs.crawl, **changes)]


def test_jobs_of_a_crawl_with_another_name_are_listed_and_collected_under_the_old_one(docs, run, held):
    old = docs.crawl
    docs.submit("a")
    docs.submit("b")
    renamed(docs, name=f"{old.name}_new")
    held.release()
    docs.until_jobs_end()
    listed = run("list").output
    assert f"no crawl is named {old.name}" in listed
    assert docs.jobs[0].id in listed
    collected = run("collect", docs.jobs[0].id)
    assert collected.exit_code == 0, collected.output
    assert f"{old.name}, a: 3 row(s) succeeded, 0 failed" in collected.output
    assert len(docs.rows("succeeded", old, urls="a")) == 3
    assert docs.jobs[0].id not in run("list").output
    assert docs.jobs[1].id in run("list").output


def test_jobs_of_a_key_that_is_gone_can_be_cancelled_or_collected(docs, run, held):
    docs.submit("a")
    docs.submit("b")
    renamed(docs, urls={"c": docs.crawl.urls["a"][:1]})
    assert "the crawl has no such partition" in run("list").output
    assert run("cancel", "--yes", docs.jobs[0].id).exit_code == 0
    held.release()
    docs.until_jobs_end()
    assert run("collect", docs.jobs[0].id, docs.jobs[1].id).exit_code == 0
    assert [len(docs.rows("succeeded", urls=key)) for key in "ab"] == [0, 3]
    assert "no such partition" not in run("list").output
    assert run("collect", docs.jobs[1].id).exit_code == 1


def test_open_jobs_of_another_store_are_claimed(docs, run, held, tmp_path):
    docs.submit("a")
    docs.root = tmp_path / "moved"
    docs.__post_init__()
    held.release()
    assert not docs.tick_and_launch()
    assert f"it publishes to {(tmp_path / 'data').as_uri()}" in run("list", data=tmp_path / "moved" / "data").output
    claimed = run("claim", docs.crawl.name, data=tmp_path / "moved" / "data")
    assert claimed.exit_code == 0, claimed.output
    [done] = docs.tick_and_launch()
    assert done.success
    assert len(docs.rows("succeeded", urls="a")) == 3


def test_list_shows_open_jobs_with_partition_status_and_rows(docs, run, held):
    assert "No batch job is open" in run("list").output
    docs.submit("a")
    docs.submit("b")
    held.release(1)
    until(lambda: sum(job.completed for job in docs.jobs) == 1)
    listed = run("list")
    assert listed.exit_code == 0
    lines = [text for text in listed.output.splitlines() if "distill/" in text]
    assert [(docs.crawl.name in text, key in text.split()) for text, key in zip(lines, "ab", strict=True)] == [
        (True, True),
        (True, True),
    ]
    assert "SUBMITTED" in lines[0]
    assert "?/3" in lines[0]
    assert "in 0:0" in lines[0]


def test_list_hides_jobs_that_have_ended_unless_asked(docs, run, held):
    held.release()
    docs.through("a")
    assert "No batch job is open" in run("list").output
    listed = run("list", "--all")
    assert "COMPLETED, collected" in listed.output
    assert "3/3" in listed.output


def test_show_tells_the_partitions_and_the_history_of_a_job(docs, run, held):
    held.release()
    docs.through("a")
    shown = run("show", docs.jobs[0].id)
    assert shown.exit_code == 0, shown.output
    events = [text.split()[2] for text in shown.output.splitlines() if text[:2] == "20"]
    assert events == ["intent", "recorded", "sealed", "progress", "collected"]
    assert "a: 3 succeeded, 0 failed" in shown.output
    assert "The API says: COMPLETED, 3 completed, 0 failed of 3, 3 credits used" in shown.output


def test_watch_prints_a_line_for_each_row_and_ends_with_the_job(docs, run, held):
    docs.submit("a")
    releaser = threading.Timer(0.3, held.release)
    releaser.start()
    watched = run("watch", name_of(docs.jobs[0]), "--interval", "0.1")
    releaser.join()
    assert watched.exit_code == 0, watched.output
    for url in docs.crawl.urls["a"]:
        [text] = [text for text in watched.output.splitlines() if url in text.split()]
        assert text.startswith("SUCCEEDED")
        assert text.endswith("characters")
    assert f"{name_of(docs.jobs[0])} is COMPLETED: 3 succeeded; 3 credits used" in watched.output


def test_cancel_asks_first_and_then_stops_the_job_and_tells_the_sensor(docs, run, held):
    docs.submit("a")
    held.release(1)
    until(lambda: docs.jobs[0].completed == 1)
    refused = run("cancel", docs.jobs[0].id, answer="n\n")
    assert refused.exit_code == 1
    assert "Finished pages are billed and kept" in refused.output
    assert deletes(docs) == []
    done = run("cancel", docs.jobs[0].id, answer="y\n")
    assert done.exit_code == 0, done.output
    assert "cancelled; 1 of 3 rows were finished, are billed and are kept" in done.output
    assert deletes(docs) == [docs.jobs[0].id]
    assert LedgerReader(docs.instance, docs.crawl).progress(0.0)[name_of(docs.jobs[0])].status == "CANCELLED"
    [collected] = docs.tick_and_launch()
    assert docs.checks(collected) == [True]
    assert len(docs.rows("succeeded", urls="a")) == 1


def test_cancel_stops_a_partition_or_a_whole_crawl(docs, run):
    docs.submit("a")
    docs.submit("b")
    assert run("cancel", "--crawl", docs.crawl.name, "--partition", "b", "--yes").exit_code == 0
    assert deletes(docs) == [docs.jobs[1].id]
    assert run("cancel", "--crawl", docs.crawl.name, "--yes").exit_code == 0
    assert deletes(docs) == [docs.jobs[1].id, docs.jobs[0].id]
    assert "No batch job is open there" in run("cancel", "--crawl", docs.crawl.name, "--yes").output


def test_a_job_that_nobody_knows_is_named_with_where_to_look(docs, run):
    docs.submit("a")
    for command in ("show", "watch", "cancel"):
        failed = run(command, "batch_nobody")
        assert failed.exit_code == 1
        assert "no job batch_nobody" in failed.output
        assert "jobs list --all" in failed.output


def test_a_missing_key_is_named(docs, run, monkeypatch):
    docs.submit("a")
    monkeypatch.delenv("OWN_KEY", raising=False)
    key = '__import__("dagster").EnvVar("OWN_KEY")'
    assert docs.jobs[0].id in run("list", key=key).output
    failed = run("show", docs.jobs[0].id, key=key)
    assert failed.exit_code == 1
    assert "OWN_KEY" in failed.output
    assert "Traceback" not in failed.output


def test_a_refused_key_is_told_in_the_words_of_the_api(docs, run):
    docs.submit("a")
    failed = run("watch", docs.jobs[0].id, key=repr("tb_" + "0" * 32))
    assert failed.exit_code == 1
    assert "HTTP 401" in failed.output


def test_without_an_instance_the_command_says_where_it_looked(run, monkeypatch, tmp_path):
    monkeypatch.delenv("DAGSTER_HOME")
    failed = run("list", "--dir", str(tmp_path / "nothing"))
    assert failed.exit_code == 1
    assert "There is no Dagster instance" in failed.output
    assert "--dir" in failed.output


def test_a_definitions_file_that_fails_or_declares_nothing_is_named(docs, run, tmp_path, monkeypatch):
    del docs, run
    (tmp_path / "broken.py").write_text("import nothing_of_this_name")
    (tmp_path / "empty.py").write_text("defs = None")
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    broken = CliRunner().invoke(jobs_command, ["list", "-f", str(tmp_path / "broken.py")])
    assert "broken.py cannot be loaded: ModuleNotFoundError" in broken.output
    empty = CliRunner().invoke(jobs_command, ["list", "-f", str(tmp_path / "empty.py")])
    assert "declares no crawl" in empty.output
