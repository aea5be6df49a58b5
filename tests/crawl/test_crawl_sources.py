"""Where URLs come from: a site's sitemap, an upstream asset's column, keys that are added while Dagster runs."""

import gzip
import re
import threading
import time
from contextlib import contextmanager, suppress
from datetime import date
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from logging import WARNING

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from crawl_world import QUIET, crawl, error_text, failure_of

from thunderbit_dagster import AssetColumn, DynamicUrls, Sitemap, UrlFile
from thunderbit_dagster.emulator.site import GROUPS, Site
from thunderbit_dagster.partitions import UNPARTITIONED
from thunderbit_dagster.runs.names import backfill_job_name, submit_set_op
from thunderbit_dagster.runs.partitions import range_tags, set_config
from thunderbit_dagster.urls import UrlSourceError, read_source
from thunderbit_dagster.urls import sitemap as sitemap_module

DAILY = dg.DailyPartitionsDefinition("2026-11-01", end_date="2026-11-05")


@pytest.fixture(scope="module")
def site():
    with Site() as site:
        yield site.base_url


@contextmanager
def served(answers):
    """A server that answers each path with a status, headers and a body; the paths that were asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, headers, body = answers.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def xml(*locs, root="urlset", tag="url"):
    return f"<{root}>{''.join(f'<{tag}><loc>{loc}</loc></{tag}>' for loc in locs)}</{root}>".encode()


# Sitemaps over HTTP


def test_the_pages_of_a_site_are_those_of_its_sitemap_and_of_its_index(site):
    whole = Sitemap(f"{site}/sitemap.xml").read()
    assert len(whole) == len(set(whole)) > 50
    assert sorted(Sitemap(f"{site}/sitemap-index.xml").read()) == sorted(whole)
    guides = Sitemap(f"{site}/sitemap-index.xml", include=["/guides/*"]).read()
    assert guides == [url for url in whole if "/guides/" in url]
    recent = Sitemap(f"{site}/sitemap.xml", since=date(2025, 6, 1)).read()
    assert 0 < len(recent) < len(whole)


def test_a_crawl_reads_its_sitemap_once_a_run_whatever_the_number_of_partitions(line, spoiled):
    with served({}) as (origin, asked), served({}) as (pages, _):
        urls = [f"{pages}/{number}" for number in range(6)]
        answers = {"/sitemap.xml": (200, {}, xml(*urls))}
    with served(answers) as (origin, asked):
        docs = line(crawl(Sitemap(f"{origin}/sitemap.xml"), shards=3, cadence=DAILY), emulator=spoiled())
        assert docs.submit("2026-11-01|shard-0", "2026-11-04|shard-2").success
        assert asked == ["/sitemap.xml"]
    assert sorted(url for job in docs.sent() for url in job) == sorted(urls)


def test_a_crawl_of_the_demo_sites_sitemap_ends_with_its_pages(line, site, spoiled):
    sections = {group: Sitemap(f"{site}/sitemap-{group}.xml.gz") for group in GROUPS[:2]}
    docs = line(crawl(sections), emulator=spoiled(allow_origins=(site,)))
    docs.through()
    for group, sitemap in sections.items():
        assert docs.urls("succeeded", urls=group) == sitemap.read()


def test_an_index_of_the_own_host_is_followed_and_of_no_other_unless_named():
    with served({"/b.xml": (200, {}, xml("http://x.example/b"))}) as (numbered, asked):
        other = numbered.replace("127.0.0.1", "localhost")
        answers = {"/a.xml": (200, {}, gzip.compress(xml("http://x.example/a")))}
        with served(answers) as (origin, _):
            index = xml(f"{origin}/a.xml", f"{other}/b.xml", f"{origin}/index.xml", root="sitemapindex", tag="sitemap")
            answers["/index.xml"] = (200, {"Content-Type": "text/html"}, index)
            with pytest.raises(UrlSourceError, match="localhost; name it in `hosts`"):
                Sitemap(f"{origin}/index.xml").read()
            assert asked == []
            both = Sitemap(f"{origin}/index.xml", hosts=["localhost"]).read()
            assert both == ["http://x.example/a", "http://x.example/b"]


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ((404, {}, b""), "404"),
        ((500, {}, b""), "500"),
        ((302, {"Location": "file:///etc/passwd"}, b""), "file|scheme"),
        ((302, {"Location": "ftp://127.0.0.1/x"}, b""), "ftp|scheme"),
        ((302, {"Location": "http://169.254.169.254/latest"}, b""), "169.254.169.254"),
        ((302, {"Location": "/sitemap.xml"}, b""), "redirects more than"),
        ((200, {}, b"<html></html>"), "<html>"),
        ((200, {}, xml("file:///etc/passwd", root="sitemapindex", tag="sitemap")), "scheme"),
        ((200, {}, xml("a", "b", "c", "d")), "more than 3 pages"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_names_it(answer, word):
    with served({"/sitemap.xml": answer}) as (origin, _):
        url = f"{origin}/sitemap.xml"
        with pytest.raises(UrlSourceError, match=word) as raised:
            Sitemap(url, max_urls=3).read()
    assert url in str(raised.value)


def test_redirects_on_the_own_host_are_followed():
    answers = {"/old.xml": (301, {"Location": "/new.xml"}, b""), "/new.xml": (200, {}, xml("http://x.example/"))}
    with served(answers) as (origin, _):
        assert Sitemap(f"{origin}/old.xml").read() == ["http://x.example/"]


def test_a_file_larger_than_a_sitemap_may_be_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr("thunderbit_dagster.urls.sitemap.MAX_BYTES", 1_000)
    with served({"/sitemap.xml": (200, {}, b" " * 100_000)}) as (origin, _):
        sitemap = Sitemap(f"{origin}/sitemap.xml")
        with pytest.raises(UrlSourceError, match="more than 1,000 bytes"):
            sitemap.read()


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(UrlSourceError, match=r"127\.0\.0\.1:1/sitemap.xml cannot be read"):
        Sitemap("http://127.0.0.1:1/sitemap.xml").read()


def test_a_callable_may_give_a_sitemap_of_its_partition():
    with served({"/guides.xml": (200, {}, xml("http://x.example/g"))}) as (origin, _):
        assert read_source(lambda: Sitemap(f"{origin}/guides.xml"), UNPARTITIONED) == ["http://x.example/g"]


# Columns of upstream assets


def location(docs, *assets):
    """The crawl's definitions together with others of the user's own."""
    return dg.Definitions.merge(docs.definitions, dg.Definitions(assets=list(assets)))


def submit(docs, defs, *keys):
    job = defs.get_repository_def().get_job(f"{docs.crawl.name}_submit")
    return job.execute_in_process(
        instance=docs.instance, partition_key=keys[0] if keys else None, run_config=QUIET, raise_on_error=False
    )


FORMS = {
    "pandas": lambda urls: pd.DataFrame({"link": [*urls, None], "n": range(len(urls) + 1)}),
    "polars": lambda urls: pl.DataFrame({"link": [*urls, None]}),
    "lazy polars": lambda urls: pl.DataFrame({"link": [*urls, None]}).lazy(),
    "pyarrow": lambda urls: pa.table({"link": [*urls, None]}),
    "columns": lambda urls: {"link": [*urls, ""]},
    "rows": lambda urls: [{"link": url, "title": "x"} for url in [*urls, None]],
    "series": lambda urls: pd.Series([*urls, float("nan")]),
    "list": list,
    "tuple": tuple,
}


@pytest.mark.parametrize("form", FORMS)
def test_a_column_is_read_whatever_table_holds_it(form):
    urls = ["http://x.example/1", "http://x.example/2"]
    value = FORMS[form](urls)
    column = AssetColumn("feed/items", "link")
    assert read_source(column, UNPARTITIONED, lambda *_: value) == urls


@pytest.mark.parametrize("form", ["pandas", "polars", "pyarrow", "columns", "rows"])
def test_a_column_that_is_not_there_is_named_with_those_that_are(form):
    with pytest.raises(UrlSourceError, match=r"'url'.*link"):
        read_source(AssetColumn("feed"), UNPARTITIONED, lambda *_: FORMS[form](["http://x.example/"]))


@pytest.mark.parametrize("value", [7, "http://x.example/", None, [1, 2]])
def test_a_value_without_urls_is_refused(value):
    with pytest.raises(UrlSourceError, match=r"int|str|NoneType"):
        read_source(AssetColumn("feed"), UNPARTITIONED, lambda *_: value)


def test_the_submissions_depend_on_the_asset_and_send_its_urls(line, pages):
    urls = pages.urls(3)

    @dg.asset(key=["feeds", "items_a"])
    def items() -> pd.DataFrame:
        return pd.DataFrame({"link": urls})

    docs = line(crawl(AssetColumn("feeds/items_a", "link")))
    defs = location(docs, items)
    graph = defs.resolve_asset_graph()
    assert graph.get(docs.crawl.key("submissions")).parent_keys == {items.key}
    too_early = submit(docs, defs)
    assert "the asset feeds/items_a was never materialized here; materialize it first" in failure_of(too_early)[0]
    assert docs.posts == 0
    dg.materialize([items], instance=docs.instance)
    assert submit(docs, defs).success
    assert docs.sent() == [urls]


def test_of_a_partitioned_asset_the_partition_that_matches_is_read(line, pages):
    by_date = {str(day): pages.urls(1) for day in DAILY.get_partition_keys()}

    @dg.asset(key="items_b", partitions_def=DAILY)
    def items(context: dg.AssetExecutionContext) -> list[str]:
        return by_date[context.partition_key]

    docs = line(crawl({"all": AssetColumn("items_b")}, cadence=DAILY))
    defs = location(docs, items)
    for day in ("2026-11-01", "2026-11-03"):
        dg.materialize([items], instance=docs.instance, partition_key=day)
    assert submit(docs, defs, "2026-11-03|all").success
    assert docs.sent() == [by_date["2026-11-03"]]
    missing = submit(docs, defs, "2026-11-02|all")
    assert "items_b has no partition" in failure_of(missing)[1]["2026-11-02|all"]
    assert docs.posts == 1


def upstream_of(name, partitions_def, pages):
    """An asset that holds a URL of its own for each of its partitions."""
    held = {}

    @dg.asset(key=name, partitions_def=partitions_def)
    def items(context: dg.AssetExecutionContext) -> list[str]:
        return held.setdefault(context.partition_key, pages.urls(1))

    return items, held


HOURLY = dg.HourlyPartitionsDefinition("2026-11-01-00:00", end_offset=1)
WEEKLY = dg.WeeklyPartitionsDefinition("2026-11-01", end_offset=1)
WRITTEN_OTHERWISE = dg.TimeWindowPartitionsDefinition(start="20261101", fmt="%Y%m%d", cron_schedule="0 0 * * *")


@pytest.mark.parametrize(
    "dates",
    [
        (WRITTEN_OTHERWISE, "20261103", DAILY, "2026-11-03"),
        (DAILY, "2026-11-03", HOURLY, "2026-11-03-13:00"),
        (WEEKLY, "2026-11-01", DAILY, "2026-11-03"),
    ],
    ids=["the same day", "an hour of the day", "a day of the week"],
)
@pytest.mark.parametrize("cut", [False, True], ids=["by date", "by date and urls"])
def test_of_an_asset_with_dates_the_one_is_read_that_the_date_lies_in(line, pages, dates, cut):
    upstream, key, cadence, date = dates
    name = f"dated_{date}_{cut}".replace("-", "_").replace(":", "_") + key.replace("-", "")
    items, held = upstream_of(name, upstream, pages)
    column = AssetColumn(name)
    docs = line(crawl({"all": column} if cut else column, cadence=cadence))
    defs, partition = location(docs, items), f"{date}|all" if cut else date
    early = submit(docs, defs, partition)
    assert f"has no partition {key!r}; materialize it first" in failure_of(early)[1][partition]
    dg.materialize([items], instance=docs.instance, partition_key=key)
    assert submit(docs, defs, partition).success
    assert docs.sent() == [held[key]]


@pytest.mark.parametrize(
    "dates",
    [
        (HOURLY, "2026-11-03-13:00", DAILY, "2026-11-03"),
        # The day has the key of the week.
        (DAILY, "2026-11-01", WEEKLY, "2026-11-01"),
    ],
    ids=["hours of a day", "days of a week"],
)
def test_an_asset_with_shorter_dates_is_refused_before_anything_is_paid(line, pages, dates):
    upstream, key, cadence, partition = dates
    items, _ = upstream_of("shorter_" + key.replace("-", "").replace(":", ""), upstream, pages)
    docs = line(crawl(AssetColumn(items.key), cadence=cadence))
    dg.materialize([items], instance=docs.instance, partition_key=key)
    refused = failure_of(submit(docs, location(docs, items), partition))[1][partition]
    assert "as long as those of the crawl's `cadence`, or longer" in refused
    assert docs.posts == 0


def test_a_partitioned_asset_of_a_crawl_without_partitions_is_refused(line, pages):
    items, _ = upstream_of("cut_alone", DAILY, pages)
    docs = line(crawl(AssetColumn(items.key)))
    dg.materialize([items], instance=docs.instance, partition_key="2026-11-03")
    refused = submit(docs, location(docs, items))
    assert not refused.success
    assert "is partitioned and the crawl is not" in str(
        refused.failure_data_for_node(f"{docs.crawl.name}__submissions")
    )
    assert docs.posts == 0


# Keys that are added at run time


def dynamic(pages, **options):
    lists = {}
    source = DynamicUrls(
        f"sites_{id(lists)}", lambda partition: lists.setdefault(partition.key, pages.urls(2 + len(partition.urls)))
    )
    return crawl(source, **options), source, lists


def test_keys_added_while_dagster_runs_are_partitions_with_urls_of_their_own(line, pages):
    made, source, lists = dynamic(pages)
    docs = line(made)
    docs.instance.add_dynamic_partitions(source.name, ["a", "bb", "ccc"])
    assert docs.submit("a", "ccc").success
    assert [len(lists[key]) for key in ("a", "bb", "ccc")] == [3, 4, 5]
    docs.instance.add_dynamic_partitions(source.name, ["d"])
    assert docs.submit("d").success
    docs.until_jobs_end()
    runs = docs.tick_and_launch()
    assert [run.success for run in runs] == [True]
    assert docs.published() == {"a", "bb", "ccc", "d"}
    assert all(docs.urls("succeeded", urls=key) == urls for key, urls in lists.items())


@pytest.mark.parametrize(("keys", "wrong"), [(["news", "007"], "007"), (["1.5", "2"], "2"), (["a", "A"], "A")])
def test_an_added_key_that_readers_take_for_another_fails_alone_and_costs_nothing(line, pages, keys, wrong):
    made, source, lists = dynamic(pages)
    docs = line(made)
    docs.instance.add_dynamic_partitions(source.name, keys)
    refused = docs.submit(*keys)
    assert not refused.success
    assert re.search(f"nothing was sent: .*'{wrong}'", error_text(refused))
    assert [key for key in keys if key not in lists] == [wrong]
    assert docs.posts == 1


def test_a_key_that_was_deleted_holds_nothing_up(line, pages):
    made, source, _ = dynamic(pages)
    docs = line(made)
    docs.instance.add_dynamic_partitions(source.name, ["a", "b"])
    docs.submit("a", "b")
    docs.until_jobs_end()
    docs.instance.delete_dynamic_partition(source.name, "a")
    assert [run.success for run in docs.tick_and_launch()] == [True]
    assert docs.published() >= {"b"}


def test_keys_times_a_cadence_are_backfilled_by_pattern(line, pages):
    made, source, lists = dynamic(pages, cadence=DAILY)
    docs = line(made)
    docs.instance.add_dynamic_partitions(source.name, ["news", "blog"])
    run = docs.repository.get_job(backfill_job_name(docs.crawl)).execute_in_process(
        instance=docs.instance,
        run_config={**QUIET, **set_config(submit_set_op(docs.crawl), ["2026-11-0[13]|news", "*-04|*"])},
    )
    expected = {"2026-11-01|news", "2026-11-03|news", "2026-11-04|news", "2026-11-04|blog"}
    assert run.success
    assert lists.keys() == docs.published("submissions") == expected
    docs.until_jobs_end()
    assert len(docs.tick_and_launch()) == 1
    assert docs.published() == expected


def test_keys_times_a_cadence_are_a_range_of_both_as_well(line, pages):
    made, source, lists = dynamic(pages, cadence=DAILY)
    docs = line(made)
    docs.instance.add_dynamic_partitions(source.name, ["news", "blog", "shop"])
    assert docs.submit("2026-11-02|news", "2026-11-03|blog").success
    docs.until_jobs_end()
    [request] = docs.tick().run_requests
    assert request.tags["dagster/asset_partition_range_end"] == "2026-11-03|blog"
    assert docs.launch(request).success
    assert docs.published() == lists.keys() == {f"2026-11-0{day}|{key}" for day in (2, 3) for key in ("news", "blog")}


def test_a_key_that_cannot_be_stored_fails_its_partition_before_anything_is_paid(line, pages):
    made, source, _ = dynamic(pages)
    docs = line(made)
    docs.instance.add_dynamic_partitions(source.name, ["../evil", "fine"])
    run = docs.submit("../evil", "fine")
    assert list(failure_of(run)[1]) == ["../evil"]
    assert "cannot be stored" in error_text(run)
    assert docs.published("submissions") == {"fine"}


def test_a_sensor_of_the_users_own_adds_keys(line, pages):
    made, source, _ = dynamic(pages)
    docs = line(made)

    @dg.sensor(target=[made.key("submissions")])
    def new_sites() -> dg.SensorResult:
        return dg.SensorResult(
            dynamic_partitions_requests=[source.partitions_def.build_add_request(["new"])],
        )

    repository = dg.Definitions.merge(docs.definitions, dg.Definitions(sensors=[new_sites])).get_repository_def()
    with (
        dg.build_sensor_context(instance=docs.instance, repository_def=repository) as context,
        dg.partition_loading_context(dynamic_partitions_store=docs.instance),
    ):
        told = repository.get_sensor_def("new_sites").evaluate_tick(context)
    assert [one.partition_keys for one in told.dynamic_partitions_requests] == [["new"]]
    docs.instance.add_dynamic_partitions(source.name, ["new"])
    assert docs.submit("new").success


# Sources without URLs


def told_of_no_urls(docs, run):
    logged = docs.instance.all_logs(run.run_id)
    return [entry.user_message for entry in logged if entry.level == WARNING and "No URLs" in entry.user_message]


def test_a_source_that_gives_no_url_is_named_in_the_log_and_with_its_partition(line, pages, tmp_path):
    listing = tmp_path / "listing.txt"
    listing.write_text("# nothing yet\n")
    docs = line({"file": UrlFile(listing), "list": [], "full": pages.urls(1)})
    [from_file, from_list] = told_of_no_urls(docs, docs.submit("file", "full"))
    docs.until_jobs_end()
    assert [run.success for run in docs.tick_and_launch()] == [True]
    assert f"the URL file {listing}" in from_file
    assert from_file.endswith("1 partition(s), file")
    assert from_list.endswith("1 partition(s), list")
    assert str(listing) in docs.metadata("submissions", "file")["no urls"].value
    assert "no urls" not in docs.metadata("submissions", "full")
    assert docs.published() == {"file", "list", "full"}


def test_a_shard_without_urls_is_no_empty_source_and_an_empty_source_is_told_once(line, pages):
    docs, without = line(crawl(pages.urls(1), shards=8)), line(crawl(partial(list), shards=8))
    assert told_of_no_urls(docs, docs.submit("shard-0", "shard-7")) == []
    [told] = told_of_no_urls(without, without.submit("shard-0", "shard-7"))
    assert "8 partition(s), shard-0, shard-1, shard-2, shard-3, shard-4, ..." in told


def test_the_column_of_an_asset_is_cut_into_shards_by_date(line, pages):
    by_date = {str(day): pages.urls(5) for day in DAILY.get_partition_keys()}

    @dg.asset(key="items_c", partitions_def=DAILY)
    def items(context: dg.AssetExecutionContext) -> list[str]:
        return by_date[context.partition_key]

    docs = line(crawl(AssetColumn("items_c"), cadence=DAILY, shards=3))
    defs = location(docs, items)
    dg.materialize([items], instance=docs.instance, partition_key="2026-11-02")
    job = defs.get_repository_def().get_job(f"{docs.crawl.name}_submit")
    run = job.execute_in_process(
        instance=docs.instance,
        tags=range_tags("2026-11-02|shard-0", "2026-11-03|shard-2"),
        run_config=QUIET,
        raise_on_error=False,
    )
    assert sorted(failure_of(run)[1]) == [f"2026-11-03|shard-{number}" for number in range(3)]
    assert sorted(url for job in docs.sent() for url in job) == sorted(by_date["2026-11-02"])


def test_a_sitemap_that_is_not_well_formed_is_read_over_http_with_a_warning(pages, caplog):
    broken = f"\n<?xml version='1.0'?><urlset><url><loc>{pages.origin}/ok/a?x=1&y=2</loc></url><url/></urlset><script/>"
    url = pages.page(broken)
    assert Sitemap(url).read() == [f"{pages.origin}/ok/a?x=1&y=2"]
    assert url in caplog.text
    assert "1 entries were read, at least 1 left out" in caplog.text


def test_a_sitemap_that_never_ends_is_given_up(monkeypatch):
    """A byte now and then is no silence, so that no time-out strikes."""
    monkeypatch.setattr(sitemap_module, "MAX_SECONDS", 0.3)

    class Trickle(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b" ")
                    time.sleep(0.01)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Trickle) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(UrlSourceError, match="it was not complete after"):
            Sitemap(f"http://127.0.0.1:{server.server_port}/sitemap.xml").read()
        server.shutdown()
