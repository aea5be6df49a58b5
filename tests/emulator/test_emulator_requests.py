"""Request bodies: every field, every range, every documented refusal."""

from collections.abc import Iterator

import pytest
from emulator_support import ROOMY, Api, Start, TargetSite

from thunderbit_dagster.api.codes import HTTP_STATUS
from thunderbit_dagster.emulator import Dialect, Emulator, Faults, Rule

SCHEMA = {"type": "object", "properties": {"title": {"type": "string"}}}
URL = "http://example.com/"

BAD_FIELDS = {
    "timeout": [4999, 60_001, "5000", 5000.5, True, None],
    "waitFor": [-1, 10_001, "1"],
    "renderMode": ["advanced", "", 1],
    "countryCode": ["U", "USA", 1],
    "forceRefresh": ["true", 1],
    "include": ["metadata", ["title"], [1]],
    "includeHtml": ["yes"],
    "extractLinks": [0],
    "includeTags": ["main", [1], ["a > b"]],
    "excludeTags": [{}, [""]],
    "headers": ["a: b", {"X": 1}, {"A b": "c"}, {"X": "a\r\nB: c"}, {"X": "ü"}],
    "formats": [
        ["pdf"],
        [{"type": "question"}],
        [{"type": "highlights", "query": ""}],
        [{"type": "poem"}],
        "markdown",
        None,
    ],
}


@pytest.fixture(scope="module")
def refusing() -> Iterator[Api]:
    """One emulator for all that it refuses, which leaves no trace."""
    with Emulator(plan=ROOMY) as emulator:
        api = Api(emulator)
        yield api
        api.http.close()


@pytest.mark.parametrize(("field", "value"), [(name, value) for name, values in BAD_FIELDS.items() for value in values])
def test_a_field_out_of_range_is_named(refusing: Api, field: str, value: object):
    for path, body in (("/distill", {"url": URL}), ("/batch/distill", {"urls": [URL]})):
        answer = refusing.http.post(path, json={**body, field: value})
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "INVALID_PARAMETER"
        assert {name.partition(".")[0] for name in answer.json()["error"]["details"]} == {field}


def test_fields_in_range_are_taken_and_unknown_ones_ignored(api: Api, site: TargetSite):
    body = {
        "url": site.page("/a"),
        "timeout": 60_000,
        "waitFor": 10_000,
        "renderMode": "full",
        "countryCode": "DE",
        "forceRefresh": True,
        "include": ["metadata", "html", "links"],
        "formats": ["markdown", "links", "images"],
        "includeHtml": False,
        "includeTags": ["main"],
        "excludeTags": [".ad", "#x"],
        "headers": {"Accept-Language": "de"},
        "somethingNew": [1],
    }
    data = api.http.post("/distill", json=body).json()["data"]

    assert set(data) == {"url", "markdown", "metadata", "html", "links", "images"}


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/distill", {}, "INVALID_PARAMETER"),
        ("/distill", {"url": 1}, "INVALID_PARAMETER"),
        ("/distill", {"url": ""}, "INVALID_URL"),
        ("/distill", {"url": "example.com"}, "INVALID_URL"),
        ("/distill", {"url": "ftp://example.com/"}, "INVALID_URL"),
        ("/distill", {"url": "javascript:alert(1)"}, "INVALID_URL"),
        ("/distill", {"url": "http://"}, "INVALID_URL"),
        ("/distill", {"url": "http://exa mple.com/"}, "INVALID_URL"),
        ("/distill", {"url": "http://x:99999/"}, "INVALID_URL"),
        ("/distill", {"url": "http://[::1/"}, "INVALID_URL"),
        ("/distill", {"url": "http://x/" + "a" * 8192}, "INVALID_URL"),
        ("/extract", {"url": URL}, "SCHEMA_OR_PROMPT_REQUIRED"),
        ("/extract", {"url": URL, "schema": SCHEMA, "prompt": "x"}, "SCHEMA_AND_PROMPT_EXCLUSIVE"),
        ("/extract", {"url": URL, "prompt": "titles"}, "INVALID_PARAMETER"),
        ("/extract", {"url": URL, "schema": "title"}, "INVALID_SCHEMA"),
        ("/extract", {"url": URL, "schema": {}}, "INVALID_SCHEMA"),
        (
            "/extract",
            {"url": URL, "schema": {"type": "object", "properties": {"a": {"type": "colour"}}}},
            "INVALID_SCHEMA",
        ),
        ("/extract", {"url": URL, "schema": {"properties": []}}, "INVALID_SCHEMA"),
        ("/extract", {"url": URL, "schema": {"a": 1}}, "INVALID_SCHEMA"),
        ("/extract", {"url": URL, "schema": [{"name": "a", "type": "COLOUR"}]}, "INVALID_SCHEMA"),
        ("/extract", {"url": URL, "schema": SCHEMA, "timeout": 120_001}, "INVALID_PARAMETER"),
        ("/batch/distill", {}, "INVALID_PARAMETER"),
        ("/batch/distill", {"urls": []}, "INVALID_PARAMETER"),
        ("/batch/distill", {"urls": URL}, "INVALID_PARAMETER"),
        ("/batch/distill", {"urls": [1]}, "INVALID_PARAMETER"),
        ("/batch/distill", {"urls": [URL] * 101}, "BATCH_SIZE_EXCEEDED"),
        ("/batch/extract", {"urls": [URL] * 101, "schema": SCHEMA}, "BATCH_SIZE_EXCEEDED"),
        ("/batch/extract", {"urls": [URL]}, "SCHEMA_OR_PROMPT_REQUIRED"),
        ("/batch/distill", {"urls": [URL], "webhook": "http://x/"}, "INVALID_PARAMETER"),
        ("/batch/distill", {"urls": [URL], "webhook": {}}, "INVALID_PARAMETER"),
        ("/batch/distill", {"urls": [URL], "webhook": {"url": "nowhere"}}, "INVALID_URL"),
        ("/batch/distill", {"urls": [URL], "webhook": None}, "INVALID_PARAMETER"),
        ("/search", {}, "INVALID_PARAMETER"),
        ("/search", {"query": "x", "limit": 11}, "INVALID_PARAMETER"),
        ("/suggest_fields", {}, "INVALID_PARAMETER"),
    ],
)
def test_a_wrong_body_is_refused_with_its_code(refusing: Api, path: str, body: dict, code: str):
    assert refusing.code("POST", path, json=body) == (400, code)
    assert refusing.emulator.jobs == []


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'"x"', b"\xff", b"NaN", b'{"url": NaN}', b'{"url": "\\ud800"}', b"[" * 100_000]
)
def test_a_body_that_is_no_json_object_is_malformed(refusing: Api, raw: bytes):
    assert refusing.code("POST", "/distill", content=raw) == (400, "MALFORMED_REQUEST_BODY")


def test_a_body_of_any_size_is_not_read(refusing: Api):
    assert refusing.code("POST", "/distill", content=b" " * (10 * 1024 * 1024 + 1)) == (413, "MALFORMED_REQUEST_BODY")


def test_the_extract_limit_is_fifty_by_dialect(start: Start, site: TargetSite):
    api = start(faults=Faults(dialect=Dialect(extract_batch_urls=50)))
    urls = site.pages(1) * 51

    assert api.code("POST", "/batch/extract", json={"urls": urls, "schema": SCHEMA}) == (400, "BATCH_SIZE_EXCEEDED")
    assert api.run(urls[:50], "extract", schema=SCHEMA)["completed"] == 50
    assert api.run(urls)["completed"] == 51


def test_unknown_routes_and_methods_answer_in_the_envelope(refusing: Api):
    api = refusing
    assert api.code("GET", "/jobs") == (404, "NOT_FOUND")
    assert api.code("GET", "/distill") == (405, "METHOD_NOT_ALLOWED")
    assert api.code("POST", "/batch/distill/x") == (405, "METHOD_NOT_ALLOWED")


def test_every_documented_code_can_be_had(start: Start):
    rules = [
        Rule("status", status=status, code=code, nth=(n,)) for n, (code, status) in enumerate(HTTP_STATUS.items(), 1)
    ]
    api = start(faults=Faults(rules=tuple(rules)))

    answers = [api.code("GET", "/batch/distill/x") for _ in rules]

    assert answers == [(status, code) for code, status in HTTP_STATUS.items()]


def test_every_code_can_befall_a_row(start: Start, site: TargetSite):
    urls = site.pages(len(HTTP_STATUS))
    rules = [Rule("row_failed", url=url, code=code) for url, code in zip(urls, HTTP_STATUS, strict=True)]
    api = start(faults=Faults(rules=tuple(rules)))

    job = api.run([*urls, site.page("/good")])

    assert [row["error"]["code"] for row in job["results"][:-1]] == list(HTTP_STATUS)
    assert job["completed"] == 1
