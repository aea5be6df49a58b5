"""A batch job is sent once: retries, second clicks and lost replies."""

from unittest import mock

import pytest
from crawl_world import crawl, error_text, failure_of, one_partition, resource

from thunderbit_dagster import Distill, ThunderbitResource
from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.emulator import Rule
from thunderbit_dagster.ledger.records import Intent, Recorded
from thunderbit_dagster.submission.record_writer import SubmissionRecords

LOST = Rule("drop_after", method="POST", route="/batch/*", nth=(1,))


class WorkerKilledError(Exception):
    """Stands for the end of the process."""


def killed_at(kind, count):
    """A run worker that dies when it is about to write its `count`-th record of a kind."""
    seen = []
    write = SubmissionRecords.write

    def dying(book, partition, record):
        if isinstance(record, kind):
            seen.append(record)
            if len(seen) == count:
                raise WorkerKilledError
        write(book, partition, record)

    return mock.patch.object(SubmissionRecords, "write", dying)


class DyingResource(ThunderbitResource):
    """A run worker that dies in its n-th submit, before anything is sent."""

    dies_at: int

    def open_client(self, *, max_wait: float = 900.0) -> ThunderbitClient:
        client = super().open_client(max_wait=max_wait)
        submits, submit = [], client.submit

        def counting(urls, request, **options):
            submits.append(urls)
            if len(submits) == self.dies_at:
                raise WorkerKilledError
            return submit(urls, request, **options)

        client.submit = counting
        return client


def test_a_run_killed_between_two_jobs_is_continued_and_no_recorded_url_is_sent_twice(line, pages):
    urls = pages.urls(5)
    docs = line(one_partition(urls, batch_size=2))
    with killed_at(Intent, 3):
        assert not docs.submit().success
    assert docs.sent() == [urls[:2], urls[2:4]]
    docs.through()
    assert docs.sent() == [urls[:2], urls[2:4], urls[4:]]
    assert docs.urls("succeeded") == urls


@pytest.mark.parametrize("policy", ["wait", "fail", "resubmit"])
def test_after_a_death_in_a_submit_only_what_has_no_recorded_job_is_in_doubt(line, pages, emulator, policy):
    urls = pages.urls(3)
    thunderbit = DyingResource(**resource(emulator, on_lost_reply=policy).model_dump(), dies_at=2)
    docs = line(one_partition(urls, batch_size=1), thunderbit=thunderbit)
    assert not docs.submit().success
    assert docs.sent() == [urls[:1]]
    docs.thunderbit = resource(emulator, on_lost_reply=policy)
    again = docs.submit()
    if policy == "resubmit":
        assert again.success
        assert docs.sent() == [[url] for url in urls]
    else:
        _, reasons = failure_of(again)
        assert "on_lost_reply='resubmit'" in reasons["all"]
        assert urls[1] not in [url for job in docs.sent() for url in job]
        docs.thunderbit = resource(emulator, on_lost_reply="resubmit")
    docs.through()
    assert docs.urls("succeeded") == urls
    assert sorted(docs.sent()) == sorted([url] for url in urls)


def test_a_second_click_while_jobs_are_open_sends_nothing(line, pages, held):
    urls = pages.urls(3)
    docs = line(urls)
    assert docs.submit().success
    assert docs.submit().success
    assert docs.posts == 1
    held.release()
    docs.until_jobs_end()
    assert docs.submit().success  # done, but not collected
    assert docs.posts == 1
    [run] = docs.tick_and_launch()
    assert run.success
    assert docs.urls("succeeded") == urls
    assert not docs.tick().run_requests


def test_once_collected_materializing_again_is_a_new_crawl(line, pages):
    urls = pages.urls(2)
    docs = line(urls)
    docs.through()
    docs.through()
    assert docs.sent() == [urls, urls]
    assert {row["job_id"] for row in docs.rows("succeeded")} == {docs.jobs[1].id}


def test_changed_request_options_begin_a_new_submission_and_name_the_jobs_left_alone(line, pages, held):
    urls = pages.urls(2)
    first = one_partition(urls)
    docs = line(first)
    docs.submit()
    docs.crawls = [crawl({"all": urls}, name=first.name, request=Distill(html=True))]
    again = docs.submit()
    assert again.success
    assert len(docs.jobs) == 2
    warnings = [entry.user_message for entry in docs.instance.all_logs(again.run_id) if entry.level >= 30]
    assert any(docs.jobs[0].id in text for text in warnings)
    held.release()
    docs.until_jobs_end()
    [run] = docs.tick_and_launch()
    assert run.success
    assert {row["job_id"] for row in docs.rows("succeeded")} == {docs.jobs[1].id}
    assert all(row["html"] for row in docs.rows("succeeded"))


def test_urls_added_while_jobs_are_open_are_sent_alone_and_join_the_submission(line, pages, held):
    urls = pages.urls(4)
    listed = urls[:2]
    docs = line(one_partition(lambda: listed))
    docs.submit()
    listed = [urls[2], *urls[:2], urls[3], "nonsense"]
    docs.submit()
    assert docs.sent() == [urls[:2], urls[2:]]
    held.release()
    docs.until_jobs_end()
    [run] = docs.tick_and_launch()
    assert run.success
    assert sorted(docs.urls("succeeded")) == sorted(urls)
    assert docs.urls("failed") == ["nonsense"]


@pytest.mark.parametrize("policy", ["wait", "fail"])
def test_a_lost_reply_stops_the_partition_until_somebody_decides(line, pages, spoiled, policy):
    urls = pages.urls(2)
    emulator = spoiled(LOST)
    docs = line(urls, emulator=emulator, on_lost_reply=policy)
    description, reasons = failure_of(docs.submit())
    assert "the reply to a submit was lost" in description
    assert "on_lost_reply='resubmit'" in reasons["all"]
    assert len(emulator.jobs) == 1

    _, reasons = failure_of(docs.submit())
    assert "no known answer" in reasons["all"]
    assert len(emulator.jobs) == 1
    assert docs.published("submissions") == set()
    assert not docs.tick().run_requests

    docs.thunderbit = resource(emulator, on_lost_reply="resubmit")
    docs.through()
    assert len(emulator.jobs) == 2
    assert docs.urls("succeeded") == urls
    assert {row["attempt"] for row in docs.rows("succeeded")} == {2}


def test_a_lost_reply_is_sent_a_second_time_when_the_user_said_so(line, pages, spoiled):
    urls = pages.urls(2)
    emulator = spoiled(LOST)
    docs = line(urls, emulator=emulator, on_lost_reply="resubmit")
    docs.through()
    assert len(emulator.jobs) == 2
    assert docs.urls("succeeded") == urls
    assert {row["attempt"] for row in docs.rows("succeeded")} == {2}


@pytest.mark.parametrize("fault", ["truncate", "garbage"])
def test_an_unreadable_reply_to_a_submit_is_a_lost_one(line, pages, spoiled, fault):
    emulator = spoiled(Rule(fault, method="POST", route="/batch/*", nth=(1,)))
    docs = line(pages.urls(1), emulator=emulator)
    description, _ = failure_of(docs.submit())
    assert "the reply to a submit was lost" in description
    failure_of(docs.submit())
    assert len(emulator.jobs) == 1


def test_a_shared_job_recorded_for_its_first_partition_is_known_to_the_others_after_a_crash(line, pages):
    lists = {"a": pages.urls(1), "b": pages.urls(1)}
    docs = line(crawl(lists))
    with killed_at(Recorded, 2):
        assert not docs.submit("a", "b").success
    docs.through("a", "b")
    assert docs.sent() == [[*lists["a"], *lists["b"]]]
    assert [docs.urls("succeeded", urls=name) for name in lists] == list(lists.values())


def test_a_shared_job_stays_known_to_a_partition_that_is_continued_after_its_sibling_was_crawled_anew(line, pages):
    lists = {"a": pages.urls(1), "b": pages.urls(1)}
    docs = line(crawl(lists))
    with killed_at(Recorded, 2):
        assert not docs.submit("a", "b").success
    docs.through("a")
    docs.through("a")
    docs.through("b")
    assert [url for job in docs.sent() for url in job].count(lists["b"][0]) == 1
    assert docs.urls("succeeded", urls="b") == lists["b"]


@pytest.mark.parametrize("order", ["only the repetition is left", "the repetition comes first"])
def test_a_repetition_of_a_url_that_was_never_sent_is_sent_when_the_list_has_changed(line, pages, spoiled, order):
    [url] = pages.urls(1)
    listed = [url, url + "#again"]
    emulator = spoiled(Rule("status", method="POST", route="/batch/*", nth=(1,), status=402))
    docs = line(one_partition(lambda: listed), emulator=emulator)
    assert "INSUFFICIENT_CREDITS" in error_text(docs.submit())
    listed = [url + "#again"] if order == "only the repetition is left" else [url + "#again", url]
    docs.through()
    assert sorted(docs.urls("succeeded")) == sorted(listed)
    assert len(emulator.jobs) == 1
