"""A key that is not accepted is said once, tried again seldom, and noticed when it is replaced."""

import time

import pytest
from polling_world import KEY, Ledger, Sensor, crawl, job_name, keys

from thunderbit_dagster.jobs.state import LONGEST
from thunderbit_dagster.polling.refused_key import PROBE_SECONDS, KeyRefusedError
from thunderbit_dagster.polling.sensor import WORKERS

OTHER_KEY = "tb_" + "f" * 32


@pytest.fixture
def ticker(instance, api):
    docs, now = crawl(keys(5)), time.time()
    for number, key in enumerate(keys(5)):
        Ledger(instance, docs).seal(key, [job_name(number)], at=now - 600)
    api.asked()
    yield Sensor(instance, [docs], api.base_url, now=now)
    api.accept()


def refuse_once(ticker, api):
    api.revoke()
    with pytest.raises(KeyRefusedError, match="API_KEY_REVOKED") as refusal:
        ticker.tick(after=LONGEST)
    assert KEY not in str(refusal.value)
    api.asked()


def test_a_revoked_key_fails_one_tick_and_is_then_tried_by_one_request_every_ten_minutes(ticker, api):
    refuse_once(ticker, api)
    ticks = 40
    skipped = [ticker.tick(after=30.0).skip_reason.skip_message for _ in range(ticks)]
    assert all(text.startswith("The API key is not accepted; it is tried again in 0:") for text in skipped)
    assert len(api.asked()) == pytest.approx(ticks * 30 / PROBE_SECONDS, abs=1)


def test_a_tick_asks_no_more_once_the_key_is_refused(instance, api):
    docs, now = crawl(keys(5)), time.time()
    for number, key in enumerate(keys(5)):
        Ledger(instance, docs).seal(key, [job_name(20 * number + n, "revoked") for n in range(20)], at=now - 600)
    api.asked()
    with pytest.raises(KeyRefusedError, match="API_KEY_REVOKED"):
        Sensor(instance, [docs], api.base_url, now=now).tick(after=LONGEST)
    assert 1 <= len(api.asked()) <= WORKERS, "one request of each worker was under way"


def test_a_lost_cursor_does_not_make_it_said_again(ticker, api):
    refuse_once(ticker, api)
    ticker.cursor = None
    assert "not accepted" in ticker.tick(after=30.0).skip_reason.skip_message


def test_a_replaced_key_is_used_at_once(ticker, api):
    refuse_once(ticker, api)
    ticker.tick(after=30.0)
    api.accept()
    ticker.key = OTHER_KEY
    assert len(ticker.tick(after=LONGEST).asset_events) == 5


def test_a_replaced_key_that_is_not_accepted_either_is_said_once_as_well(ticker, api):
    refuse_once(ticker, api)
    ticker.key = OTHER_KEY
    refuse_once(ticker, api)
    assert "not accepted" in ticker.tick(after=30.0).skip_reason.skip_message


def test_a_key_that_is_accepted_again_is_used_after_the_next_try_and_said_again_when_revoked_again(ticker, api):
    refuse_once(ticker, api)
    api.accept()
    said = [ticker.tick(after=PROBE_SECONDS).skip_reason.skip_message]
    assert said == ["The API accepts the key again; polling goes on with the next tick."]
    assert len(ticker.tick(after=LONGEST).asset_events) == 5
    refuse_once(ticker, api)


def test_the_refusal_stands_in_the_event_log_without_the_key(ticker, api, instance):
    refuse_once(ticker, api)
    [record] = instance.fetch_observations(ticker.crawls[0].key("succeeded"), limit=5).records
    assert record.asset_observation.metadata["event"].value == "the API key was not accepted"
    assert KEY not in str(record)


def test_a_job_that_may_not_be_read_is_broken_and_the_key_is_not(instance, api):
    docs, now = crawl(keys(2)), time.time()
    Ledger(instance, docs).seal("p00000", [job_name(0, "forbidden")], at=now - 600)
    Ledger(instance, docs).seal("p00001", [job_name(1)], at=now - 600)
    ticker = Sensor(instance, [docs], api.base_url, now=now)
    assert len(ticker.tick(after=LONGEST).asset_events) == 1


def test_a_key_that_may_read_nothing_is_refused(instance, api):
    docs, now = crawl(keys(2)), time.time()
    Ledger(instance, docs).seal("p00000", [job_name(0, "forbidden"), job_name(1, "forbidden")], at=now - 600)
    with pytest.raises(KeyRefusedError, match="FORBIDDEN"):
        Sensor(instance, [docs], api.base_url, now=now).tick(after=LONGEST)
