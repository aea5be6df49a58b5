"""What makes a submission another one: URLs, options, schema, origin and key. The attempt does not."""

import dagster as dg
import pytest
from crawl_world import Line, crawl, one_partition, resource

from thunderbit_dagster import Distill, Extract
from thunderbit_dagster.emulator import ApiKey

NAME = {"type": "object", "properties": {"name": {"type": "string"}}}
PRICE = {"type": "object", "properties": {"name": {"type": "string"}, "price": {"type": "number"}}}
OTHER_KEY = "tb_" + "7" * 32

CHANGES = {
    "an option": (Distill(), Distill(html=True)),
    "an option of the service's own default": (Distill(), Distill(timeout=30_000)),
    "the question": (Distill(question="What?"), Distill(question="Why?")),
    "a header for the target": (Distill(headers={"Cookie": "a=1"}), Distill(headers={"Cookie": "a=2"})),
    "the order of tags": (Distill(include_tags=("p", "h1")), Distill(include_tags=("h1", "p"))),
    "the schema": (Extract(schema=NAME), Extract(schema=PRICE)),
    "the kind": (Distill(), Extract(schema=NAME)),
}


@pytest.fixture
def held(emulator_of):
    """An emulator whose jobs stay open."""
    emulator = emulator_of(keys=(ApiKey(OTHER_KEY),))
    emulator.hold_pages()
    return emulator


@pytest.mark.parametrize("change", CHANGES)
def test_another_request_is_another_submission(line, pages, held, change):
    before, after = CHANGES[change]
    assert before.fingerprint() != after.fingerprint()
    urls = pages.urls(2)
    first = one_partition(urls, request=before)
    docs = line(first, emulator=held)
    assert docs.submit().success
    docs.crawls = [one_partition(urls, name=first.name, request=after)]
    assert docs.submit().success
    assert docs.sent() == [urls, urls]
    assert {job.kind for job in docs.jobs} == {before.kind, after.kind}


def test_a_key_of_another_account_begins_no_other_submission(line, pages, held):
    urls = pages.urls(2)
    docs = line(one_partition(urls), emulator=held)
    assert docs.submit().success
    docs.thunderbit = resource(held, api_key=OTHER_KEY)
    assert not docs.submit().success
    assert len(docs.jobs) == 1


def test_another_origin_is_another_submission(line, pages, held, emulator_of, tmp_path):
    urls = pages.urls(2)
    docs = line(one_partition(urls), emulator=held)
    assert docs.submit().success
    elsewhere = emulator_of()
    moved = Line(docs.instance, elsewhere, tmp_path, docs.crawls, resource(elsewhere))
    moved.through()
    assert (docs.sent(), moved.sent()) == ([urls], [urls])


def test_another_url_is_sent_alone_and_one_that_left_the_list_is_not_sent_again_when_it_returns(line, pages, held):
    urls = pages.urls(3)
    lists = iter([urls[:2], [urls[0], urls[2]], urls])
    docs = line(one_partition(lambda: next(lists)), emulator=held)
    for _ in range(3):
        assert docs.submit().success
    assert docs.sent() == [urls[:2], [urls[2]]]


def test_another_order_of_the_same_urls_pays_for_nothing_again(line, pages, held):
    """A URL is matched by its page, so an order that only changes places in a job needs no second payment."""
    urls = pages.urls(3)
    listed = urls
    docs = line(one_partition(lambda: listed), emulator=held)
    assert docs.submit().success
    listed = urls[::-1]
    assert docs.submit().success
    assert docs.sent() == [urls]
    held.release()
    docs.until_jobs_end()
    [run] = docs.tick_and_launch()
    assert run.success
    assert sorted(docs.urls("succeeded")) == sorted(urls)


def test_what_does_not_shape_the_request_does_not_count(line, pages, held):
    urls = pages.urls(4)
    first = one_partition(urls, batch_size=4)
    docs = line(first, emulator=held)
    assert docs.submit().success
    docs.crawls = [one_partition(urls, name=first.name, batch_size=1, max_credits_per_partition=50)]
    docs.thunderbit = resource(held, request_timeout=30.0, on_lost_reply="fail", max_credits_per_run=9)
    assert docs.submit().success
    assert docs.sent() == [urls]


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (Distill(render_mode="full"), Distill(render_mode="advanced")),
        (Distill(country_code="de"), Distill(country_code="DE")),
        (Extract(schema=NAME), Extract(schema={"properties": {"name": {"type": "string"}}, "type": "object"})),
    ],
)
def test_two_ways_to_write_the_same_request_are_one(one, same):
    assert one.fingerprint() == same.fingerprint()


def test_neither_a_retry_nor_a_re_execution_nor_a_new_run_is_another_submission(line, pages, held):
    urls = pages.urls(3)
    docs = line(crawl({"all": urls}), emulator=held)
    first = docs.submit()
    docs.submit(tags={"dagster/parent_run_id": first.run_id, "dagster/root_run_id": first.run_id})
    docs.submit()
    [asset] = [one for one in docs.definitions.assets if one.keys == {docs.crawl.key("submissions")}]
    again = dg.materialize(
        [asset],
        instance=docs.instance,
        resources=docs.definitions.resources,
        partition_key="all",
        tags={"dagster/backfill": "another"},
    )
    assert again.success
    assert docs.sent() == [urls]
    assert docs.posts == 1
