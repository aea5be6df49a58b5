"""Promise 2: a definition that changes while jobs are open pays for no URL twice; the rows go where they belong now."""

import dagster as dg
import pytest
from crawl_world import crawl, resource

from thunderbit_dagster.ledger.event_log import LedgerReader
from thunderbit_dagster.ledger.records import Intent

DAYS = dg.DailyPartitionsDefinition("2026-11-01", end_date="2026-11-05")


def submitted(line, held, first, **options):
    """A line whose first definition has submitted everything; no page has finished."""
    docs = line(first, thunderbit=resource(held), **options)
    held.hold_pages()
    assert docs.submit(*first.url_keys[:: max(1, len(first.url_keys) - 1)]).success
    return docs


def finish(docs, held):
    """Submit under the newest definition, let the pages finish, collect; the rows of all partitions."""
    keys = docs.crawl.url_keys
    assert docs.submit(keys[0], keys[-1]).success if len(keys) > 1 else docs.submit(*keys).success
    held.release()
    docs.until_jobs_end()
    assert all(run.success for run in docs.tick_and_launch())
    return {key: docs.urls("succeeded", urls=key) for key in keys}


def paid(docs):
    return sorted(url for job in docs.sent() for url in job)


@pytest.mark.parametrize("numbers", [(8, 4), (4, 8), (3, 7), (5, 12), (12, 5)])
def test_other_shards_pay_for_no_url_again(line, pages, held, own_instance, numbers):
    before, after = numbers
    urls = pages.urls(40)
    docs = submitted(line, held, crawl(urls, shards=before), instance=own_instance)
    docs.crawls = [crawl(urls, shards=after, name=docs.crawl.name)]
    rows = finish(docs, held)
    assert paid(docs) == sorted(urls)
    for key, listed in rows.items():
        own = docs.crawl.read_urls(docs.crawl.partition(key))
        assert set(own) <= set(listed), key
    assert set().union(*rows.values()) == set(urls)


def test_a_renamed_key_a_moved_url_and_a_new_one(line, pages, held, own_instance):
    guides, news, moved, new = pages.urls(3), pages.urls(2), pages.urls(1), pages.urls(1)
    docs = submitted(line, held, crawl({"guides": guides, "news": news + moved}), instance=own_instance)
    docs.crawls = [crawl({"manuals": guides + moved, "news": news + new}, name=docs.crawl.name)]
    rows = finish(docs, held)
    assert rows["manuals"] == guides + moved
    assert set(rows["news"]) == {*news, *moved, *new}  # it had submitted the moved one itself
    assert paid(docs) == sorted(guides + news + moved + new)


def test_partitions_added_to_a_crawl_that_had_none(line, pages, held, own_instance):
    urls = pages.urls(5)
    docs = line(crawl(urls), thunderbit=resource(held), instance=own_instance)
    held.hold_pages()
    assert docs.submit().success
    docs.crawls = [crawl({"a": urls[:2], "b": urls[2:]}, name=docs.crawl.name)]
    assert finish(docs, held) == {"a": urls[:2], "b": urls[2:]}
    assert paid(docs) == sorted(urls)


def test_a_date_takes_over_only_what_was_submitted_for_it(line, pages, held, own_instance):
    urls = pages.urls(4)
    docs = line(crawl({"x": urls}, cadence=DAYS), thunderbit=resource(held), instance=own_instance)
    held.hold_pages()
    assert docs.submit("2026-11-02|x").success
    docs.crawls = [crawl({"y": urls}, cadence=DAYS, name=docs.crawl.name)]
    assert docs.submit("2026-11-02|y").success
    assert docs.posts == 1
    assert docs.submit("2026-11-03|y").success
    assert docs.posts == 2
    held.release()
    docs.until_jobs_end()
    assert all(run.success for run in docs.tick_and_launch())
    assert [docs.urls("succeeded", date=f"2026-11-0{day}", urls="y") for day in (2, 3)] == [urls, urls]


def test_keys_that_list_the_same_url_are_as_before_each_a_wish_of_its_own(line, pages, held, own_instance):
    [url] = pages.urls(1)
    docs = line(crawl({"a": [url], "b": [url]}), thunderbit=resource(held), instance=own_instance)
    held.hold_pages()
    assert docs.submit("a").success
    assert docs.submit("b").success
    assert docs.posts == 2


def test_a_submit_without_an_answer_under_an_old_key_is_not_repeated_under_the_new_one(
    line, pages, spoiled, own_instance
):
    from thunderbit_dagster.emulator import Rule  # noqa: PLC0415

    urls = pages.urls(3)
    emulator = spoiled(Rule("drop_after", method="POST", route="/batch/distill", nth=(1,)))
    docs = line(crawl({"old": urls}), thunderbit=resource(emulator), emulator=emulator, instance=own_instance)
    assert not docs.submit("old").success
    docs.crawls = [crawl({"new": urls}, name=docs.crawl.name)]
    assert not docs.submit("new").success
    assert docs.posts == 1
    docs.thunderbit = resource(emulator, on_lost_reply="resubmit")
    assert docs.submit("new").success
    assert docs.posts == 2


def test_urls_in_doubt_are_taken_over_once_however_often_the_list_is_reordered(line, pages, spoiled, own_instance):
    from thunderbit_dagster.emulator import Rule  # noqa: PLC0415

    urls = pages.urls(3)
    emulator = spoiled(Rule("drop_after", method="POST", route="/batch/distill", nth=(1,)))
    docs = line(crawl({"old": urls}), thunderbit=resource(emulator), emulator=emulator, instance=own_instance)
    assert not docs.submit("old").success
    for order in (urls, urls[::-1], [urls[1], *pages.urls(1), urls[0], urls[2]]):
        docs.crawls = [crawl({"new": order}, name=docs.crawl.name)]
        assert not docs.submit("new").success
    told = LedgerReader(docs.instance, docs.crawl).since("submissions", 0, observations=True)
    assert [type(entry.record) for entry in told if entry.partition_key == "new"].count(Intent) == 1
    docs.thunderbit = resource(emulator, on_lost_reply="resubmit")
    docs.through("new")
    assert sorted(docs.urls("succeeded")) == sorted(order)


def test_keys_that_come_back_are_collected(line, pages, held, own_instance):
    urls = pages.urls(8)
    docs = submitted(line, held, crawl(urls, shards=8), instance=own_instance)
    eight = docs.crawl
    held.release()
    docs.until_jobs_end()
    docs.crawls = [crawl(urls, shards=4, name=eight.name)]
    for _ in range(3):
        docs.tick_and_launch()
    docs.crawls = [eight]
    assert all(run.success for run in docs.tick_and_launch())
    assert docs.published() == set(eight.url_keys)
    assert docs.posts == 1
