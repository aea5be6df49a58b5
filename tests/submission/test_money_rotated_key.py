"""Promise 2: an account is known by what its key can read, not by the key or the spelling of its origin."""

import time
from uuid import uuid4

import pytest
from crawl_world import Line, crawl, failure_of, resource

from thunderbit_dagster.api.client import ThunderbitClient, normal_origin
from thunderbit_dagster.emulator import ApiKey, Rule
from thunderbit_dagster.ledger.credits import CreditReader


@pytest.fixture
def rotated(spoiled, own_instance, tmp_path):
    """A line whose account refuses its first key from a POST on, and has a second one."""

    def make(urls, refused_from, *, same_account=True, **options):
        first, second = f"tb_{uuid4().hex}", f"tb_{uuid4().hex}"
        account = ApiKey(first).account_name if same_account else ""
        emulator = spoiled(
            Rule("status", method="POST", nth=(refused_from,), status=401, code="API_KEY_REVOKED"),
            api_key=first,
            keys=[ApiKey(second, account=account)],
        )
        docs = Line(own_instance, emulator, tmp_path, [crawl(urls)], resource(emulator, **options))
        return docs, resource(emulator, api_key=second, **options)

    return make


def paid(docs):
    return sum(job.total for job in docs.jobs)


@pytest.mark.parametrize("jobs_before", [1, 2, 3])
def test_a_rotated_key_pays_for_no_url_again(rotated, pages, jobs_before):
    urls = pages.urls(250)
    docs, second = rotated(urls, jobs_before + 1)
    assert docs.submit().success is (jobs_before == 3)
    docs.thunderbit = second
    assert docs.submit().success
    assert paid(docs) == 250
    docs.until_jobs_end()
    assert all(run.success for run in docs.tick_and_launch())
    assert docs.urls("succeeded") == urls


def test_the_key_is_asked_about_once(rotated, pages):
    docs, second = rotated({key: pages.urls(3) for key in "abc"}, 9)
    assert docs.submit("a", "c").success
    docs.thunderbit = second
    reads = len(docs.reads())
    for _ in range(2):
        assert docs.submit("a", "c").success
        assert len(docs.reads()) == reads + 1
    assert docs.posts == 1


def test_the_days_cap_counts_what_the_former_key_spent(rotated, pages):
    docs, second = rotated({"a": pages.urls(3), "b": pages.urls(3)}, 9, max_credits_per_day=5)
    assert docs.submit("a").success
    docs.thunderbit = second
    assert docs.submit("a").success
    assert not docs.submit("b").success
    assert paid(docs) == 5
    reader = CreditReader(docs.instance, second.client.account_fingerprint, 0.0, time.monotonic)
    assert reader.tally().since(0.0) == 5


def test_a_key_that_cannot_read_the_jobs_sends_nothing_and_leaves_the_choice(rotated, pages):
    docs, second = rotated(pages.urls(3), 9, same_account=False)
    assert docs.submit().success
    docs.thunderbit = second
    refused = docs.submit()
    assert not refused.success
    [event] = [one for one in refused.all_events if one.event_type_value == "STEP_FAILURE"]
    said = event.step_failure_data.user_failure_data.description
    assert docs.jobs[0].id in said
    assert f"wipe `{docs.crawl.name}/submissions`" in said
    assert docs.posts == 1
    docs.instance.wipe_assets([docs.crawl.key("submissions")])
    assert docs.submit().success
    assert docs.posts == 2


def test_a_submit_without_an_answer_is_not_repeated_with_the_new_key(pages, spoiled, own_instance, tmp_path):
    first, second = f"tb_{uuid4().hex}", f"tb_{uuid4().hex}"
    emulator = spoiled(
        Rule("drop_after", method="POST", nth=(1,)),
        api_key=first,
        keys=[ApiKey(second, account=ApiKey(first).account_name)],
    )
    docs = Line(own_instance, emulator, tmp_path, [crawl(pages.urls(2))], resource(emulator))
    assert not docs.submit().success
    docs.thunderbit = resource(emulator, api_key=second)
    assert not docs.submit().success
    assert docs.posts == 1


def test_another_spelling_of_the_origin_is_the_same_account(pages, emulator, own_instance, tmp_path):
    docs = Line(own_instance, emulator, tmp_path, [crawl(pages.urls(2))], resource(emulator))
    assert docs.submit().success
    docs.thunderbit = resource(emulator, base_url=emulator.base_url.replace("127.0.0.1", "LOCALHOST") + "/")
    assert docs.submit().success
    assert docs.posts == 1


@pytest.mark.parametrize(
    "spellings",
    [
        ("https://openapi.thunderbit.com/openapi/v1", "HTTPS://OpenAPI.Thunderbit.com:443/openapi/v1/"),
        ("http://127.0.0.1:8710/openapi/v1", "http://localhost:8710/openapi/v1", "http://[::1]:8710/openapi/v1"),
        ("https://b\u00fccher.example", "https://xn--bcher-kva.example", "https://b\u00fccher.example."),
    ],
)
def test_spellings_of_one_origin(spellings):
    assert len(set(map(normal_origin, spellings))) == 1


@pytest.mark.parametrize(
    "others",
    [
        ("http://a.example", "https://a.example"),
        ("http://a.example", "http://a.example:8080"),
        ("http://127.0.0.2:1", "http://127.0.0.1:1"),
    ],
)
def test_what_differs_is_another_origin(others):
    assert len(set(map(normal_origin, others))) == 2


def test_what_older_versions_wrote_still_stands_for_the_account():
    from hashlib import sha256  # noqa: PLC0415

    key = "tb_" + "0" * 32
    before = sha256(f"http://127.0.0.1:8710\0{key}".encode()).hexdigest()[:12]
    with ThunderbitClient(key, base_url="http://localhost:8710/openapi/v1") as client:
        assert before in client.account_fingerprints
        assert client.account_fingerprint in client.account_fingerprints


def test_urls_that_moved_away_from_jobs_of_an_unreadable_account_are_not_paid_again_unasked(rotated, pages):
    moved, stays, new = pages.urls(2), pages.urls(1), pages.urls(1)
    docs, second = rotated({"a": moved + stays}, 9, same_account=False)
    assert docs.submit("a").success
    docs.crawls = [crawl({"b": moved, "c": new}, name=docs.crawl.name)]
    docs.thunderbit, first = second, docs.thunderbit
    run = docs.submit("b", "c")
    _, reasons = failure_of(run)
    assert list(reasons) == ["b"]
    assert "2 of its URL(s) are in batch jobs of a" in reasons["b"]
    assert "cannot read the open jobs" in reasons["b"]
    assert docs.posts == 2  # the one of c
    docs.thunderbit = first
    assert docs.submit("b").success
    assert docs.posts == 2
