"""The metadata of `failed` name the first failed URLs and the hosts that fail, however many there are."""

import json

from crawl_world import one_partition, records

from thunderbit_dagster.collection.metadata import failed_url_table, host_table
from thunderbit_dagster.collection.partition_writer import PartitionReport
from thunderbit_dagster.emulator import Rule

NOT_FOUND = "SCRAPE_TARGET_NOT_FOUND"


def test_failed_urls_stand_in_the_order_of_the_list_with_code_message_host_and_attempts(line, pages):
    missing = pages.urls(2, "missing")
    urls = ["http://[broken", missing[0], *pages.urls(1), missing[1], "ftp://files.example.com/a"]
    docs = line(one_partition(urls))
    docs.through()
    shown = records(docs.metadata("failed")["first failed urls"])
    assert [(row["url"], row["code"], row["host"], row["attempts"]) for row in shown] == [
        (urls[0], "INVALID_INPUT", "", 0),
        (urls[1], NOT_FOUND, "127.0.0.1", 1),
        (urls[3], NOT_FOUND, "127.0.0.1", 1),
        (urls[4], "INVALID_INPUT", "files.example.com", 0),
    ]
    assert [row["message"] for row in shown] == [row["error_message"] for row in by_position(docs)]
    assert records(docs.metadata("failed")["failures by host"]) == [
        {"host": "127.0.0.1", "code": NOT_FOUND, "rows": 2},
        {"host": "", "code": "INVALID_INPUT", "rows": 1},
        {"host": "files.example.com", "code": "INVALID_INPUT", "rows": 1},
    ]


def test_a_url_that_was_sent_again_after_a_lost_reply_counts_both_times(line, pages, spoiled):
    lost = Rule("drop_after", method="POST", route="/batch/*", nth=(1,))
    docs = line(pages.urls(1, "missing"), emulator=spoiled(lost), on_lost_reply="resubmit")
    docs.through()
    assert [row["attempts"] for row in records(docs.metadata("failed")["first failed urls"])] == [2]


def test_without_a_failure_there_is_no_table_of_failed_urls(line, pages):
    docs = line(pages.urls(1))
    docs.through()
    assert not {"first failed urls", "failures by host"} & docs.metadata("failed").keys()


def test_many_long_failures_on_many_hosts_leave_the_event_small(line):
    docs = line([f"http://host{number}.example.com:-1/{'long/' * 1_000}" for number in range(300)])
    docs.through()
    metadata = docs.metadata("failed")
    assert metadata["dagster/partition_row_count"].value == 300
    first = records(metadata["first failed urls"])
    assert [row["host"] for row in first] == [f"host{number}.example.com" for number in range(20)]
    assert len(records(metadata["failures by host"])) == 20
    assert len(json.dumps(first)) < 15_000


def test_texts_of_foreign_origin_are_one_printable_line_of_bounded_length():
    wild = "a\u202e\n\ud800\x00 " + "\u4e2d" * 100_000
    row = {"url": f"http://{wild}/", "error_code": wild, "error_message": wild, "position": 0}
    report = PartitionReport(first_failed=[row])
    report.failures_by_host[wild, wild] += 1
    tables = [failed_url_table(report), host_table(report)]
    texts = [cell for one in tables for cell in records(one)[0].values() if isinstance(cell, str)]
    assert all(text.isprintable() for text in texts)
    assert sum(map(len, texts)) < 1_000


def by_position(docs):
    return sorted(docs.rows("failed"), key=lambda row: row["position"])
