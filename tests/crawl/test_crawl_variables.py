"""A secret that stands in a setting as `dg.EnvVar` is sent, and never stored; where it is not set, nothing is sent."""

import dagster as dg
import pytest
from crawl_world import crawl, error_text, one_partition

from thunderbit_dagster import Distill, Sitemap
from thunderbit_dagster.api.errors import ConfigurationError
from thunderbit_dagster.api.requests import Webhook
from thunderbit_dagster.urls import UrlSourceError
from thunderbit_dagster.urls.sitemap import _Fetcher

TOKEN = "canary-of-the-site-token"
VARIABLE = dg.EnvVar("SITE_TOKEN")
HEADERS = {"X-Token": VARIABLE, "X-Plain": "plain"}
WRONG = [(None, "which is not set"), ("", "which is not set"), ("two\nlines", "a header cannot carry")]


@pytest.fixture
def token(monkeypatch):
    monkeypatch.setenv("SITE_TOKEN", TOKEN)
    return TOKEN


def put(monkeypatch, value):
    if value is None:
        monkeypatch.delenv("SITE_TOKEN", raising=False)
    else:
        monkeypatch.setenv("SITE_TOKEN", value)


def seen(pages, url):
    headers = pages.headers[url.removeprefix(pages.origin)]
    return {name.lower(): value for name, value in headers.items()}.get("x-token")


def sitemap(pages, urls, **options):
    listed = "".join(f"<url><loc>{url}</loc></url>" for url in urls)
    return Sitemap(pages.page(f"<urlset>{listed}</urlset>"), **options)


def test_headers_of_the_environment_reach_the_site_and_are_nowhere_a_crawl_writes(
    *, line, pages, own_instance, tmp_path, token, capfd
):
    urls = pages.urls(2)
    source = sitemap(pages, urls, headers=HEADERS)
    docs = line(one_partition(source, request=Distill(headers=HEADERS)), instance=own_instance)
    assert docs.submit().success
    docs.until_jobs_end()
    [run] = docs.tick_and_launch()
    assert run.success
    assert docs.urls("succeeded") == urls
    assert [seen(pages, url) for url in (source.url, *urls)] == [token] * 3
    shown = "".join(capfd.readouterr()) + repr(docs.crawl) + repr(source) + (docs.cursor or "")
    assert token not in shown
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {".db", ".parquet"} <= {path.suffix for path in files}
    assert [path for path in files if token.encode() in path.read_bytes()] == []


def test_a_token_that_is_replaced_is_no_other_request(line, pages, held, monkeypatch):
    monkeypatch.setenv("SITE_TOKEN", "first")
    docs = line(one_partition(pages.urls(1), request=Distill(headers=HEADERS)), emulator=held)
    assert docs.submit().success
    monkeypatch.setenv("SITE_TOKEN", "second")
    assert docs.submit().success
    assert docs.posts == 1


@pytest.mark.parametrize(("value", "why"), WRONG)
def test_a_header_whose_variable_cannot_be_sent_stops_the_crawl_before_anything_is_sent(
    line, pages, monkeypatch, value, why
):
    put(monkeypatch, value)
    docs = line(crawl({"a": pages.urls(2), "b": []}, request=Distill(headers=HEADERS)))
    refused = docs.submit("a", "b")
    assert not refused.success
    assert "nothing was sent: Distill: `headers`: 'X-Token' is the environment variable SITE_TOKEN" in (
        said := error_text(refused)
    )
    assert why in said
    assert "two\nlines" not in said
    assert docs.posts == 0
    put(monkeypatch, TOKEN)
    assert docs.submit("a", "b").success
    assert docs.posts == 1


def test_a_variable_that_is_gone_does_not_matter_once_everything_is_sent(line, pages, held, monkeypatch):
    put(monkeypatch, TOKEN)
    docs = line(one_partition(pages.urls(1), request=Distill(headers=HEADERS)), emulator=held)
    assert docs.submit().success
    monkeypatch.delenv("SITE_TOKEN")
    assert docs.submit().success
    assert docs.posts == 1


@pytest.mark.parametrize(("value", "why"), WRONG)
def test_a_sitemap_is_not_asked_for_without_its_header(pages, monkeypatch, value, why):
    put(monkeypatch, value)
    source = sitemap(pages, [], headers=HEADERS)
    with pytest.raises(UrlSourceError, match=f"was not read: Sitemap: `headers`: 'X-Token' .*SITE_TOKEN, {why}|{why}"):
        source.read()
    assert source.url.removeprefix(pages.origin) not in pages.asked


def test_a_header_of_a_sitemap_is_not_sent_in_the_clear_where_the_sitemap_has_tls(token):
    with _Fetcher(Sitemap("https://example.org/sitemap.xml", headers=HEADERS)) as fetcher:
        assert fetcher._headers_for("https://example.org/b.xml")["X-Token"] == token
        assert fetcher._headers_for("http://example.org/b.xml") == {}


def test_one_page_outside_of_crawls_has_the_header_too(line, pages, token):
    thunderbit = line(pages.urls(1)).thunderbit
    (url,) = pages.urls(1)
    assert thunderbit.distill(url, Distill(headers=HEADERS)).markdown
    assert seen(pages, url) == token


def test_a_webhook_is_signed_with_what_the_variable_holds(token):
    webhook = Webhook(url="https://example.org/", secret=VARIABLE, headers=HEADERS)
    assert token not in repr(webhook)
    assert webhook.body() == {
        "url": "https://example.org/",
        "secret": token,
        "headers": {"X-Token": token, "X-Plain": "plain"},
    }


def test_a_webhook_whose_secret_is_not_set_names_it():
    webhook = Webhook(url="https://example.org/", secret=dg.EnvVar("NOT_SET_ANYWHERE"))
    with pytest.raises(
        ConfigurationError, match="Webhook: `secret` is the environment variable NOT_SET_ANYWHERE, which"
    ):
        webhook.body()


def test_the_name_of_a_variable_counts_for_the_request_and_a_text_of_that_name_is_another(monkeypatch):
    monkeypatch.delenv("SITE_TOKEN", raising=False)
    prints = {
        Distill(headers={"X-Token": given}).fingerprint()
        for given in (VARIABLE, dg.EnvVar("OTHER_TOKEN"), "SITE_TOKEN", "other")
    }
    assert len(prints) == 4
    assert Distill(headers={"X-Token": VARIABLE}).fingerprint() in prints
