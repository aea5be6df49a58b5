"""An event log that a newer version wrote to, read by this one."""

import dagster as dg
import pytest
from crawl_world import crawl, error_text, failure_of

from thunderbit_dagster.ledger.records import RECORD_KEY

NEWER = {"v": 9, "event": "recorded", "parcel": "p"}


def spoil(docs, key):
    """A record that says something of a submit, in words of a version to come."""
    metadata = {RECORD_KEY: dg.MetadataValue.json(NEWER)}
    event = dg.AssetObservation(docs.crawl.key("submissions"), partition=key, metadata=metadata)
    docs.instance.report_runless_asset_event(event)


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("opened", [True, False], ids=["of an open submission", "of nothing known"])
def test_a_partition_with_a_record_that_cannot_be_read_is_not_sent_and_others_are(line, pages, opened):
    docs = line(crawl({"a": pages.urls(1), "b": pages.urls(1)}))
    if opened:
        assert docs.submit("a").success
    sent = docs.posts
    spoil(docs, "a")
    failed = docs.submit("a")
    assert not failed.success
    assert "Nothing was sent. Upgrade the plugin" in error_text(failed)
    assert docs.posts == sent
    assert docs.submit("b").success
    assert docs.posts == sent + 1


@pytest.mark.usefixtures("held")
def test_in_one_run_a_record_that_cannot_be_read_concerns_its_partition_alone(line, pages):
    docs = line(crawl({"a": pages.urls(1), "b": pages.urls(1)}))
    spoil(docs, "a")
    _, reasons = failure_of(docs.submit("a", "b"))
    assert list(reasons) == ["a"]
    assert docs.published("submissions") == {"b"}
    assert docs.posts == 1
