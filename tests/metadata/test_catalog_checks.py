"""The checks on what came back: they judge each partition of the run, name the worst, and hold nothing back."""

import dagster as dg
import pytest
from crawl_world import crawl, one_partition, records

from thunderbit_dagster import Crawl, Distill
from thunderbit_dagster.collection.definition import check_specs
from thunderbit_dagster.collection.partition_writer import is_blank
from thunderbit_dagster.collection.quality import (
    BLANK_DOCUMENTS,
    DUPLICATE_CONTENT,
    SUCCESS_RATE,
    percent,
)

TEXT = "<html><head><title>T</title></head><body><main><h1>Same</h1><p>The same text.</p></main></body></html>"
INVISIBLE = "<html><head><title>T</title></head><body><main><p>&#8203;</p></main></body></html>"
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


def evaluations(run):
    return {one.check_name: one for one in run.get_asset_check_evaluations()}


def numbers(evaluation):
    return {name: value.value for name, value in evaluation.metadata.items() if isinstance(value.value, int | float)}


@pytest.mark.parametrize(
    ("good", "verdict"),
    [(4, (True, None)), (3, (False, WARN)), (1, (False, ERROR))],
)
def test_the_success_rate_warns_below_one_share_and_is_an_error_below_another(line, pages, good, verdict):
    docs = line(one_partition([*pages.urls(good), *pages.urls(4 - good, "missing")], success_rate=(0.9, 0.5)))
    [run] = docs.through()
    check = evaluations(run)[SUCCESS_RATE]
    assert (check.passed, None if check.passed else check.severity) == verdict
    shown = numbers(check)
    assert shown["success rate"] == shown["lowest success rate"] == good / 4
    assert (shown["urls submitted"], shown["rows succeeded"], shown["partitions checked"]) == (4, good, 1)
    assert run.success
    assert docs.published("succeeded") == {"all"}


def test_shares_close_to_one_are_told_with_their_digits(line, pages):
    docs = line(one_partition([*pages.urls(1), *pages.urls(1, "missing")], success_rate=(0.999, 0.995)))
    [run] = docs.through()
    assert evaluations(run)[SUCCESS_RATE].description == "1 of 1 partitions are below 99.9%"
    [spec] = [spec for spec in check_specs(docs.crawl) if spec.name == SUCCESS_RATE]
    assert (
        spec.description
        == "At least 99.9% of each partition's URLs succeed; less is a warning, less than 99.5% an error."
    )
    assert [percent(share) for share in (0, 0.07, 0.29, 0.95, 0.9995, 1)] == [
        "0%",
        "7%",
        "29%",
        "95%",
        "99.95%",
        "100%",
    ]


def test_a_rate_that_is_just_reached_is_enough(line, pages):
    docs = line(one_partition([*pages.urls(1), *pages.urls(1, "missing")], success_rate=(0.5, 0.5)))
    [run] = docs.through()
    assert evaluations(run)[SUCCESS_RATE].passed


def test_a_range_run_judges_each_of_its_partitions_and_names_the_worst_first(line, pages):
    lists = {
        "fine": pages.urls(6),
        "half": [*pages.urls(1), *pages.urls(1, "missing")],
        "lost": pages.urls(2, "missing"),
        "none": [],
    }
    docs = line(crawl(lists, success_rate=(0.9, 0.4)))
    [run] = docs.through(*lists)
    check = evaluations(run)[SUCCESS_RATE]
    assert (check.passed, check.severity, check.partition) == (False, ERROR, None)
    shown = numbers(check)
    assert shown["success rate"] == pytest.approx(0.7)
    assert shown["lowest success rate"] == 0
    assert shown["partitions checked"] == 4
    assert (shown["partitions with a warning or in error"], shown["partitions in error"]) == (2, 1)
    assert check.description == "2 of 4 partitions are below 90%"
    assert records(check.metadata["worst partitions"]) == [
        {"partition": "lost", "urls": 2, "succeeded": 0, "success rate": 0.0},
        {"partition": "half", "urls": 2, "succeeded": 1, "success rate": 0.5},
    ]


def test_a_run_judges_its_own_partitions_only_and_the_check_alone_all_in_storage(line, pages):
    docs = line({"good": pages.urls(2), "bad": pages.urls(2, "missing")})
    docs.through("bad")
    [run] = docs.through("good")
    assert evaluations(run)[SUCCESS_RATE].passed
    audit = dg.define_asset_job("audit", selection=dg.AssetSelection.checks_for_assets(docs.crawl.key("succeeded")))
    audited = dg.Definitions.merge(docs.definitions, dg.Definitions(jobs=[audit]))
    alone = audited.get_repository_def().get_job("audit").execute_in_process(instance=docs.instance)
    check = evaluations(alone)[SUCCESS_RATE]
    assert not check.passed
    assert numbers(check)["partitions checked"] == 2


def test_one_check_can_be_run_without_the_others(line, pages):
    docs = line(pages.urls(1))
    docs.through()
    [quality] = [one for one in docs.definitions.asset_checks if len(one.check_keys) > 1]
    alone = dg.define_asset_job(
        "alone", selection=dg.AssetSelection.checks(*(key for key in quality.check_keys if key.name == BLANK_DOCUMENTS))
    )
    some = dg.Definitions.merge(docs.definitions, dg.Definitions(jobs=[alone]))
    run = some.get_repository_def().get_job("alone").execute_in_process(instance=docs.instance)
    assert set(evaluations(run)) == {BLANK_DOCUMENTS}


def test_partitions_that_are_far_apart_are_judged_by_the_run_that_collects_them(line, pages):
    keys = [f"p{number}" for number in range(5)]
    docs = line({key: pages.urls(1, "missing" if key == "p4" else "ok") for key in keys})
    for key in ("p0", "p2", "p4"):
        docs.submit(key)
    docs.until_jobs_end()
    [run] = docs.tick_and_launch()
    assert run.success
    found = evaluations(run)
    assert {SUCCESS_RATE, BLANK_DOCUMENTS, DUPLICATE_CONTENT} <= set(found)
    assert [row["partition"] for row in records(found[SUCCESS_RATE].metadata["worst partitions"])] == ["p4"]
    assert found[SUCCESS_RATE].severity == ERROR


def test_without_thresholds_there_is_no_such_check(line, pages):
    docs = line(one_partition(pages.urls(1, "missing"), success_rate=None))
    [run] = docs.through()
    assert SUCCESS_RATE not in evaluations(run)
    assert {BLANK_DOCUMENTS, DUPLICATE_CONTENT} <= set(evaluations(run))


@pytest.mark.parametrize("wrong", [(0.5, 0.9), (1.1, 0.5), (0.9, -0.1), (0.9,)])
def test_thresholds_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match="`success_rate` must be two shares"):
        Crawl(name="docs", urls=[], request=Distill(), success_rate=wrong)


def test_pages_without_text_are_counted_and_named(line, pages):
    empty = [pages.page(INVISIBLE), pages.page(INVISIBLE)]
    docs = line({"a": [*pages.urls(2), *empty], "b": pages.urls(1)})
    [run] = docs.through("a", "b")
    check = evaluations(run)[BLANK_DOCUMENTS]
    assert (check.passed, check.severity) == (False, WARN)
    shown = numbers(check)
    assert (shown["pages without content"], shown["pages checked"]) == (2, 5)
    assert shown["partitions with pages without content"] == 1
    assert shown["share of pages without content"] == 0.4
    assert records(check.metadata["list of pages without content"]) == [{"partition": "a", "url": url} for url in empty]
    assert evaluations(run)[DUPLICATE_CONTENT].passed


@pytest.mark.parametrize(
    ("markdown", "data", "blank"),
    [(None, None, True), (" \u200b\n", None, True), ("x", None, False), (None, "[]", True), (None, '[{"a":1}]', False)],
)
def test_a_page_is_blank_when_it_has_neither_text_nor_rows(markdown, data, blank):
    assert is_blank(markdown, data) == blank


def test_different_pages_with_the_same_content_are_counted_and_named_together(line, pages):
    first, second, third = (pages.page(TEXT) for _ in range(3))
    docs = line({"a": [first, *pages.urls(2), second, third, f"{first}#again"], "b": [pages.page(TEXT)]})
    [run] = docs.through("a", "b")
    check = evaluations(run)[DUPLICATE_CONTENT]
    assert (check.passed, check.severity) == (False, WARN)
    shown = numbers(check)
    assert shown["pages that repeat another"] == 2
    assert shown["partitions with pages that repeat another"] == 1
    assert records(check.metadata["list of pages that repeat another"]) == [
        {"partition": "a", "url": url, "same content as": first} for url in (second, third)
    ]
    assert records(check.metadata["worst partitions"]) == [
        {"partition": "a", "pages that repeat another": 2, "pages": 6}
    ]


def test_files_of_an_earlier_version_are_read_for_blank_pages(line, pages):
    docs = line({"a": pages.urls(1)})
    docs.through("a")
    row = docs.rows("succeeded")[0]
    with docs.store.open_partition(docs.crawl.name, {"urls": "a"}) as writer:
        writer.write_succeeded({**row, "markdown": "  "})
        writer.commit({"submission_id": row["submission_id"], "submitted": "1"})
    audit = dg.define_asset_job("audit", selection=dg.AssetSelection.checks_for_assets(docs.crawl.key("succeeded")))
    audited = dg.Definitions.merge(docs.definitions, dg.Definitions(jobs=[audit]))
    run = audited.get_repository_def().get_job("audit").execute_in_process(instance=docs.instance)
    assert numbers(evaluations(run)[BLANK_DOCUMENTS])["pages without content"] == 1


def test_a_whole_partition_without_blank_pages_is_not_read_for_them(line, pages, monkeypatch):
    docs = line({"a": pages.urls(1)})
    read, asked = type(docs.store).read, []

    def spy(self, crawl, table, dimensions, columns=None, **options):
        asked.append(columns)
        return read(self, crawl, table, dimensions, columns, **options)

    monkeypatch.setattr(type(docs.store), "read", spy)
    [run] = docs.through("a")
    assert evaluations(run)[BLANK_DOCUMENTS].passed
    assert asked
    assert not any(columns is None or "markdown" in columns for columns in asked)
