"""``thunderbit-dagster plan``: the figures before a backfill, and nothing is sent."""

import json
import re

import pytest
from click.testing import CliRunner
from crawl_world import Line, new_instance, resource

from thunderbit_dagster.cli import main
from thunderbit_dagster.cli.crawls import load_crawls

FILE = """
import dagster as dg
from thunderbit_dagster import Crawl, Distill, ParquetStore, ThunderbitResource, UrlFile, build_crawl_definitions

docs = Crawl(
    name="docs",
    urls={{"a": {a!r}, "b": {b!r}, "c": UrlFile({missing!r})}},
    request=Distill(summary=True),
    batch_size=2,
    max_partitions_per_run=2,
    {crawl_options}
)
news = Crawl(
    name="news",
    urls={{"x": {a!r}, "y": {b!r}}},
    request=Distill(),
    cadence=dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-11"),
)
flat = Crawl(name="flat", urls={a!r}, request=Distill())
defs = build_crawl_definitions(
    [docs, news, flat],
    thunderbit=ThunderbitResource(
        api_key=dg.EnvVar("PLANNED_KEY"), base_url={base_url!r}, requests_per_minute=100, {resource_options}
    ),
    store=ParquetStore({data!r}),
)
"""


@pytest.fixture
def place(tmp_path, pages, spoiled, monkeypatch):
    """A definitions file with three crawls, the account behind it, and the command."""
    return Place(tmp_path, pages, spoiled(), monkeypatch)


class Place:
    def __init__(self, root, pages, emulator, monkeypatch):
        self.root, self.emulator, self.monkeypatch = root, emulator, monkeypatch
        self.a, self.b = pages.urls(3), pages.urls(2)
        self.file = root / "definitions.py"
        self.home = root / "dagster"
        self.listed_a = [*self.a, self.a[0] + "#again", "nonsense"]
        monkeypatch.setenv("PLANNED_KEY", emulator.api_key)
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
        monkeypatch.chdir(root)
        self.declare()

    def declare(self, crawl_options="", resource_options=""):
        text = FILE.format(
            a=self.listed_a,
            b=self.b,
            missing=str(self.root / "no_such_file.txt"),
            base_url=self.emulator.base_url,
            data=str(self.root / "parquet"),
            crawl_options=crawl_options,
            resource_options=resource_options,
        )
        self.file.write_text(text)

    def run(self, *arguments):
        before = len(self.emulator.requests)
        result = CliRunner().invoke(main, ["plan", "-f", str(self.file), *arguments], catch_exceptions=False)
        assert len(self.emulator.requests) == before, "the plan sent a request"
        return result

    def figures(self, *arguments):
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def with_dagster(self):
        """The line of the crawl `docs` in the instance that DAGSTER_HOME names."""
        self.home.mkdir(exist_ok=True)
        self.monkeypatch.setenv("DAGSTER_HOME", str(self.home))
        crawls = load_crawls(self.file)
        instance = new_instance(self.home)
        (self.home / "dagster.yaml").touch()
        return Line(instance, self.emulator, self.root, crawls, resource(self.emulator))


def test_urls_jobs_credits_and_runs_of_some_partitions(place):
    found = place.figures("--crawl", "docs", "--partitions", "b,a")
    assert list(found["partitions"]) == ["a", "b"]
    assert found["partitions"]["a"] == {
        "listed": 5,
        "repeated": 1,
        "refused": 1,
        "in_open_jobs": 0,
        "reply_unknown": 0,
        "to_send": 3,
    }
    assert found["urls"]["to_send"] == 5
    assert found["batch_jobs"] == 3  # 5 URLs in jobs of 2, filled across the partitions of one run
    assert found["credits"] == {
        "per_url_at_most": 5,
        "at_most": 25,
        "known_at_most": 25,
        "not_paid_again": 0,
        "used_today": 0,
    }
    assert found["unread"] == {}
    assert found["dagster_runs"] == {"submit": 1, "collect_at_least": 1}
    requests = found["requests"]
    assert (requests["submits"], requests["page_reads"]) == (3, 3)
    assert requests["status_polls"] >= 3
    assert requests["all"] == 6 + requests["status_polls"]
    assert found["seconds"] > 0
    assert found["caps"] == []


def test_the_figures_are_what_the_backfill_then_does(place):
    expected = place.figures("--crawl", "docs", "--partitions", "a,b")
    docs = place.with_dagster()
    docs.submit("a", "b")
    docs.until_jobs_end()
    assert len(docs.jobs) == expected["batch_jobs"]
    assert sum(len(job) for job in docs.sent()) == expected["urls"]["to_send"]
    docs.tick_and_launch()
    assert place.emulator.credits_left >= 1_000_000 - expected["credits"]["at_most"]


def test_a_source_that_cannot_be_read_is_named_and_the_rest_is_planned(place):
    found = place.figures("--crawl", "docs", "--all")
    assert found["urls"]["to_send"] == 5
    assert any("no_such_file.txt" in text for text in found["warnings"])
    assert found["dagster_runs"]["submit"] == 2
    assert found["unread"] == {"could not be read": ["c"]}
    assert found["partitions"]["c"] is None
    assert (found["credits"]["at_most"], found["credits"]["known_at_most"]) == (None, 25)


def test_dates_and_ranges_of_two_dimensions(place):
    found = place.figures("--crawl", "news", "--from", "2026-01-02|x", "--to", "2026-01-04|y")
    assert list(found["partitions"]) == [f"2026-01-0{day}|{key}" for day in (2, 3, 4) for key in "xy"]
    assert found["credits"]["at_most"] == 5  # a page that the dates of one run share is paid once
    assert len(place.figures("--crawl", "news", "--all")["partitions"]) == 20


def test_a_crawl_without_partitions_needs_none(place):
    assert place.figures("--crawl", "flat")["urls"]["to_send"] == 3


def test_time_depends_on_the_assumptions(place):
    slow = place.figures("--crawl", "flat", "--seconds-per-page", "100")
    assert slow["seconds"] == 300
    assert slow["assumed"]["concurrent_jobs"] == 10  # of the plan with 100 requests a minute
    one_by_one = place.figures(
        "--crawl", "docs", "--partitions", "a,b", "--seconds-per-page", "100", "--concurrent-jobs", "1"
    )
    assert one_by_one["seconds"] == 500


def test_open_jobs_are_not_paid_again_and_collected_ones_are(place):
    docs = place.with_dagster()
    place.emulator.hold_pages()
    docs.submit("a")
    found = place.figures("--crawl", "docs", "--partitions", "a,b")
    assert found["partitions"]["a"]["in_open_jobs"] == 3
    assert found["partitions"]["a"]["to_send"] == 0
    assert (found["credits"]["at_most"], found["credits"]["not_paid_again"]) == (10, 15)
    assert found["credits"]["used_today"] == 15
    place.emulator.release()
    docs.until_jobs_end()
    docs.tick_and_launch()
    assert place.figures("--crawl", "docs", "--partitions", "a")["credits"]["not_paid_again"] == 0


def test_without_dagster_it_says_what_it_does_not_know(place):
    assert any("DAGSTER_HOME" in text for text in place.figures("--crawl", "flat")["warnings"])
    place.with_dagster()
    assert not any("DAGSTER_HOME" in text for text in place.figures("--crawl", "flat")["warnings"])


def test_caps_say_what_they_will_stop(place):
    place.declare("max_credits_per_partition=10", "max_credits_per_run=12, max_credits_per_day=15")
    partition, run, day = place.figures("--crawl", "docs", "--partitions", "a,b")["caps"]
    assert "max_credits_per_partition=10 stops 1 partition(s)" in partition
    assert partition.endswith(": a")
    assert "max_credits_per_run=12 stops 1 run(s); about 2 more" in run  # 25 credits, 10 a run
    assert "max_credits_per_day=15 leaves 15 today" in day
    assert "about 1 more day(s)" in day


def test_the_tables_say_it_for_people(place):
    result = place.run("--crawl", "docs", "--all")
    assert result.exit_code == 0, result.output
    for text in (
        "Crawl docs: URLs",
        "batch jobs",
        "25 at most",
        "2 to submit",
        "1 partition(s) whose URLs could not be read",
        "all known",
        "Nothing was sent.",
    ):
        assert text in result.stdout
    assert place.emulator.api_key not in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "the file declares docs, flat, news"),
        (("--crawl", "dosc"), "There is no crawl 'dosc'"),
        (("--crawl", "docs"), "Say which partitions"),
        (("--crawl", "docs", "--all", "--partitions", "a"), "Say which partitions"),
        (("--crawl", "docs", "--partitions", "a,z"), "has no partition 'z'; it has 3, from 'a' to 'c'"),
        (("--crawl", "flat", "--partitions", "a"), "has no partitions"),
    ],
)
def test_wrong_questions_are_answered_with_what_there_is(place, arguments, words):
    result = place.run(*arguments)
    assert result.exit_code == 2
    assert words in re.sub(r"[\s│]+", " ", result.output)


def test_a_key_that_is_not_set_is_named(place, monkeypatch):
    monkeypatch.delenv("PLANNED_KEY")
    result = place.run("--crawl", "flat")
    assert result.exit_code == 1
    assert "PLANNED_KEY" in result.output
