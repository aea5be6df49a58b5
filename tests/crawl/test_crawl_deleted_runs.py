"""Promises 1, 2 and 6: deleting runs forgets nothing that is open, paid or capped; wiping `submissions` does."""

import dagster as dg
import pytest
from crawl_world import crawl, resource

from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.backfill.partition_status import missing_keys
from thunderbit_dagster.ledger.credits import CreditReader
from thunderbit_dagster.ledger.event_log import LedgerReader


def delete_all_runs(instance):
    """What cleaning up does: the UI, `dagster run wipe`, or a script."""
    runs = instance.get_runs()
    for run in runs:
        instance.delete_run(run.run_id)
    assert not instance.get_runs()
    return len(runs)


def spent_by(docs):
    account = docs.thunderbit.client.account_fingerprint
    return CreditReader(docs.instance, account, 0.0).tally().since(0.0)


def half_collected(docs, held, keys):
    """Submit each partition in a run of its own; collect the first half, while the jobs of the other are held."""
    half = len(keys) // 2
    held.release()
    for key in keys[:half]:
        assert docs.submit(key).success
    docs.until_jobs_end()
    assert all(run.success for run in docs.tick_and_launch())
    assert docs.published() == set(keys[:half])
    held.hold_pages()
    for key in keys[half:]:
        assert docs.submit(key).success
    return keys[:half], keys[half:]


@pytest.mark.parametrize(
    ("partitions", "is_clicked_again"), [(6, False), (6, True), pytest.param(100, True, marks=pytest.mark.slow)]
)
def test_after_all_runs_are_deleted_open_jobs_are_collected_and_nothing_is_sent_twice(
    line, pages, held, own_instance, partitions, *, is_clicked_again
):
    keys = [f"p{number:03}" for number in range(partitions)]
    docs = line(
        crawl({key: pages.urls(2) for key in keys}),
        instance=own_instance,
        thunderbit=resource(held, max_credits_per_day=2 * partitions),
    )
    done, unfinished = half_collected(docs, held, keys)
    posts, spent = docs.posts, spent_by(docs)
    assert posts == partitions
    assert delete_all_runs(own_instance) > partitions

    if is_clicked_again:
        assert docs.submit(unfinished[0], unfinished[-1]).success
    assert docs.posts == posts
    assert missing_keys(own_instance, docs.crawl, keys) == []
    held.release()
    docs.until_jobs_end()
    docs.cursor = None
    assert all(run.success for run in docs.tick_and_launch())

    reader = LedgerReader(own_instance, docs.crawl)
    assert reader.collected(keys).keys() == set(keys)
    assert all(len(docs.rows("succeeded", urls=key)) == 2 for key in keys)
    assert docs.posts == posts
    assert spent_by(docs) == spent == 2 * partitions
    assert not docs.tick_and_launch()
    capped = docs.submit(done[0])
    assert not capped.success
    assert docs.posts == posts  # the day's cap still counts what the deleted runs spent


def test_a_run_deleted_before_its_jobs_end_leaves_each_row_to_the_sensor(line, pages, held, own_instance):
    urls = pages.urls(3)
    docs = line(crawl(urls), instance=own_instance, thunderbit=resource(held))
    held.hold_pages()
    assert docs.submit().success
    delete_all_runs(own_instance)
    assert docs.submit().success
    delete_all_runs(own_instance)
    held.release()
    docs.until_jobs_end()
    [run] = docs.tick_and_launch()
    assert run.success
    assert docs.posts == 1
    assert docs.urls("succeeded") == urls


def test_a_run_that_is_deleted_while_it_submits_sends_nothing_more(line, pages, held, own_instance, monkeypatch):
    urls = pages.urls(3)
    docs = line(crawl(urls, batch_size=1), instance=own_instance, thunderbit=resource(held))
    submit = ThunderbitClient.submit

    def and_delete_the_run(client, *arguments, **options):
        job = submit(client, *arguments, **options)
        delete_all_runs(own_instance)
        return job

    with monkeypatch.context() as patch:
        patch.setattr(ThunderbitClient, "submit", and_delete_the_run)
        docs.submit()
    assert docs.posts == 1
    assert docs.submit().success
    assert docs.posts == 3
    held.release()
    docs.until_jobs_end()
    assert all(run.success for run in docs.tick_and_launch())
    assert docs.urls("succeeded") == urls


def test_the_runs_log_says_what_was_sent(line, pages, held, own_instance):
    docs = line(crawl(pages.urls(3)), instance=own_instance, thunderbit=resource(held))
    run = docs.submit()
    said = [entry.user_message for entry in own_instance.all_logs(run.run_id)]
    assert any(docs.jobs[0].id in text and "3 URLs" in text for text in said)


def test_what_is_collected_stays_collected_when_the_collect_run_is_deleted(line, pages, own_instance, emulator):
    docs = line(crawl(pages.urls(2)), instance=own_instance, thunderbit=resource(emulator))
    docs.through()
    delete_all_runs(own_instance)
    docs.cursor = None
    assert not docs.tick_and_launch()
    assert docs.submit().success
    assert docs.posts == 2, "what was collected is crawled anew"


def test_wiping_submissions_forgets_them_and_the_sensor_leaves_them_alone(line, pages, held, own_instance):
    urls = pages.urls(2)
    docs = line(crawl(urls), instance=own_instance, thunderbit=resource(held))
    held.hold_pages()
    assert docs.submit().success
    own_instance.wipe_assets([docs.crawl.key("submissions")])
    held.release()
    docs.until_jobs_end()
    assert not docs.tick_and_launch()
    assert docs.submit().success
    docs.until_jobs_end()
    [run] = docs.tick_and_launch()
    assert run.success
    assert docs.posts == 2
    assert docs.urls("succeeded") == urls


def test_wiping_failed_forgets_neither_what_is_paid_nor_what_is_collected(line, pages, own_instance, emulator):
    docs = line(crawl(pages.urls(2)), instance=own_instance, thunderbit=resource(emulator))
    docs.through()
    own_instance.wipe_assets([docs.crawl.key("failed")])
    docs.cursor = None
    assert not docs.tick_and_launch()
    assert docs.collect().success
    assert docs.posts == 1
    assert docs.published() == {None}


def test_events_of_runs_by_an_older_version_are_read_beside_the_new_ones(line, pages, own_instance, emulator):
    """Records that an older version left in the events of runs say as much as today's."""
    docs = line(crawl(pages.urls(2)), instance=own_instance, thunderbit=resource(emulator))
    docs.through()
    own_instance.wipe_assets([dg.AssetKey(["thunderbit", "submissions"])])
    docs.cursor = None
    assert not docs.tick_and_launch()
    assert LedgerReader(own_instance, docs.crawl).collected([None]).keys() == {None}


def test_a_tick_does_not_read_again_what_is_settled_however_long_other_crawls_are_idle(
    line, pages, own_instance, emulator, monkeypatch
):
    """Neither the idle crawl of this sensor nor the crawls of another one make it read the log from its beginning."""
    busy, idle, elsewhere = crawl(pages.urls(1)), crawl(pages.urls(1)), crawl(pages.urls(1))
    docs = line(busy, idle, instance=own_instance, thunderbit=resource(emulator))
    others = line(elsewhere, instance=own_instance, thunderbit=resource(emulator))
    for _ in range(3):
        docs.through()
        others.through()
    docs.tick()
    fetch, read = dg.DagsterInstance.fetch_observations, []

    def counting(self, *arguments, **options):
        page = fetch(self, *arguments, **options)
        read.append(len(page.records))
        return page

    monkeypatch.setattr(dg.DagsterInstance, "fetch_observations", counting)
    docs.tick()
    assert sum(read) == 0
