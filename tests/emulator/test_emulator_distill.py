"""From HTML to Markdown: the content, all of it, and nothing else."""

import re

import pytest
from emulator_support import Answer, Api, TargetSite
from hypothesis import given
from hypothesis import strategies as st
from lxml.html import fromstring
from markdown_it import MarkdownIt

from thunderbit_dagster.emulator import document
from thunderbit_dagster.emulator.content import main_content
from thunderbit_dagster.emulator.distill import read_page
from thunderbit_dagster.emulator.errors import EmulatorError
from thunderbit_dagster.emulator.fetch import Fetched
from thunderbit_dagster.emulator.markdown import to_markdown
from thunderbit_dagster.emulator.options import PageOptions
from thunderbit_dagster.emulator.selectors import to_xpath
from thunderbit_dagster.emulator.summaries import answer, highlights, sentences_of, summary

BASE = "http://example.com/docs/page.html"
FILLER = "<p>This paragraph is long enough to be taken for the content of a page.</p>"


def markdown(html: str) -> str:
    return to_markdown(main_content(document.parse_html(html)), BASE)


def rendered(text: str) -> str:
    return " ".join(MarkdownIt().enable("table").render(text).split())


@pytest.mark.parametrize(
    "frame",
    [
        "<nav>FRAME</nav><main>{}</main>",
        "<header>FRAME</header><main>{}</main><footer>FRAME</footer>",
        "<div class=sidebar>FRAME</div><div role=main>{}</div>",
        "<article>{}<aside>FRAME</aside></article>",
        "<div id=cookie-banner><p>FRAME</p></div><div>{}</div>",
        "<div class='site-footer'>FRAME</div><div>{}</div>",
        "<ul class='nav navbar'><li>FRAME</li></ul><div>{}</div>",
        "<main>{}<script>FRAME</script><style>FRAME</style><noscript>FRAME</noscript></main>",
        "<main>{}<p hidden>FRAME</p><p style='display: none'>FRAME</p><span aria-hidden=true>FRAME</span></main>",
        "<main><button>FRAME</button><dialog>FRAME</dialog>{}<form role=search>FRAME</form></main>",
        "<body><!-- FRAME --><template>FRAME</template>{}</body>",
        "<div class=breadcrumbs><a href=/>FRAME</a></div><div>{}</div>",
    ],
)
def test_the_frame_of_a_page_is_left_out(frame: str):
    written = markdown(frame.format(f"<h1>Title</h1>{FILLER}"))

    assert "FRAME" not in written
    assert written.startswith("# Title\n\nThis paragraph")


def test_a_page_without_any_landmark_is_kept_whole():
    assert markdown("<h1>T</h1><div><p>One.</p><p>Two.</p></div>") == "# T\n\nOne.\n\nTwo.\n"


def test_a_name_does_not_condemn_what_holds_the_page():
    assert "paragraph" in markdown(f"<div class='main-sidebar-layout sidebar'><h1>T</h1>{FILLER}</div>")


def test_several_articles_are_all_content():
    written = markdown(
        f"<body><nav>x</nav><div>{''.join(f'<article><h2>A{n}</h2>{FILLER}</article>' for n in (1, 2))}</div>"
    )

    assert "## A1" in written
    assert "## A2" in written


def test_notes_in_the_content_stay():
    html = f"<main><h1>T</h1>{FILLER}<aside class='admonition note'><p>Mind this.</p></aside></main>"
    assert "Mind this." in markdown(html)


def test_permalinks_are_taken_off_headings():
    html = (
        f"<main><h2 id=a>Use it<a class=headerlink href='#a'>¶</a></h2><h2><a href='#b'>#</a> More</h2>{FILLER}</main>"
    )
    assert "## Use it\n\n## More\n" in markdown(html)


@pytest.mark.parametrize(
    ("html", "fence"),
    [
        ("<pre>a\n  b\n</pre>", "```\na\n  b\n```"),
        ("<pre>\nfirst break is no text</pre>", "```\nfirst break is no text\n```"),
        ("<pre><code class='language-python hljs'>x = 1</code></pre>", "```python\nx = 1\n```"),
        (
            "<div class='highlight-python3 notranslate'><div class=highlight><pre><span>x</span> = 1</pre></div></div>",
            "```python\nx = 1\n```",
        ),
        ("<div class='highlight highlight-source-js'><pre>x</pre></div>", "```javascript\nx\n```"),
        ("<pre data-lang=rust>x</pre>", "```rust\nx\n```"),
        ("<div class='highlight-default'><pre>x</pre></div>", "```\nx\n```"),
        ("<pre><span class=linenos>1</span>a<br>b</pre>", "```\na\nb\n```"),
        ("<pre>has ``` inside</pre>", "````\nhas ``` inside\n````"),
        ("<pre>&lt;b&gt; *not* [markup](x) \\ __a__</pre>", "```\n<b> *not* [markup](x) \\ __a__\n```"),
        ("<table><tr><td class=linenos><pre>1</pre></td><td><pre>code</pre></td></tr></table>", "```\ncode\n```"),
    ],
)
def test_code_blocks_keep_their_text_and_language(html: str, fence: str):
    assert fence in markdown(f"<main><h1>T</h1>{FILLER}{html}</main>")


@given(
    st.text(
        st.characters(codec="ascii", exclude_characters="\r\x00\x0b\x0c", exclude_categories=["Cc"]),
        min_size=1,
        max_size=60,
    )
)
def test_any_code_survives_markdown(code: str):
    escaped = code.replace("&", "&amp;").replace("<", "&lt;")
    tokens = MarkdownIt().parse(markdown(f"<main>{FILLER}<pre>{escaped}</pre></main>"))

    found = [token.content.rstrip("\n") for token in tokens if token.type == "fence"]
    assert found == [code] or not code.strip()


@given(st.text(st.sampled_from("ab _*<>`[]()#-+1.|!&\\~"), min_size=1, max_size=25))
def test_any_text_reads_the_same_after_markdown(text: str):
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    written = markdown(f"<main>{FILLER}<p>x {escaped} y</p></main>")

    shown = fromstring(f"<div>{MarkdownIt().render(written)}</div>").text_content()
    assert " ".join(f"x {text} y".split()) in " ".join(shown.split())


def test_tables_lists_links_and_images():
    written = markdown(
        f"""<main><h1>T</h1>{FILLER}
        <table><thead><tr><th>Name</th><th>Pipe | d</th></tr></thead>
        <tbody><tr><td>a</td><td>1</td></tr></tbody></table>
        <ul><li>one<ul><li>inner</li></ul></li></ul><ol start=3><li>three</li></ol>
        <p><a href="../up#x" title="hint">up</a> <a href="javascript:x()">no</a> <a>plain</a></p>
        <p><img src="/i.png" alt="A  picture"><img data-src="late.png">
        <img src="data:image/png;base64,AAAA"></p></main>"""
    )

    assert "| Name | Pipe \\| d |\n| --- | --- |\n| a | 1 |" in written
    assert "- one\n  - inner" in written
    assert "3. three" in written
    assert "[up](http://example.com/up#x) no plain" in written
    assert "![A picture](http://example.com/i.png)" in written
    assert "![](http://example.com/docs/late.png)" in written
    assert "base64" not in written


def test_a_table_without_header_cells_is_a_table_and_a_grid_is_none():
    table = "<table><tr><td><a href=a>a</a></td><td>1</td></tr><tr><td>b</td><td>2</td></tr></table>"
    grid = "<table><tr><td><h2>Left</h2><p>x</p></td><td><ul><li>right</li></ul></td></tr></table>"
    written = markdown(f"<main>{FILLER}{table}{grid}</main>")

    assert written.count("| --- |") == 1
    assert "## Left" in written


def test_metadata_comes_from_the_head(api: Api, site: TargetSite):
    html = """<html lang="nb"><head><title> The  title </title><meta name=description content="What it is">
    <meta property="article:published_time" content="2026-01-05"><meta name=author content="Åse">
    <meta property="og:image" content="/pic.png"></head><body><main><h1>Other</h1><p>Tekst.</p></main></body>"""
    url = site.says("/meta", Answer(html.encode()))

    assert api.http.post("/distill", json={"url": url, "include": ["metadata"]}).json()["data"]["metadata"] == {
        "title": "The title",
        "description": "What it is",
        "language": "nb",
        "author": "Åse",
        "publishedDate": "2026-01-05",
        "image": f"{site.origin}/pic.png",
        "sourceURL": url,
        "statusCode": 200,
        "contentLength": len(html.encode()),
    }


def test_what_is_not_asked_for_is_left_out(api: Api, site: TargetSite):
    html = (
        b"<main><h1>T</h1><p>Read <a href='/a#b'>this</a> <a href='#c'>c</a>.</p><img src=i.png width=10 alt=x></main>"
    )
    url = site.says("/formats", Answer(html))

    def keys(**body: object) -> dict:
        return api.http.post("/distill", json={"url": url, **body}).json()["data"]

    assert set(keys()) == {"url", "markdown"}
    assert set(keys(formats=["links"])) == {"url", "links"}
    assert keys(formats=["links"])["links"] == [{"text": "this", "href": f"{site.origin}/a#b"}]
    assert keys(formats=["images"])["images"] == [
        {"src": f"{site.origin}/i.png", "alt": "x", "width": 10, "height": None}
    ]
    assert keys(includeHtml=True)["html"] == html.decode()
    assert "links" in keys(extractLinks=True)


def test_a_base_element_is_obeyed():
    page = read_page(
        Fetched(BASE, 200, "text/html", b"<base href='/other/'><main><p>A <a href=x>link</a> to read.</p></main>")
    )
    assert "(http://example.com/other/x)" in page.markdown


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"includeTags": [".post p"]}, "one two"),
        ({"includeTags": ["h1", "#last"]}, "Title last"),
        ({"excludeTags": ["p.ad", "#last"]}, "Title one two"),
        ({"includeTags": ["[data-x=1]"]}, "two"),
        ({"includeTags": [".post"], "excludeTags": ["p"]}, "Title"),
    ],
)
def test_tags_can_be_chosen(options: dict, kept: str):
    html = b"""<body><div class=post><h1>Title</h1><p>one</p><p data-x=1>two</p></div>
    <p class=ad>ad</p><p id=last>last</p></body>"""
    page = read_page(Fetched(BASE, 200, "text/html", html), PageOptions.model_validate(options))

    words = page.markdown.replace("#", "").split()
    assert [word for word in words if word != "ad" or "ad" in kept] == kept.split()


@pytest.mark.parametrize("selector", ["", "a > b", "a:hover", "p::before", "a,b", "[x='1'][", "']"])
def test_selectors_of_other_kinds_are_refused(selector: str):
    with pytest.raises(ValueError, match=r"selector|not a tag"):
        to_xpath(selector)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_by_code(body: bytes):
    for content_type in ("text/html", "text/plain", ""):
        try:
            page = read_page(Fetched(BASE, 200, content_type, body))
        except EmulatorError as error:
            assert error.code in {"SCRAPE_EMPTY_CONTENT", "SCRAPE_UNSUPPORTED_FILE"}  # noqa: PT017
        else:
            assert page.markdown.strip()
            page.markdown.encode()


def test_a_deeply_nested_page_is_read():
    html = b"<main>" + b"<div>" * 2000 + b"<p>Deep down there is a sentence.</p>"
    assert "Deep down" in read_page(Fetched(BASE, 200, "text/html", html)).markdown


PAGE = """# Tides

The tide rises and falls twice a day. Pilots read the tide table before a ship enters the harbour.

```python
tide = "The tide in code is not prose."
```

| a | b |
| --- | --- |

- The harbour office prints the tide table every December. It costs 3.50 euros.
"""


def test_sentences_are_prose_only():
    assert sentences_of(PAGE) == [
        "The tide rises and falls twice a day.",
        "Pilots read the tide table before a ship enters the harbour.",
        "The harbour office prints the tide table every December.",
    ]


def test_answers_are_sentences_of_the_page_or_nothing():
    assert answer(PAGE, "When does the harbour office print the table?") == (
        "The harbour office prints the tide table every December."
    )
    assert answer(PAGE, "Who won the football match?") is None
    assert highlights(PAGE, "harbour pilots")[0].startswith("Pilots read")
    assert highlights(PAGE, "the of and") == []
    assert summary("# Only a heading\n") is None


@given(st.lists(st.sampled_from(PAGE.split()), max_size=60), st.text(max_size=20))
def test_nothing_is_invented(words: list[str], question: str):
    text = " ".join(words)
    source = " ".join(re.findall(r"\w+", text))
    for found in (summary(text), answer(text, question), *highlights(text, question)):
        for sentence in sentences_of(found) if found else []:
            assert " ".join(re.findall(r"\w+", sentence)) in source
