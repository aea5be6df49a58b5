import string
from pathlib import Path
from urllib.parse import quote

import pytest
from decision_cases import crawl, partition
from hypothesis import example, given, settings
from hypothesis import strategies as st

from thunderbit_dagster.api.requests import is_http_url
from thunderbit_dagster.partitions import UNPARTITIONED
from thunderbit_dagster.urls import (
    MAX_URL_LENGTH,
    UrlFile,
    UrlSourceError,
    canonical_url,
    check_urls,
    read_source,
    url_refusal,
)
from thunderbit_dagster.urls.checking import TRACKING_PARAMETERS

hosts = st.sampled_from(
    ["example.org", "EXAMPLE.org", "xn--4ca.de", "ä.de", "93.184.216.34", "a_b.example", "[2606::1]"]
)
segments = st.lists(st.text(st.characters(codec="utf-8"), max_size=6).map(quote), max_size=3)
names = st.sampled_from(["a", "b", "c", "utm_source", "gclid", "q"])
values = st.text(st.characters(codec="utf-8"), max_size=5).map(quote)
queries = st.lists(st.tuples(names, values), max_size=5)


def build_url(scheme, host, *, port="", path=(), query=(), fragment=""):
    pairs = "&".join(f"{name}={value}" for name, value in query)
    return f"{scheme}://{host}{port}/{'/'.join(path)}{'?' if pairs else ''}{pairs}{'#' if fragment else ''}{fragment}"


urls = st.builds(
    build_url,
    st.sampled_from(["http", "https", "HTTPS"]),
    hosts,
    port=st.sampled_from(["", ":80", ":443", ":8443"]),
    path=segments,
    query=queries,
    fragment=st.sampled_from(["", "top"]),
)
# Text that is nearly a URL, which is what people paste.
strange_urls = st.one_of(
    st.text(st.characters(), max_size=20),
    st.builds("http://{}/{}".format, st.text(st.characters(), max_size=8), st.text(st.characters(), max_size=8)),
    st.builds("http://example.org/?q=%{:02X}".format, st.integers(0, 255)),
)


@given(urls)
def test_the_canonical_form_is_its_own_canonical_form(url):
    assert url_refusal(url) is None
    once = canonical_url(url)
    assert canonical_url(once) == once


@given(urls)
def test_the_canonical_form_has_no_fragment_no_default_port_and_no_tracking(url):
    canonical = canonical_url(url)
    assert "#" not in canonical
    assert ":80/" not in canonical or not canonical.startswith("http:")
    assert ":443/" not in canonical or not canonical.startswith("https:")
    assert "utm_" not in canonical
    assert "gclid" not in canonical


@given(queries, st.randoms())
def test_the_order_of_different_parameters_does_not_count_and_that_of_equal_ones_does(query, rng):
    by_name = {}
    for name, value in query:
        by_name.setdefault(name, []).append(value)
    shuffled_names = rng.sample(sorted(by_name), len(by_name))
    shuffled = [(name, value) for name in shuffled_names for value in by_name[name]]
    plain = build_url("http", "example.org", query=query)
    assert canonical_url(plain) == canonical_url(build_url("http", "example.org", query=shuffled))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HTTP://Example.ORG/x", "http://example.org/x"),
        ("http://example.org:80/x", "http://example.org/x"),
        ("https://example.org:443/x", "https://example.org/x"),
        ("http://example.org", "http://example.org/"),
        ("http://example.org/a/../b/./c", "http://example.org/b/c"),
        ("http://example.org/%7Eme", "http://example.org/~me"),
        ("http://example.org/?b=2&a=1", "http://example.org/?a=1&b=2"),
        ("http://example.org/?a=1&utm_Source=x", "http://example.org/?a=1"),
        ("http://example.org/x#part", "http://example.org/x"),
        ("http://example.org./x", "http://example.org/x"),
        ("http://ä.de/ö", "http://xn--4ca.de/%C3%B6"),
        *((f"http://example.org/?{name}=1", "http://example.org/") for name in sorted(TRACKING_PARAMETERS)),
    ],
)
def test_spellings_of_one_page(one, other):
    assert canonical_url(one) == canonical_url(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://example.org/x", "https://example.org/x"),
        ("http://example.org/x", "http://example.org/X"),
        ("http://example.org/x", "http://example.org/x/"),
        ("http://example.org:8080/x", "http://example.org/x"),
        ("http://example.org:443/x", "http://example.org/x"),
        ("http://example.org/?a=1&a=2", "http://example.org/?a=2&a=1"),
        ("http://example.org/?a=1%2B2", "http://example.org/?a=1+2"),
        ("http://example.org/a%2Fb", "http://example.org/a/b"),
        ("http://example.org/?a=%26b", "http://example.org/?a=&b"),
        ("http://example.org/?utmost=1", "http://example.org/"),
        # Latin-1 and Windows-1251 queries are common on old sites; the bytes tell the pages apart.
        ("http://example.org/?q=%E9", "http://example.org/?q=%E8"),
    ],
)
def test_different_pages(one, other):
    assert canonical_url(one) != canonical_url(other)


@settings(max_examples=300)
@given(strange_urls)
@example("http://./")
@example("http://xn--a/")
@example("http://xn--/")
def test_whatever_is_not_refused_has_a_canonical_form(url):
    if url_refusal(url, allow_private=True) is None:
        assert canonical_url(canonical_url(url)) == canonical_url(url)


@settings(max_examples=300)
@given(strange_urls)
@example("http://example.org/a\u00a0b")
@example("http://example.org/a\u2028b")
def test_whatever_is_not_refused_is_taken_by_the_client(url):
    """The client refuses a whole job for one URL that it cannot send."""
    if url_refusal(url, allow_private=True) is None:
        assert is_http_url(url)


spellings = st.builds("http://example.org/{}{}".format, st.integers(0, 3), st.sampled_from(["", "#x", "?utm_id=1"]))


@given(st.lists(spellings | urls | st.sampled_from(["", "ftp://example.org/"]), max_size=12))
def test_every_position_is_wanted_or_repeated_or_refused(listed):
    checked = check_urls(listed)
    groups = (checked.wanted, checked.duplicates, checked.rejected)
    assert sorted(one.position for group in groups for one in group) == list(range(len(listed)))
    assert all(listed[one.position] == one.url for group in groups for one in group)
    assert checked.total == len(listed)
    wanted = {one.position: one for one in checked.wanted}
    assert len({one.canonical for one in checked.wanted}) == len(wanted)
    for repeat in checked.duplicates:
        assert repeat.first < repeat.position
        assert wanted[repeat.first].canonical == canonical_url(repeat.url)
    assert all(url_refusal(one.url) == one.reason for one in checked.rejected)


@given(st.lists(strange_urls, max_size=6))
@example(["http://./"])
@example(["http://xn--a/"])
def test_no_text_breaks_the_sorting_of_a_list(listed):
    assert check_urls(listed).total == len(listed)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("javascript:alert(1)", "'javascript'"),
        ("mailto:a@example.org", "'mailto'"),
        ("ftp://example.org/x", "'ftp'"),
        ("example.org/x", "scheme"),
        ("http:///x", "host"),
        ("http://example.org/a b", "percent-encoded"),
        ("http://example.org/a\n", "percent-encoded"),
        ("http://example.org/\x7f", "percent-encoded"),
        ("http://example.org/\ud800", "surrogate"),
        ("http://example.org:99999/", "Port"),
        ("http://me@example.org/", "user name"),
        ("http://me:secret@example.org/", "headers"),
        ("http://[::1/", "parsed"),
    ],
)
def test_refusals_name_their_reason(url, word):
    reason = url_refusal(url)
    assert reason is not None
    assert word in reason
    assert "secret" not in reason


def test_the_longest_url():
    longest = "http://example.org/".ljust(MAX_URL_LENGTH, "x")
    assert url_refusal(longest) is None
    assert "8,193 characters" in (url_refusal(longest + "x") or "")


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST", "app.localhost", "localhost."),
        *("127.0.0.1", "127.0.0.1.", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254"),
        *("[::]", "[::1]", "[fe80::1]", "[fd00::1]", "[::ffff:127.0.0.1]"),
    ],
)
def test_private_hosts_only_for_the_emulator(host):
    url = f"http://{host}:8711/x"
    assert "private" in (url_refusal(url) or "")
    assert url_refusal(url, allow_private=True) is None


@pytest.mark.parametrize("host", ["example.org", "8.8.8.8", "[2606:4700::1111]", "localhost.example.org", "ä.de"])
def test_public_hosts(host):
    assert url_refusal(f"http://{host}/x") is None


def test_a_url_file(tmp_path):
    path = tmp_path / "urls.txt"
    path.write_bytes(b"\xef\xbb\xbf# pages\r\nhttp://example.org/1\r\n\r\n  http://example.org/2#part  \r\n #no\r\n")
    assert read_source(UrlFile(path), UNPARTITIONED) == ["http://example.org/1", "http://example.org/2#part"]


def test_a_url_file_that_is_not_there(tmp_path):
    missing = tmp_path / "nowhere.txt"
    with pytest.raises(UrlSourceError, match=r"nowhere\.txt does not exist\. Put it there"):
        read_source(UrlFile(missing), UNPARTITIONED)


def test_a_url_file_of_the_users_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "urls.txt").write_text("http://example.org/1\n")
    for path in ("~/urls.txt", Path("~", "urls.txt")):
        assert read_source(UrlFile(path), UNPARTITIONED) == ["http://example.org/1"]
    with pytest.raises(UrlSourceError, match=r"~nobody-of-this-name.urls\.txt does not exist"):
        UrlFile("~nobody-of-this-name/urls.txt").read()


def test_a_url_file_that_is_not_text(tmp_path):
    path = tmp_path / "urls.txt"
    path.write_bytes(b"http://example.org/\xe9\n")
    with pytest.raises(UrlSourceError, match="cannot be read"):
        read_source(UrlFile(path), UNPARTITIONED)


def test_callables_with_and_without_the_partition():
    here = partition("guides")
    assert read_source(lambda: ["http://example.org/"], here) == ["http://example.org/"]
    assert read_source(lambda where: iter([f"http://example.org/{where.urls}"]), here) == ["http://example.org/guides"]
    assert read_source(("http://example.org/",), here) == ["http://example.org/"]


def test_a_callable_keeps_its_own_defaults():
    """``lambda group=group: ...`` is how a loop binds its variable."""
    sources = [lambda group=group: [f"http://example.org/{group}"] for group in "ab"]
    assert [read_source(source, partition("x")) for source in sources] == [
        ["http://example.org/a"],
        ["http://example.org/b"],
    ]


def test_a_callable_that_gives_one_string():
    with pytest.raises(UrlSourceError, match="single string"):
        read_source(lambda: "http://example.org/", UNPARTITIONED)


@pytest.mark.parametrize("given_back", [[None], [b"http://example.org/"], [3]])
def test_a_source_that_gives_no_strings(given_back):
    with pytest.raises(UrlSourceError, match=type(given_back[0]).__name__):
        read_source(lambda: given_back, UNPARTITIONED)


@pytest.mark.parametrize("fault", [OSError("no route"), ValueError("bad sitemap"), KeyError("guides")])
def test_a_callable_that_raises_is_a_source_that_cannot_be_read(fault):
    """Only the partition of a broken source fails, not the run."""

    def broken():
        raise fault

    with pytest.raises(UrlSourceError):
        read_source(broken, UNPARTITIONED)


def test_a_callable_that_gives_nothing():
    with pytest.raises(UrlSourceError):
        read_source(lambda: None, UNPARTITIONED)


words = st.text(string.ascii_lowercase, min_size=1, max_size=3)


@settings(max_examples=50)
@given(st.lists(st.builds("https://example.org/{}".format, words) | strange_urls, max_size=20), st.integers(1, 9))
def test_shards_cut_a_list_and_refused_urls_are_in_exactly_one(listed, shards):
    cut = crawl(listed, shards=shards)
    read = [cut.read_urls(partition(key)) for key in cut.url_keys]
    assert sorted(url for urls_of_shard in read for url in urls_of_shard) == sorted(listed)
    for urls_of_shard in read:
        assert urls_of_shard == [url for url in listed if url in set(urls_of_shard)]
