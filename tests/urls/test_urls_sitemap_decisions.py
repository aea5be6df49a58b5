"""What a sitemap file says, and which of its pages are wanted: from bytes alone."""

import gzip
from datetime import date, datetime, timedelta, timezone
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thunderbit_dagster import Sitemap
from thunderbit_dagster.urls.sitemap import _is_recent, _moment
from thunderbit_dagster.urls.sitemap_xml import SitemapEntry, SitemapError, changed_by, parse_sitemap, unzip

UTC = timezone.utc
SPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
PATHS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]), max_size=20)


def urlset(*entries, root="urlset", tag="url", space=SPACE):
    body = "".join(f"<{tag}>{entry}</{tag}>" for entry in entries)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} {space}>{body}</{root}>'.encode()


def urls(content):
    return [entry.url for entry in parse_sitemap(content).entries]


@given(st.lists(PATHS.map(lambda path: f"https://example.org/{path}")), st.booleans())
def test_every_page_is_read_back_as_it_was_written(pages, zipped):
    content = urlset(*(f"<loc>\n {escape(page)} </loc>" for page in pages))
    assert urls(gzip.compress(content) if zipped else content) == pages


@given(st.binary(max_size=200))
def test_bytes_are_a_sitemap_or_refused(content):
    try:
        parse_sitemap(content, limit=100)
    except SitemapError:
        return
    assert len(content) <= 100 or content[:2] == b"\x1f\x8b"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (urlset("<loc>http://a.example/</loc>", space=""), ["http://a.example/"]),
        (urlset("<loc>http://a.example/?x=1&amp;y=2</loc>"), ["http://a.example/?x=1&y=2"]),
        (urlset("<loc><![CDATA[http://a.example/?x=1&y=2]]></loc>"), ["http://a.example/?x=1&y=2"]),
        (urlset("<lastmod>2026-01-01</lastmod>"), []),
        (urlset("<loc> </loc>"), []),
        # The image's own address is in another namespace, or deeper.
        (
            urlset(
                "<loc>http://a.example/</loc><i:image><i:loc>http://a.example/x.png</i:loc></i:image>"
                "<i:loc>http://a.example/y.png</i:loc>",
                space=f'{SPACE} xmlns:i="http://www.google.com/schemas/sitemap-image/1.1"',
            ),
            ["http://a.example/"],
        ),
        (b"\xef\xbb\xbfhttp://a.example/1\r\n\r\nhttps://a.example/2\n", ["http://a.example/1", "https://a.example/2"]),
        (
            urlset("<loc>http://a.example/\u00e9</loc>").decode().replace("UTF-8", "ISO-8859-1").encode("latin-1"),
            ["http://a.example/\u00e9"],
        ),
        (b"", []),
    ],
)
def test_forms_of_sitemaps(content, expected):
    assert urls(content) == expected


def test_an_index_says_that_it_is_one():
    index = parse_sitemap(urlset("<loc>http://a.example/1.xml</loc>", root="sitemapindex", tag="sitemap"))
    assert index.is_index
    assert [one.url for one in index.entries] == ["http://a.example/1.xml"]
    assert not parse_sitemap(urlset()).is_index


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><urlset><url><loc>&b;</loc></url></urlset>'
OUTSIDE = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><urlset><url><loc>&a;</loc></url></urlset>'


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (BOMB, "entities"),
        (OUTSIDE, "entities"),
        (b"<html><body>Not found</body></html>", "<html>"),
        (b"<rss></rss>", "<rss>"),
        (b"<urlset><url>", "well-formed"),
        (b"nothing here", "neither XML nor"),
        (b"\xff\xfe\xfd", "neither XML nor"),
        (gzip.compress(urlset())[:-12], "ends too early"),
        (b"\x1f\x8b but not really", "unzipped"),
    ],
)
def test_what_is_no_sitemap_is_refused(content, word):
    with pytest.raises(SitemapError, match=word):
        parse_sitemap(content)


def test_a_compressed_file_grows_to_the_limit_and_no_further():
    bomb = gzip.compress(b" " * 10_000_000)
    assert len(unzip(bomb, 1_000)) == 1_001
    with pytest.raises(SitemapError, match="more than 1,000 bytes"):
        parse_sitemap(bomb, 1_000)


def test_gzip_files_may_consist_of_parts():
    assert unzip(gzip.compress(b"ab") + gzip.compress(b"cd"), 10) == b"abcd"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-02", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-02-28", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-02-28T10:30Z", datetime(2026, 2, 28, 10, 30, tzinfo=UTC)),
        ("2026-02-28T10:30:15.45+01:00", datetime(2026, 2, 28, 9, 30, 15, tzinfo=UTC)),
        ("2026-02-28 10:30:15 -0330", datetime(2026, 2, 28, 14, 0, 15, tzinfo=UTC)),
        ("2026-02-30", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_dates_give_the_last_moment_that_they_cover(text, expected):
    assert changed_by(text) == expected


def test_since_is_a_time_a_date_or_so_long_ago():
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert _moment(timedelta(days=1), now) == datetime(2026, 2, 28, 12, tzinfo=UTC)
    assert _moment(date(2026, 2, 1), now) == datetime(2026, 2, 1, tzinfo=UTC)
    assert _moment(datetime(2026, 2, 1, 3), now) == datetime(2026, 2, 1, 3, tzinfo=UTC)  # noqa: DTZ001 - without a zone
    assert _moment(None, now) is None
    since = datetime(2026, 2, 1, 12, tzinfo=UTC)
    assert _is_recent(SitemapEntry("x", changed_by("2026-02-01")), since)
    assert not _is_recent(SitemapEntry("x", changed_by("2026-01-31")), since)
    assert _is_recent(SitemapEntry("x"), since)


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ((), (), ["/guides/a", "/guides/b?x=1", "/news/a"]),
        (("/guides/*",), (), ["/guides/a", "/guides/b?x=1"]),
        (("/guides/*",), ("/*/b",), ["/guides/a"]),
        (("*?x=*",), (), ["/guides/b?x=1"]),
        (("/guides/a", "https://example.org/news/*"), (), ["/guides/a", "/news/a"]),
    ],
)
def test_patterns_hold_for_the_path_or_the_whole_url(include, exclude, expected):
    sitemap = Sitemap("https://example.org/sitemap.xml", include=include, exclude=exclude)
    pages = ["/guides/a", "/guides/b?x=1", "/news/a"]
    assert [page for page in pages if sitemap.wants(f"https://example.org{page}")] == expected


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"url": "file:///etc/passwd"}, "scheme"),
        ({"url": "example.org/sitemap.xml"}, "scheme"),
        ({"include": "/guides/*"}, "`include` must be a list"),
        ({"max_urls": 0}, "`max_urls` must be"),
        ({"timeout": 0}, "`timeout` must be"),
    ],
)
def test_wrong_settings_are_refused(options, word):
    with pytest.raises(ValueError, match=word):
        Sitemap(**{"url": "https://example.org/sitemap.xml", **options})


DECLARED = '<?xml version="1.0" encoding="UTF-8"?>'
ONE = "<url><loc>http://a.example/1</loc></url>"
TWO = "<url><loc>http://a.example/2</loc></url>"


def sitemap(*entries):
    return f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{"".join(entries)}</urlset>'


AS_SERVED = {
    "a blank line first": "\n" + DECLARED + sitemap(ONE),
    "a mark and a blank first": "\ufeff " + DECLARED + sitemap(ONE),
    "a comment first": "<!-- cached -->\n" + DECLARED + sitemap(ONE),
    "two comments first": "<!-- a --> <!-- b -->" + DECLARED + sitemap(ONE),
    "a script after the root": DECLARED + sitemap(ONE) + "\n<script>x</script>",
    "a second root": DECLARED + sitemap(ONE) + sitemap(TWO),
    "cut off behind an entry": DECLARED + sitemap(ONE, TWO)[:-30],
    "cut off within a tag": DECLARED + sitemap(ONE)[:-4],
    "a tag that is not closed": DECLARED + sitemap(ONE, "<url><loc>http://a.example/2</url>"),
    "RSS 2.0": DECLARED
    + "<rss version='2.0'><channel><link>http://a.example/</link><item><link>http://a.example/1</link>"
    "</item></channel></rss>",
    "RSS 1.0": "<r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns='http://purl.org/rss/1.0/'>"
    "<item><link>http://a.example/1</link></item></r:RDF>",
    "Atom": "<feed xmlns='http://www.w3.org/2005/Atom'><link href='http://a.example/'/><entry>"
    "<link rel='edit' href='http://a.example/e'/><link href='http://a.example/1'/></entry></feed>",
    "comments in a text file": "# my pages\nhttp://a.example/1\n",
    "remarks in a text file": "http://a.example/1\nsee also\n",
    "an entry without a URL": DECLARED + sitemap("<url><loc/></url>", ONE),
}


@pytest.mark.parametrize("text", AS_SERVED.values(), ids=AS_SERVED)
def test_what_can_be_read_of_files_as_sites_serve_them_is_read(text):
    assert urls(text.encode()) == ["http://a.example/1"]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("?a=1&b=2", "?a=1&b=2"),
        ("?a=1&amp;b=2&c", "?a=1&b=2&c"),
        ("caf&eacute;", "caf\u00e9"),
        ("a&nosuch;b", "a&nosuch;b"),
        ("a&#38;b&c=1", "a&b&c=1"),
        ("<![CDATA[a&b]]>&c", "a&b&c"),
    ],
)
def test_ampersands_and_entities_of_html_are_what_was_meant(text, url):
    assert urls((DECLARED + sitemap(f"<url><loc>http://a.example/{text}</loc></url>")).encode()) == [
        f"http://a.example/{url}"
    ]


@pytest.mark.parametrize(
    ("encoding", "declared", "charset"),
    [
        ("latin-1", "", None),
        ("latin-1", "UTF-8", None),
        ("utf-8", "ISO-8859-15-NONE", None),
        ("shift_jis", "Shift_JIS", None),
        ("koi8-r", "", "koi8-r"),
        ("utf-16", "UTF-16", None),
        ("utf-8-sig", "UTF-8", "latin-1"),
    ],
)
def test_the_encoding_is_found(encoding, declared, charset):
    word = {"shift_jis": "\u65e5", "koi8-r": "\u043f\u0440"}.get(encoding, "\u00e9")
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else '<?xml version="1.0"?>'
    content = (head + sitemap(f"<url><loc>http://a.example/{word}</loc></url>")).encode(encoding)
    assert [one.url for one in parse_sitemap(content, charset=charset).entries] == [f"http://a.example/{word}"]


def test_what_was_left_out_is_counted_and_why_is_said():
    file = parse_sitemap((DECLARED + sitemap("<url/>", ONE, "<url><loc> </loc></url>") + "<x>").encode())
    assert (len(file.entries), file.left_out) == (1, 2)
    assert "junk after document element" in file.problem
    assert parse_sitemap((DECLARED + sitemap(ONE)).encode()).problem is None


def test_dates_of_feeds_count():
    item = "<item><link>http://a.example/1</link><pubDate>Sat, 03 Jan 2026 10:00:00 GMT</pubDate></item>"
    [entry] = parse_sitemap(f"<rss><channel>{item}</channel></rss>".encode()).entries
    assert entry.changed_by == datetime(2026, 1, 3, 10, tzinfo=UTC)
