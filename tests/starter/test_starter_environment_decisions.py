"""Settings of the wrong type or value are refused where they are given, in a text that says what to give instead."""

import inspect
from datetime import datetime, timedelta

import dagster as dg
import pytest

from thunderbit_dagster import (
    AssetColumn,
    Crawl,
    Distill,
    DynamicUrls,
    Extract,
    ParquetStore,
    Schedule,
    Sitemap,
    ThunderbitResource,
    UrlFile,
    build_crawl_definitions,
)

KEY = "tb_0123456789abcdef0123456789abcdef"
URL = "https://example.org/sitemap.xml"
RESOURCE = ThunderbitResource(api_key=KEY)
DAILY = dg.DailyPartitionsDefinition("2026-01-01")
RIGHT = {
    AssetColumn: {"asset": "pages"},
    Crawl: {"name": "docs", "urls": [URL], "request": Distill()},
    Distill: {},
    DynamicUrls: {"name": "customers", "source": lambda partition: [partition.urls]},
    Extract: {"schema": {"name": "product name"}},
    ParquetStore: {"base_uri": "data"},
    Schedule: {"cron": "0 6 * * *"},
    Sitemap: {"url": URL},
    ThunderbitResource: {"api_key": KEY},
    UrlFile: {"path": "urls.txt"},
    build_crawl_definitions: {"crawls": [], "thunderbit": RESOURCE, "store": ParquetStore("data")},
}
SETTINGS = [
    (make, name)
    for make in RIGHT
    for name in inspect.signature(make).parameters
    if name != "declared_at"  # found out, not given
]


def repr_of(value):
    return type(value[0] if isinstance(value, list) else value).__name__


class Strange:
    """Of a type that no setting has."""


@pytest.mark.parametrize("make", RIGHT, ids=lambda make: make.__name__)
def test_the_right_settings_are_taken(make):
    make(**RIGHT[make])


@pytest.mark.parametrize(("make", "name"), SETTINGS, ids=lambda one: getattr(one, "__name__", one))
def test_every_setting_refuses_a_strange_type_by_its_name(make, name):
    with pytest.raises(ValueError, match=rf"\b{name}\b") as caught:
        make(**{**RIGHT[make], name: Strange()})
    assert make.__name__ in str(caught.value)
    # What a schema must be is told by what it is not.
    assert "Strange" in str(caught.value) or name == "schema"


SECRET = [(Distill, "headers"), (Sitemap, "headers")]


@pytest.mark.parametrize(
    ("make", "name"),
    [one for one in SETTINGS if one[0] is not ThunderbitResource],  # Dagster reads the variables of resources
    ids=lambda one: getattr(one, "__name__", one),
)
@pytest.mark.parametrize("variable", [dg.EnvVar("SITE"), dg.EnvVar.int("SITE"), [dg.EnvVar("SITE")]], ids=repr_of)
def test_an_environment_variable_is_refused_by_name_where_its_own_name_would_be_taken(make, name, variable):
    with pytest.raises(ValueError, match=rf"\b{name}\b") as caught:
        make(**{**RIGHT[make], name: variable})
    text = str(caught.value)
    assert make.__name__ in text
    assert (
        make,
        name,
    ) in SECRET or """dg.EnvVar('SITE'): read the variable yourself, with os.environ["SITE"]""" in text


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (Crawl, {"urls": {"a": [URL, dg.EnvVar("SITE")]}}),
        (Crawl, {"urls": {dg.EnvVar("SITE"): [URL]}}),
        (Crawl, {"tags": {"a": dg.EnvVar("SITE")}}),
        (Distill, {"headers": {dg.EnvVar("SITE"): "a"}}),
        (Sitemap, {"headers": {dg.EnvVar("SITE"): "a"}}),
        (Extract, {"schema": {"properties": {"a": {"enum": [dg.EnvVar("SITE")]}}}}),
    ],
)
def test_an_environment_variable_is_found_inside_of_settings(make, settings):
    with pytest.raises(ValueError, match=r"dg.EnvVar\('SITE'\): read the variable yourself"):
        make(**{**RIGHT[make], **settings})


@pytest.mark.parametrize("make", [Distill, Sitemap])
def test_the_value_of_a_header_may_be_an_environment_variable(make):
    made = make(**{**RIGHT[make], "headers": {"X-Token": dg.EnvVar("SITE")}})
    assert isinstance(made.headers["X-Token"], dg.EnvVar)


@pytest.mark.parametrize(
    ("make", "settings", "text"),
    [
        (Crawl, {"name": 3}, "Crawl: `name` must be text that is not blank, not 3"),
        (Crawl, {"shards": "3"}, "Crawl 'docs': `shards` must be a whole number of at least 1 or None, not '3'"),
        (Crawl, {"shards": True}, "`shards` must be a whole number of at least 1 or None, not True"),
        (Crawl, {"shards": 2.0}, "not 2.0"),
        (Crawl, {"job_deadline": 3}, "`job_deadline` must be a timedelta above 0, not 3"),
        (Crawl, {"job_deadline": timedelta(0)}, r"not datetime\.timedelta\(0\)"),
        (Crawl, {"past_dates": "never"}, "`past_dates` must be 'fetch' or 'refuse' or a timedelta"),
        (Crawl, {"request": Distill}, r"`request` must be a Distill\(...\) or an Extract\(schema=...\), not the class"),
        (Crawl, {"cadence": "daily"}, "`cadence` must be a time-window partitions definition"),
        (Crawl, {"schedule": 6}, "`schedule` must be True, False, a cron string or a Schedule, not 6"),
        (Crawl, {"schedule": "at six"}, "Crawl 'docs': `schedule` is wrong: .*at six"),
        (Crawl, {"batch_size": 101}, "`batch_size` must be a whole number between 1 and 100 or None, not 101"),
        (Crawl, {"success_rate": 0.9}, "`success_rate` must be two shares, such as .*, not 0.9"),
        (Crawl, {"success_rate": ("a", "b")}, "`success_rate` must be two shares"),
        (Crawl, {"owners": "team:a"}, "`owners` must be a list of texts, not 'team:a'"),
        (Crawl, {"owners": ["ann"]}, "Crawl 'docs': `owners` is refused by Dagster: .*ann"),
        (Crawl, {"group": "my docs"}, "Crawl 'docs': `group` is refused by Dagster: .*my docs"),
        (Crawl, {"tags": {"a": 1}}, "`tags` must be a mapping from text to text"),
        (Crawl, {"tags": {"a": "b c"}}, "Crawl 'docs': `tags` is refused by Dagster: .*b c"),
        (Crawl, {"urls": [URL, 3]}, "`urls` must hold URLs as text, not 3"),
        (Crawl, {"urls": {1: [URL]}}, "`urls` must have names of URL partitions .text. as keys, not 1"),
        (Crawl, {"urls": {"a": 3}}, "`urls` of 'a' must be a list, a UrlFile, .* not 3"),
        (Crawl, {"urls": Sitemap}, "`urls` must be a list, .* not the class Sitemap"),
        (Crawl, {"urls": b"https://example.org/"}, "`urls` must be a list, .* not a value of type bytes"),
        (Schedule, {"cron": "6"}, "Schedule: `cron` and `timezone` are not understood: .*'6'"),
        (Schedule, {"timezone": "Mars/Olympus"}, "Mars/Olympus"),
        (Schedule, {"spread": 60}, "Schedule: `spread` must be a timedelta that is not negative, not 60"),
        (Schedule, {"spread": timedelta(-1)}, "`spread` must be a timedelta that is not negative"),
        (Schedule, {"catch_up": -1}, "Schedule: `catch_up` must be a whole number of at least 0, not -1"),
        (Schedule, {"timezone": "Europe"}, "Schedule: there is no time zone 'Europe'"),
        (Crawl, {"urls": lambda one, two: [one, two]}, "`urls` may only take the Partition, .* requires one, two"),
        (Sitemap, {"include": "/docs/*"}, "Sitemap: `include` must be a list of texts, not '/docs/"),
        (Sitemap, {"since": "2026-01-01"}, "Sitemap: `since` must be a datetime, a date or a timedelta"),
        (Sitemap, {"timeout": float("nan")}, "`timeout` must be a number above 0, not nan"),
        (Sitemap, {"max_urls": "5"}, "`max_urls` must be a whole number of at least 1, not '5'"),
        (Sitemap, {"headers": [("A", "b")]}, "`headers` must be a mapping from text to text"),
        (UrlFile, {"path": ""}, "UrlFile: `path` must be text that is not blank or a Path, not ''"),
        (AssetColumn, {"asset": []}, "AssetColumn: `asset` must be a dagster.AssetKey, or the key as text"),
        (AssetColumn, {"as_type": "pandas.DataFrame"}, "`as_type` must be a type, .* not 'pandas.DataFrame'"),
        (DynamicUrls, {"source": [URL]}, "DynamicUrls: `source` must be a callable that takes the Partition"),
        (
            ParquetStore,
            {"base_uri": None},
            "ParquetStore: `base_uri` must be text that is not blank or a Path, not None",
        ),
        (build_crawl_definitions, {"crawls": Crawl(**RIGHT[Crawl])}, "`crawls` must be a list of Crawls"),
        (build_crawl_definitions, {"crawls": ["docs"]}, "`crawls` must be a list of Crawls"),
        (build_crawl_definitions, {"sensor_tick_seconds": 60}, "`sensor_tick_seconds` .* below 60, not 60"),
        (build_crawl_definitions, {"schedule_status": "running"}, "dagster.DefaultScheduleStatus, not 'running'"),
        (build_crawl_definitions, {"store": "data"}, "`store` must be a ParquetStore, not 'data'"),
        (Distill, {"summary": 3}, "summary\n  Input should be a valid boolean.*, not 3"),
        (Distill, {"sumary": True}, "sumary\n  there is no such setting; there are: images, .*summary"),
        (Extract, {"schema": 3}, "schema\n  is neither a JSON Schema object nor"),
        (ThunderbitResource, {"requests_per_minute": 0}, "requests_per_minute\n .* than or equal to 1, not 0"),
        (ThunderbitResource, {"request_timeout": float("inf")}, "request_timeout\n .*, not inf"),
        (ThunderbitResource, {"requests_per_min": 100}, "there is no such setting; there are: .*requests_per_minute"),
        (ThunderbitResource, {"base_url": "openapi.thunderbit.com"}, "base_url must be an http or https URL"),
        (ThunderbitResource, {"webhook_url": "hooks"}, "webhook_url\n .*URL with a host, not 'hooks'"),
        (ThunderbitResource, {"on_lost_reply": "pray"}, "'wait', 'resubmit' or 'fail', not 'pray'"),
    ],
)
def test_the_text_says_what_was_given_and_what_is_expected(make, settings, text):
    with pytest.raises(ValueError, match=text):
        make(**{**RIGHT[make], **settings})


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (ThunderbitResource, {"api_key": "hush hush"}),
        (ThunderbitResource, {"api_key": ["hush"]}),
        (ThunderbitResource, {"webhook_secret": [b"hush"]}),
        (ThunderbitResource, {"base_url": "http://hush:hush@example.org/"}),
        (Distill, {"headers": {"Cookie": ["hush"]}}),
        (Distill, {"headers": "Cookie: hush"}),
        (Sitemap, {"headers": {"Cookie": b"hush"}}),
        (Sitemap, {"headers": "Cookie: hush"}),
    ],
)
def test_no_text_tells_a_secret(make, settings):
    with pytest.raises(ValueError, match=next(iter(settings))) as caught:
        make(**{**RIGHT[make], **settings})
    assert "hush" not in str(caught.value) + repr(caught.value)


def test_a_key_in_the_place_of_the_resource_is_not_told():
    with pytest.raises(ValueError, match="`thunderbit` must be a ThunderbitResource") as caught:
        build_crawl_definitions([], thunderbit=KEY, store=ParquetStore("data"))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("settings", [{"requests_per_minute": "RPM"}, {"max_credits_per_run": "RPM"}])
def test_what_a_variable_holds_is_checked_when_a_run_starts(settings, monkeypatch):
    [name] = settings
    found = []

    @dg.op
    def look(thunderbit: ThunderbitResource) -> None:
        found.append(getattr(thunderbit, name))

    @dg.job(resource_defs={"thunderbit": ThunderbitResource(api_key=KEY, **{name: dg.EnvVar.int("RPM")})})
    def looks() -> None:
        look()

    monkeypatch.setenv("RPM", "7")
    looks.execute_in_process()
    assert found == [7]
    monkeypatch.setenv("RPM", "0")
    with pytest.raises(dg.DagsterError) as caught:
        looks.execute_in_process()
    assert f"{name}\n  Input should be greater than or equal to 1, not 0" in str(caught.value.__cause__)


def test_values_that_only_look_wrong_are_taken():
    assert Sitemap(URL, since=datetime(2026, 1, 1), timeout=5).timeout == 5  # noqa: DTZ001 - taken as UTC
    assert AssetColumn(["catalog", "pages"], as_type=list[str]).name == "catalog/pages"
    assert Crawl(**RIGHT[Crawl], success_rate=None, cadence=DAILY, owners=("team:a",), tags={"a": "b"}).partitions_def
    assert Distill(include_tags=["main"], wait_for="3").wait_for == 3
