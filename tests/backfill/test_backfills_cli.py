"""``thunderbit-dagster backfill``: which partitions it takes, that it asks, and what it launches."""

import json
import re
import runpy

import dagster as dg
import pytest
from click.testing import CliRunner
from crawl_world import Line, new_emulator, new_instance, resource

from thunderbit_dagster.cli import main
from thunderbit_dagster.cli.crawls import load_crawls

FILE = """
from datetime import datetime, timezone
from pathlib import Path

import dagster as dg
from thunderbit_dagster import (
    AssetColumn, Crawl, Distill, DynamicUrls, ParquetStore, ThunderbitResource, UrlFile,
    build_crawl_definitions,
)

def listed(partition):
    return Path({root!r}, partition.urls).read_text().split()

news = Crawl(
    name="news",
    urls={{"x": listed, "y": listed}},
    request=Distill(),
    cadence=dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-11"),
)
flat = Crawl(name="flat", urls={flat!r}, request=Distill())
customers = Crawl(name="customers", urls=DynamicUrls("customers", lambda partition: []), request=Distill())
future = Crawl(name="future", urls=[], request=Distill(), cadence=dg.DailyPartitionsDefinition("2099-01-01"))
archive = Crawl(
    name="archive",
    urls={flat!r},
    request=Distill(),
    cadence=news.cadence,
    past_dates=datetime.now(timezone.utc) - datetime(2026, 1, 6, 12, tzinfo=timezone.utc),
)
lost = Crawl(
    name="lost",
    urls=UrlFile("nowhere.txt"),
    request=Distill(),
    cadence=dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-31"),
)
feed = Crawl(name="feed", urls={{"a": AssetColumn("items"), "b": AssetColumn("items", "other")}}, request=Distill())


@dg.asset
def items() -> dict:
    return {{"url": {flat!r}, "other": [{flat!r}[0] + "?other"]}}


defs = dg.Definitions.merge(
    build_crawl_definitions(
        [news, flat, feed, customers, future, archive, lost],
        thunderbit=ThunderbitResource(api_key={key!r}, base_url={base_url!r}, requests_per_minute=1000),
        store=ParquetStore({data!r}),
    ),
    dg.Definitions(assets=[items]),
)
"""


class Place:
    def __init__(self, root, pages, emulator, monkeypatch):
        self.root, self.emulator = root, emulator
        self.lists = {"x": pages.urls(2), "y": pages.urls(3)}
        self.list("x")
        self.list("y")
        self.file, home = root / "definitions.py", root / "dagster"
        values = {"root": str(root), "flat": pages.urls(1), "data": str(root / "data")}
        self.file.write_text(FILE.format(key=emulator.api_key, base_url=emulator.base_url, **values))
        home.mkdir()
        (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        monkeypatch.chdir(root)

        self.docs = Line(new_instance(home), emulator, root, load_crawls(self.file), resource(emulator))

    def list(self, name, *, there=True):
        (self.root / name).write_text("\n".join(self.lists[name])) if there else (self.root / name).unlink()

    def run(self, *arguments, command="backfill", **options):
        return CliRunner().invoke(main, [command, *arguments, "-f", str(self.file)], **options)

    def planned(self, *arguments):
        """The partitions that the same options choose for `plan`."""
        told = self.run("--crawl", "news", *arguments, "--json", command="plan", catch_exceptions=False)
        assert told.exit_code == 0, told.output
        return list(json.loads(told.stdout)["partitions"])


@pytest.fixture
def place(tmp_path, pages, monkeypatch):
    with new_emulator(pages) as emulator:
        yield Place(tmp_path, pages, emulator, monkeypatch)


def test_it_shows_the_plan_asks_and_runs_in_the_instance_of_dagster_home(place):
    sparse = "2026-01-0[13579]|y,2026-01-02|x...2026-01-03|x"
    asked = place.run("news", "--partitions", sparse, input="n\n")
    assert asked.exit_code == 1
    assert "7 partition(s), for at most 5 credits" in asked.output  # a page that dates share is paid once in a run
    assert place.emulator.jobs == []
    told = place.run("news", "--partitions", sparse, "--yes", catch_exceptions=False)
    assert told.exit_code == 0, told.output
    assert "Run 1 of 1: news_backfill, 7 partition(s)" in told.output
    expected = {f"2026-01-0{day}|y" for day in (1, 3, 5, 7, 9)} | {f"2026-01-0{day}|x" for day in (2, 3)}
    assert place.docs.published("submissions") == expected
    assert [run.job_name for run in place.docs.instance.get_runs()] == ["news_backfill"]
    place.docs.until_jobs_end()
    assert len(place.docs.tick_and_launch()) == 1
    assert place.docs.published() == expected


def test_credits_that_only_the_run_can_know_are_not_told_as_none(place):
    asked = place.run("feed", "--all", input="n\n")
    assert "for at most 0 credits, and 2 partition(s) whose URLs only the run can read? [y/N]" in asked.output
    place.list("y", there=False)
    mixed = place.run("news", "--partitions", "2026-01-02|*", input="n\n")
    assert "for at most 2 credits, and 1 partition(s) whose URLs could not be read? [y/N]" in mixed.output
    assert place.emulator.jobs == []


def test_the_plan_names_partitions_that_only_the_run_can_read(place):
    told = place.run("--crawl", "feed", "--all", "--json", command="plan", catch_exceptions=False)
    found = json.loads(told.stdout)
    assert found["unread"] == {"only the run can read": ["a", "b"]}
    assert found["partitions"] == {"a": None, "b": None}
    assert found["credits"]["at_most"] is None
    table = place.run("--crawl", "feed", "--all", command="plan", catch_exceptions=False).stdout
    assert "2 partition(s) whose URLs only the run can read" in table
    assert "?" in table


def test_missing_and_failed_are_those_and_no_others(place):
    place.list("y", there=False)
    place.docs.run("news_submit", "2026-01-01|x", "2026-01-03|y")
    place.list("y")
    failed = [f"2026-01-0{day}|y" for day in (1, 2, 3)]
    assert place.planned("--failed") == failed
    everything = [f"2026-01-{day:02d}|{name}" for day in range(1, 11) for name in "xy"]
    on_their_way = {f"2026-01-0{day}|x" for day in (1, 2, 3)}
    missing = [key for key in everything if key not in on_their_way]
    assert place.planned("--missing") == missing
    place.docs.until_jobs_end()
    place.docs.tick_and_launch()
    assert place.planned("--missing") == missing
    before = place.docs.metadata("failed", "2026-01-01|x")
    assert place.docs.run("news_submit", *failed[:1]).success
    assert place.planned("--failed") == failed[1:]
    assert place.docs.run("news_submit", failed[1]).success
    assert place.docs.run("news_submit", failed[2]).success
    assert place.planned("--failed") == []
    place.docs.until_jobs_end()
    place.docs.tick_and_launch()
    assert place.docs.published() == on_their_way | set(failed)
    assert place.docs.metadata("failed", "2026-01-01|x") == before


def test_every_nth_date_of_a_range(place):
    chosen = place.planned("--from", "2026-01-02|x", "--to", "2026-01-09|y", "--every", "3")
    assert chosen == [f"2026-01-0{day}|{name}" for day in (2, 5, 8) for name in "xy"]
    assert place.planned("--every", "9", "--from", "2026-01-01|x") == [
        f"2026-01-{day:02d}|{name}" for day in (1, 10) for name in "xy"
    ]


@pytest.mark.slow
def test_a_failed_run_ends_the_command_with_its_failure(place):
    place.list("x", there=False)
    told = place.run("news", "--partitions", "2026-01-01|*", "--yes")
    assert told.exit_code == 1
    assert "news_backfill failed" in told.output
    assert place.docs.published("submissions") == {"2026-01-01|y"}


@pytest.mark.slow
def test_urls_of_an_upstream_asset_are_loaded_through_the_code_location(place):
    definitions = runpy.run_path(str(place.file))
    dg.materialize([definitions["items"]], instance=place.docs.instance)
    told = place.run("feed", "--all", "--yes", catch_exceptions=False)
    assert told.exit_code == 0, told.output
    [sent] = place.docs.sent()
    assert len(sent) == 2
    assert sent[1] == sent[0] + "?other"


def test_dates_that_are_refused_are_left_out_and_counted(place):
    asked = place.run("archive", "--all", input="n\n")
    note = "5 partition(s) are older than `past_dates` allows, and nothing is sent for them. 2026-01-01: "
    assert note in " ".join(asked.output.split())
    assert "Submit 5 partition(s), for at most 1 credits? [y/N]" in asked.output
    told = place.run("archive", "--partitions", "2026-01-0[1-5]", "--yes")
    assert "None of these partitions can be fetched: nothing to do." in told.output
    assert told.exit_code == 0
    assert place.docs.instance.get_runs_count() == 0
    done = place.run("archive", "--missing", "--yes", catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert place.docs.instance.get_materialized_partitions(dg.AssetKey(["archive", "submissions"])) == {
        f"2026-01-{day:02d}" for day in range(6, 11)
    }


def test_a_long_list_of_problems_is_cut(place):
    told = place.run("--crawl", "lost", "--all", command="plan", catch_exceptions=False)
    said = " ".join(told.stdout.split())
    assert said.count("Note: 2026-01-") == 20
    assert "Note: ... 10 more of this kind" in said


def test_a_webserver_that_does_not_answer_is_named_and_nothing_is_sent(place):
    told = place.run("flat", "--yes", "--url", "http://127.0.0.1:1")
    assert told.exit_code == 1
    assert "http://127.0.0.1:1 did not launch flat_submit" in told.output
    assert place.emulator.jobs == []


def test_nothing_to_do_is_said(place):
    assert "nothing to do" in place.run("news", "--failed").output


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("customers", "no key was added to its dynamic partitions 'customers'"),
        ("future", "no date of its cadence is complete"),
    ],
)
def test_a_crawl_that_has_no_partition_yet_says_why(place, name, reason):
    for way in ("--all", "--missing", "--failed"):
        told = place.run(name, way)
        assert told.exit_code == 0, told.output
        assert f"The crawl {name} has no partition yet: {reason}." in told.output
        assert "nothing to do" in told.output
    named = place.run(name, "--partitions", "x")
    assert named.exit_code == 2
    assert f"{reason}." in named.output
    planned = place.run("--crawl", name, "--all", "--json", command="plan")
    assert reason in planned.stderr
    assert json.loads(planned.stdout)["partitions"] == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Name one as the first argument; the file declares archive, customers, feed, flat, future, lost, news"),
        (("nws",), "There is no crawl 'nws'"),
        (("news",), "Say which partitions"),
        (("news", "--all", "--failed"), "Say which partitions"),
        (("news", "--partitions", "2027-*"), "The crawl news has no partition '2027-*'; it has 20"),
        (("news", "--from", "2026-01-12|x"), "has no partition '2026-01-12|x'"),
        (("flat", "--partitions", "x"), "has no partitions"),
    ],
)
def test_wrong_questions_are_answered_with_what_there_is(place, arguments, words):
    told = place.run(*arguments)
    assert told.exit_code == 2
    assert words in re.sub(r"\s+", " ", re.sub("[│╭╰─╮╯]", " ", told.output))
