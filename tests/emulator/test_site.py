import json
from collections.abc import Callable, Iterator
from itertools import pairwise

import httpx
import pytest
from lxml import html
from lxml.html import HtmlElement

from thunderbit_dagster.emulator.site import FAILURES, REDIRECTS, Site, SiteFailure, create_app, urls

GOOD = sorted(
    url.removeprefix("http://site/")
    for group in urls("http://site").values()
    for url in group
    if url.removeprefix("http://site/") not in {*FAILURES, *REDIRECTS}
)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with Site(slow_seconds=30) as site, httpx.Client(base_url=site.base_url) as client:
        yield client


@pytest.fixture(scope="module")
def later() -> Iterator[httpx.Client]:
    with Site(revision=2) as site, httpx.Client(base_url=site.base_url) as client:
        yield client


def tree(client: httpx.Client, path: str) -> HtmlElement:
    response = client.get(path)
    assert response.status_code == 200, path
    return html.document_fromstring(response.content)


def main_text(client: httpx.Client, path: str) -> str:
    (article,) = tree(client, path).xpath("//main/article")
    return " ".join(article.text_content().split())


def test_urls_give_four_groups_with_more_than_a_hundred_addresses_in_all():
    groups = urls("http://127.0.0.1:8710/")
    listed = [url for group in groups.values() for url in group]
    assert list(groups) == ["guides", "reference", "changelog", "products"]
    assert all(len(group) >= 20 for group in groups.values())
    assert len(listed) == len(set(listed)) > 100
    assert all(url.startswith(f"http://127.0.0.1:8710/{name}/") for name in groups for url in groups[name])


def test_every_group_holds_a_failing_page():
    assert {path.partition("/")[0] for path in FAILURES} == {"guides", "reference", "changelog", "products"}
    assert set(FAILURES.values()) == set(SiteFailure)
    assert 8 <= len(FAILURES) <= 10


@pytest.mark.parametrize("path", GOOD)
def test_good_page_has_everything_that_a_reader_or_crawler_expects(client: httpx.Client, path: str):
    page = tree(client, path)
    assert page.findtext(".//title").endswith(" · Lanternfish")
    assert len(page.xpath("string(//meta[@name='description']/@content)")) > 20
    assert page.xpath("string(//link[@rel='canonical']/@href)") == str(client.base_url.join(f"/{path}"))
    assert page.xpath("string(//meta[@name='author']/@content)")
    assert page.xpath("string(//time/@datetime)").startswith("20")
    assert page.get("lang") in {"en", "nb"}
    assert len(page.xpath("//main")) == len(page.xpath("//h1")) == 1
    assert len(main_text(client, path).split()) > 40


def test_good_pages_are_wrapped_in_chrome_that_is_no_part_of_the_article(client: httpx.Client):
    page = tree(client, GOOD[0])
    for element in (
        "header",
        "nav",
        "footer",
        "aside[@class='sidebar']",
        "div[@class='cookie-bar']",
        "script",
    ):
        assert page.xpath(f"//{element}"), element
        assert not page.xpath(f"//article//{element}"), element


def test_no_two_pages_share_title_description_or_text(client: httpx.Client):
    pages = {path: tree(client, path) for path in GOOD}
    for what in ("string(//title)", "string(//meta[@name='description']/@content)", "string(//article)"):
        assert len({page.xpath(what) for page in pages.values()}) == len(pages), what


def test_pages_load_nothing_from_elsewhere(client: httpx.Client):
    for path in GOOD:
        sources = tree(client, path).xpath("//img/@src | //script/@src | //link[@rel='stylesheet']/@href")
        assert all(source.startswith("/assets/") for source in sources), path
        assert all(client.get(source).headers["content-type"] == "image/svg+xml" for source in sources), path


def test_a_page_differs_outside_its_article_each_time(client: httpx.Client):
    first, second = client.get(GOOD[0]).text, client.get(GOOD[0]).text
    assert first != second
    assert main_text(client, GOOD[0]) == main_text(client, GOOD[0])


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("guides/connect-a-gauge", "//pre/code[@class='language-toml']"),
        ("guides/installation", "//div[@class='admonition note']/p[@class='admonition-title']"),
        ("guides/first-prediction", "//figure[img[@alt]]/figcaption"),
        ("reference/predict", "//table//td/code[text()='station']"),
        ("reference/glossary", "//dl/dt[text()='Seiche']"),
        ("changelog/2.0.0", "//article//table//td[text()='410 ms']"),
    ],
)
def test_page_kinds_use_their_own_elements(client: httpx.Client, path: str, wanted: str):
    assert tree(client, path).xpath(wanted)


def test_product_pages_say_the_same_price_in_json_ld_open_graph_and_microdata(client: httpx.Client):
    products = [path for path in GOOD if path.startswith("products/")]
    for page in (tree(client, path) for path in products):
        (ld,) = map(json.loads, page.xpath("//script[@type='application/ld+json']/text()"))
        price = ld["offers"]["price"]
        assert ld["@type"] == "Product"
        assert float(price) > 0
        assert page.xpath("string(//meta[@property='product:price:amount']/@content)") == price
        assert page.xpath("string(//*[@itemprop='price']/@content)") == price
        assert page.xpath("string(//*[@itemprop='sku'])") == ld["sku"]
        assert len(page.xpath("//table[@class='spec']//tr")) >= 4


def answers(status: int) -> Callable[[httpx.Client, str], None]:
    def check(client: httpx.Client, path: str) -> None:
        assert client.get(path).status_code == status

    return check


def check_slow(client: httpx.Client, path: str) -> None:
    with pytest.raises(httpx.ReadTimeout):
        client.get(path, timeout=0.2)


def check_empty(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.content) == (200, b"")


def check_pdf(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.headers["content-type"] == "application/pdf"
    assert response.content.startswith(b"%PDF-")


def check_loop(client: httpx.Client, path: str) -> None:
    with pytest.raises(httpx.TooManyRedirects):
        client.get(path, follow_redirects=True)


CHECKS = {
    SiteFailure.MISSING: answers(404),
    SiteFailure.GONE: answers(410),
    SiteFailure.ERROR: answers(500),
    SiteFailure.UNAVAILABLE: answers(503),
    SiteFailure.FORBIDDEN: answers(403),
    SiteFailure.SLOW: check_slow,
    SiteFailure.EMPTY: check_empty,
    SiteFailure.PDF: check_pdf,
    SiteFailure.LOOP: check_loop,
}


@pytest.mark.parametrize(("path", "failure"), FAILURES.items())
def test_failing_page_fails_as_named(client: httpx.Client, path: str, failure: SiteFailure):
    CHECKS[failure](client, path)


def test_unavailable_page_says_when_to_come_back(client: httpx.Client):
    assert client.get("products/kelp-radar").headers["retry-after"] == "120"


def test_slow_page_answers_in_the_end():
    with Site(slow_seconds=0) as site:
        response = httpx.get(f"{site.base_url}/reference/live-levels")
    assert "2.31 m" in response.text


def test_old_address_redirects_to_the_good_page(client: httpx.Client):
    response = client.get("guides/install", follow_redirects=True)
    assert [hop.status_code for hop in response.history] == [301]
    assert response.url.path == "/guides/installation"


def test_one_page_is_not_utf_8(client: httpx.Client):
    response = client.get("guides/sandvaer-havn")
    assert response.headers["content-type"] == "text/html; charset=iso-8859-1"
    with pytest.raises(UnicodeDecodeError):
        response.content.decode("utf-8")
    assert "vannstanden med mer enn en halv meter" in response.text
    assert "Måkeskjær" in response.text


def test_one_page_holds_a_very_large_table_in_order_of_time(client: httpx.Client):
    rows = tree(client, "reference/tide-table-2026").xpath("//article//tbody/tr")
    cells = [[cell.text for cell in row] for row in rows]
    assert len(cells) > 1300
    assert cells == sorted(cells, key=lambda row: (row[0], row[1]))
    kinds = [row[2] for row in cells]
    assert all(one != two for one, two in pairwise(kinds))


def test_robots_closes_the_forbidden_page_only(client: httpx.Client):
    lines = client.get("robots.txt").text.splitlines()
    assert [line for line in lines if line.startswith("Disallow")] == ["Disallow: /products/dealer-prices"]
    assert f"Sitemap: {client.base_url}/sitemap.xml" in lines


def test_sitemap_lists_the_good_pages(client: httpx.Client):
    xml = html.etree.fromstring(client.get("sitemap.xml").content)
    found = xml.xpath("//*[local-name()='loc']/text()")
    assert found == [str(client.base_url.join(f"/{path}")) for path in GOOD]


def test_index_pages_link_to_every_page_of_their_group(client: httpx.Client):
    links = set(tree(client, "/").xpath("//main//a/@href"))
    assert links == {f"/{path}" for path in GOOD}
    assert client.get("/harbours/").status_code == 404


def test_second_revision_changes_five_pages_adds_two_and_removes_one(client: httpx.Client, later: httpx.Client):
    now = {url for group in urls("", 2).values() for url in group}
    before = {url for group in urls("").values() for url in group}
    assert now - before == {"/changelog/2.3.1", "/guides/ice-winter"}
    assert before - now == {"/products/tide-clock"}
    assert later.get("products/tide-clock").status_code == 404
    both = [path for path in GOOD if f"/{path}" in now]
    changed = [path for path in both if main_text(client, path) != main_text(later, path)]
    assert changed == [
        "changelog/2.3.0",
        "guides/docker",
        "products/drying-capsules",
        "products/tg-1-radar-gauge",
        "reference/cli-doctor",
    ]


def test_unknown_revision_is_refused():
    with pytest.raises(ValueError, match="revision must be one of"):
        create_app(revision=3)


def test_base_url_is_known_only_while_the_site_is_served():
    site = Site()
    with pytest.raises(RuntimeError, match="not being served"):
        _ = site.base_url
    for _ in range(2):
        with site:
            assert httpx.get(site.base_url).status_code == 200
    with pytest.raises(RuntimeError, match="not being served"):
        _ = site.base_url


def test_taken_port_is_reported_at_once():
    with Site() as first:
        port = httpx.URL(first.base_url).port
        second = Site(port=port or 0)
        with pytest.raises(OSError, match=f"port {port} on 127.0.0.1 is in use"):
            second.__enter__()
