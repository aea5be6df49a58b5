"""A mistake in YAML is told with its line, by `dg check yaml` and when the project is loaded."""

from __future__ import annotations

import re

import pytest
import yaml
from jsonschema import Draft202012Validator

from thunderbit_dagster import ThunderbitCrawlComponent

GOOD = """\
crawls:
  - name: docs
    urls:
      guides: ["https://example.com/"]
      reference: {url_file: urls.txt}
    request:
      type: distill
      timeout: 9000
    cadence:
      type: daily
      start_date: "2026-11-01"
    batch_size: 20
    job_deadline: {hours: 5}
thunderbit:
  on_lost_reply: wait
store: {base_uri: data}
sensor_interval_seconds: 30
schedule_status: stopped
translation: {owners: ["team:search"]}
"""
# What is written in place of what, on which line, and what `dg check yaml` and loading say.
MISTAKES = [
    ("name: docs", "name: my-docs", 2, "does not match", "should match pattern"),
    ('guides: ["https://example.com/"]', "guides: https://example.com/", 4, "not of type 'array'", "valid array"),
    ("url_file: urls.txt", "url_file: urls.txt, shard: 1", 5, "'shard' was unexpected", "not permitted"),
    ("type: distill", "type: distil", 7, "not one of \\['distill', 'extract'\\]", "'distill' or 'extract'"),
    ("timeout: 9000", "timeout: 90", 8, "less than the minimum of 5000", "outside 5000..60000 ms"),
    ("timeout: 9000", "timeuot: 9000", 8, "'timeuot' was unexpected", "not permitted"),
    ("type: daily", "type: dayly", 10, "not one of", "'hourly', 'daily'"),
    ('start_date: "2026-11-01"', "start_date: 20261101", 11, "not of type 'string'", "valid string"),
    ('start_date: "2026-11-01"', 'start_date: "2026-13-01"', 11, "does not match", "does not match format '%Y-%m-%d'"),
    ('start_date: "2026-11-01"', 'start_date: "yesterday"', 11, "does not match", "yesterday"),
    ("type: daily", "type: daily\n      timezone: Europe/Belin", 11, "not one of \\['UTC',", "no time zone"),
    ("type: daily", "type: hourly", 11, "does not match", "does not match format '%Y-%m-%d-%H:%M'"),
    ("batch_size: 20", "schedule: {timezone: Europe/Belin}", 12, "not one of \\['UTC',", "no time zone"),
    ("batch_size: 20", "schedule: {timezone: Europe}", 12, "not one of \\['UTC',", "no time zone"),
    ("batch_size: 20", "schedule: 6 every day", 12, "does not match", "not understood: Found invalid cron"),
    ("batch_size: 20", "schedule: {cron: 0 6 * *}", 12, "does not match", "not understood: Found invalid cron"),
    ("url_file: urls.txt", 'sitemap: "https://example.com/s.xml", since: never', 5, "does not match", "never"),
    ("base_uri: data", 'base_uri: "ftp://x"', 16, "does not match '\\^\\(file\\|s3", "cannot use the scheme 'ftp'"),
    ("batch_size: 20", "batch_size: 101", 12, "greater than the maximum of 100", "less than or equal to 100"),
    ("batch_size: 20", 'batch_size: "20"', 12, "not of type 'integer'", "valid integer"),
    ("hours: 5", "hour: 5", 13, "'hour' was unexpected", "not permitted"),
    ("on_lost_reply: wait", "on_lost_reply: retry", 15, "not one of", "'wait', 'resubmit' or 'fail'"),
    ("base_uri: data", "base_url: data", 16, "'base_url' was unexpected", "not permitted"),
    ("sensor_interval_seconds: 30", "sensor_interval_seconds: 0", 17, "less than the minimum", "greater than or equal"),
    ("schedule_status: stopped", "schedule_status: paused", 18, "not one of", "'stopped' or 'running'"),
    ('owners: ["team:search"]', "owners: team", 19, "not of type 'array'", "valid array"),
]


def line_of(text, path):
    """The line on which the value at a path begins, as Dagster's own reader of positions counts."""
    node = yaml.compose(text)
    line = 1
    for part in path:
        if isinstance(node, yaml.SequenceNode):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            found = [(key, value) for key, value in node.value if key.value == part]
            if not found:
                return line
            line, node = found[0][0].start_mark.line + 1, found[0][1]
    return line


@pytest.fixture(scope="module")
def schema():
    return ThunderbitCrawlComponent.get_model_cls().model_json_schema()


def test_the_yaml_without_a_mistake_passes(project, schema):
    assert list(Draft202012Validator(schema).iter_errors(yaml.safe_load(GOOD))) == []
    assert project.definitions(GOOD).get_repository_def()


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake[1])
def test_a_wrong_value_is_told_with_its_line(project, schema, mistake):
    right, wrong, line, checked, loaded = mistake
    text = GOOD.replace(right, wrong)
    assert text != GOOD
    errors = list(Draft202012Validator(schema).iter_errors(yaml.safe_load(text)))
    (error,) = errors[:1]
    named = re.search(r"'(\w+)' was unexpected", error.message)
    path = [*error.absolute_path, *([named[1]] if named else [])]
    assert line_of(text, path) == line
    assert re.search(checked, error.message)
    told = project.error(text)
    assert re.search(rf"defs\.yaml:{line + 2}\b", told), told
    assert loaded in told


LATER = [
    ("guides: [", "gui/des: [", 2, "gui/des"),
    ("guides: [", '"1.10": [', 3, "the key '1.10', but Polars reads it as 1.1. Put letters in front, such as 'v1.10'"),
    ("guides: [", '"007": [https://example.org/]\n      "7": [', 3, "the keys '007' and '7', but pandas, pyarrow"),
    ("batch_size: 20", "shards: 3", 12, "`shards` splits a list"),
    ('start_date: "2026-11-01"', 'start_date: "2026-11-31"', 11, "day is out of range"),
    ('start_date: "2026-11-01"', 'start_date: "2026-11-01"\n      timezone: "{{ env.ZONE }}"', 9, "Europe/Belin"),
    ('translation: {owners: ["team:search"]}', "translation:\n  kinds: [web]\n  owners: [search]", 21, "owner"),
    ("url_file: urls.txt", "python: .pages.missing", 5, "No module named"),
    ("url_file: urls.txt", "sitemap: ftp://example.com/s.xml", 5, "only http and https"),
    ("url_file: urls.txt", "python: os.path.nothing", 5, "has no attribute 'nothing'"),
    ("url_file: urls.txt", "python: os.sep, arguments: {a: 1}", 5, "os.sep is no function"),
    ("timeout: 9000", 'timeout: "{{ env.PAGE_TIMEOUT }}"', 8, "7 is outside 5000..60000 ms"),
    ("batch_size: 20", 'batch_size: "{{ env.NOT_SET }}"', 12, "environment variable NOT_SET is not set"),
    ("base_uri: data", 'base_uri: "{{ env.NOPE }}/x"', 16, "environment variable NOPE is not set"),
    (
        "type: distill",
        'type: distill\n      headers: {Authorization: "Bearer {{ env.NOPE }}"}',
        8,
        "variable NOPE is not",
    ),
    ("on_lost_reply: wait", 'api_key: "tb_{{ env.NOPE }}"', 15, "environment variable NOPE is not set"),
    ("on_lost_reply: wait", "api_key: tb_000", 15, "`api_key` is written out"),
    ("base_uri: data", 'base_uri: "s3:/bucket"', 16, "followed by two slashes"),
]


@pytest.mark.parametrize("mistake", LATER, ids=lambda mistake: mistake[1])
def test_what_only_python_can_know_is_told_with_its_line_too(project, monkeypatch, mistake):
    right, wrong, line, told = mistake
    monkeypatch.setenv("PAGE_TIMEOUT", "7")
    monkeypatch.setenv("ZONE", "Europe/Belin")
    text = GOOD.replace(right, wrong)
    assert text != GOOD
    error = project.error(text)
    assert told in error
    assert re.search(rf"defs\.yaml:{line + 2}\b", error), error


def test_for_an_api_on_this_machine_a_key_may_be_written_out(project):
    key = "tb_" + "1" * 32
    text = GOOD.replace("on_lost_reply: wait", f'api_key: {key}\n  base_url: "http://127.0.0.1:8710/openapi/v1"')
    assert project.definitions(text).resources["thunderbit"].api_key == key


@pytest.mark.parametrize(
    "template", ["{{ env.NOPE or 'data/x' }}", "{{ env.NOPE | default('data/x') }}", "{{ env('NOPE', 'data/x') }}"]
)
def test_a_variable_that_is_not_set_may_have_a_default(project, monkeypatch, template):
    monkeypatch.delenv("NOPE", raising=False)
    text = GOOD.replace("base_uri: data", f'base_uri: "{template}"')
    assert project.component(text).store.base_uri == f"file://{project.root}/data/x"
    monkeypatch.setenv("NOPE", "elsewhere")
    assert project.component(text).store.base_uri == f"file://{project.root}/elsewhere"


FINE = [
    ("timezone: Europe/Berlin\n      fmt: '%d.%m.%Y'\n      start_date: '01.11.2026'"),
    ("timezone: '{{ env.ZONE }}'\n      start_date: '{{ env.FIRST }}'"),
    ("start_date: '2026-11-01'\n      end_date: '2026-12-01'\n    schedule: {cron: '*/15 6 * * MON-FRI'}"),
    ("start_date: '2026-11-01'\n    schedule: '@weekly'"),
]


@pytest.mark.parametrize("written", FINE)
def test_what_is_right_is_refused_by_neither(project, schema, monkeypatch, written):
    monkeypatch.setenv("ZONE", "Europe/Berlin")
    monkeypatch.setenv("FIRST", "2026-11-01")
    text = GOOD.replace('start_date: "2026-11-01"', written)
    assert list(Draft202012Validator(schema).iter_errors(yaml.safe_load(text))) == []
    assert project.definitions(text).get_repository_def().schedule_defs


@pytest.mark.parametrize("uri", ["data/x", "/srv/data", "s3://bucket/x", "gs://b", "az://c/d", "file:///srv", "~/x"])
def test_places_that_may_be_stored_to_pass_the_check(schema, uri):
    text = GOOD.replace("base_uri: data", f"base_uri: {uri}")
    assert list(Draft202012Validator(schema).iter_errors(yaml.safe_load(text))) == []
