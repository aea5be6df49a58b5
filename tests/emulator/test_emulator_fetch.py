"""Fetching: what each answer of a site becomes, and the limits."""

import asyncio
import gzip
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from emulator_support import Answer, Api, Start, TargetSite, Visit
from hypothesis import given
from hypothesis import strategies as st

from thunderbit_dagster.api.codes import JobKind
from thunderbit_dagster.emulator import EmulatorSettings
from thunderbit_dagster.emulator.charset import decode
from thunderbit_dagster.emulator.errors import EmulatorError
from thunderbit_dagster.emulator.options import PageOptions
from thunderbit_dagster.emulator.robots import allows
from thunderbit_dagster.emulator.store import EmulatorStore
from thunderbit_dagster.emulator.worker import Engine

HTML = {"Content-Type": "text/html"}
PROSE = b"<main><h1>Title</h1><p>A sentence that is worth reading.</p></main>"
MEGABYTE = 1024 * 1024


def test_each_answer_of_a_site_has_its_code(api: Api, site: TargetSite):
    expected = {
        "/401": (Answer(PROSE, 401), "SCRAPE_TARGET_FORBIDDEN"),
        "/403": (Answer(PROSE, 403), "SCRAPE_TARGET_FORBIDDEN"),
        "/404": (Answer(PROSE, 404), "SCRAPE_TARGET_NOT_FOUND"),
        "/410": (Answer(PROSE, 410), "SCRAPE_TARGET_NOT_FOUND"),
        "/429": (Answer(PROSE, 429), "SCRAPE_TARGET_RATE_LIMITED"),
        "/500": (Answer(PROSE, 500), "SCRAPE_SITE_ERROR"),
        "/503": (Answer(PROSE, 503), "SCRAPE_SITE_ERROR"),
        "/empty": (Answer(b""), "SCRAPE_EMPTY_CONTENT"),
        "/blank": (Answer(b" \n\t"), "SCRAPE_EMPTY_CONTENT"),
        "/scripts": (Answer(b"<body><script>write('x')</script><nav>Home</nav></body>"), "SCRAPE_EMPTY_CONTENT"),
        "/pdf": (Answer(b"%PDF-1.7", headers={"Content-Type": "application/pdf"}), "SCRAPE_UNSUPPORTED_FILE"),
        "/binary": (Answer(b"\x00\x01\x02" * 90, headers=HTML), "SCRAPE_UNSUPPORTED_FILE"),
        "/json": (Answer(b"{}", headers={"Content-Type": "application/json"}), "SCRAPE_UNSUPPORTED_FILE"),
        "/large": (Answer(b"x" * (10 * MEGABYTE + 1)), "SCRAPE_CONTENT_TOO_LARGE"),
        "/bomb": (
            Answer(gzip.compress(b"0" * (60 * MEGABYTE)), headers={**HTML, "Content-Encoding": "gzip"}),
            "SCRAPE_CONTENT_TOO_LARGE",
        ),
        "/damaged": (Answer(b"\x1f\x8bnot gzip", headers={**HTML, "Content-Encoding": "gzip"}), "SCRAPE_SITE_ERROR"),
        "/brotli": (Answer(b"??", headers={**HTML, "Content-Encoding": "br"}), "SCRAPE_SITE_ERROR"),
        "/cut": (Answer(PROSE, headers={**HTML, "Content-Length": "9999", "Connection": "close"}), "SCRAPE_SITE_ERROR"),
        "/loop": (Answer(b"", 302, {"Location": "/loop"}), "SCRAPE_SITE_ERROR"),
        "/odd": (Answer(b"", 302, {"Location": "ftp://127.0.0.1/"}), "SCRAPE_SITE_ERROR"),
    }
    urls = [site.says(path, answer) for path, (answer, _) in expected.items()]

    job = api.run(urls)

    assert [row.get("error", {}).get("code") for row in job["results"]] == [code for _, code in expected.values()]
    assert all(row["error"]["message"] for row in job["results"])
    assert job["creditsUsed"] == 0


def test_connections_that_fail_have_their_codes(start: Start, site: TargetSite):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    tls = site.origin.replace("http:", "https:")

    def resolve(host: str, _port: int) -> list[str]:
        if host == "nowhere.test":
            raise EmulatorError("SCRAPE_DNS_RESOLUTION_ERROR", "no such name")
        return [host]

    api = start(allow_origins=(site.origin, closed), resolve=resolve)
    job = api.run([closed + "/", tls + "/", "http://nowhere.test/"])

    codes = [row["error"]["code"] for row in job["results"]]
    assert codes == ["SCRAPE_SITE_ERROR", "SCRAPE_SSL_ERROR", "SCRAPE_DNS_RESOLUTION_ERROR"]


def test_a_certificate_nobody_signed_is_an_ssl_error(start: Start, site: TargetSite):
    site._server.socket = _with_tls(site._server.socket)
    origin = site.origin.replace("http:", "https:")
    api = start(allow_origins=(origin,))

    assert api.code("POST", "/distill", json={"url": origin + "/"}) == (422, "SCRAPE_SSL_ERROR")


def _with_tls(listener: socket.socket) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).with_name("self_signed.pem"))
    return context.wrap_socket(listener, server_side=True, do_handshake_on_connect=False)


def test_a_name_that_does_not_exist_is_a_resolution_error(api: Api):
    assert api.code("POST", "/distill", json={"url": "http://x.invalid/"}) == (422, "SCRAPE_DNS_RESOLUTION_ERROR")


async def failure(origin: str, milliseconds: int) -> str:
    """The code with which a page fails that may take so long."""
    store = EmulatorStore(None)
    engine = Engine(EmulatorSettings(allow_origins=(origin,)), store)
    options = PageOptions().model_copy(update={"timeout": milliseconds})
    with pytest.raises(EmulatorError) as caught:
        await engine.page(JobKind.DISTILL, f"{origin}/page", options)
    await engine.close()
    store.close()
    return caught.value.code


def test_a_page_that_takes_too_long_times_out():
    # Connections wait in the backlog for ever: nothing is accepted, so no answer comes.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert asyncio.run(failure(f"http://127.0.0.1:{silent.getsockname()[1]}", 20)) == "SCRAPE_TIMEOUT"


def endless(first: bytes, again: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    """Answers that begin and never end; there is no robots.txt."""

    def answer(connection: socket.socket) -> None:
        while b"/robots.txt" in connection.recv(65536):
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        connection.sendall(first)
        while True:
            connection.sendall(again)
            time.sleep(pause)

    return answer


@contextmanager
def raw_site(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The origin of a site that answers every connection so."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            answer(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HOSTILE = {
    "a body without end": (endless(CHUNKED, b"10000\r\n" + b"x" * 65536 + b"\r\n"), "SCRAPE_CONTENT_TOO_LARGE"),
    "a byte now and then": (endless(CHUNKED, b"1\r\nx\r\n", 0.05), "SCRAPE_TIMEOUT"),
    "headers without end": (endless(OK, b"X-More: " + b"x" * 60 + b"\r\n"), "SCRAPE_SITE_ERROR"),
    "a header now and then": (endless(OK, b"X: y\r\n", 0.05), "SCRAPE_TIMEOUT"),
    "early hints without end": (endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.001), "SCRAPE_TIMEOUT"),
    "not HTTP": (endless(b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00" * 100, 0.001), "SCRAPE_SITE_ERROR"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_answer_that_never_ends_fails_its_page_in_time(kind: str):
    answer, code = HOSTILE[kind]
    with raw_site(answer) as origin:
        assert asyncio.run(failure(origin, 300 if code == "SCRAPE_TIMEOUT" else 20_000)) == code


def test_a_robots_txt_that_never_ends_fails_the_page_in_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("thunderbit_dagster.emulator.fetch.ROBOTS_SECONDS", 0.1)

    def trickle(connection: socket.socket) -> None:
        connection.sendall(CHUNKED)
        while True:
            connection.sendall(b"1\r\nx\r\n")
            time.sleep(0.01)

    with raw_site(trickle) as origin:
        assert asyncio.run(failure(origin, 20_000)) == "SCRAPE_TIMEOUT"


def test_a_robots_txt_of_many_rules_and_stars_is_read_at_once():
    rules = "\n".join(f"Disallow: /{number}{'*a' * 20}b" for number in range(10_000))
    began = time.process_time()
    assert allows(f"User-agent: *\nDisallow: /{'*a' * 30}b\n{rules}", f"http://x.test/{'a' * 5_000}")
    assert time.process_time() - began < 5.0


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate"])
def test_compressed_pages_are_read(api: Api, site: TargetSite, encoding: str):
    raw = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": gzip.compress(PROSE),
        "deflate": zlib.compress(PROSE),
        "raw deflate": raw.compress(PROSE) + raw.flush(),
    }[encoding]
    url = site.says("/packed", Answer(packed, headers={**HTML, "Content-Encoding": encoding.removeprefix("raw ")}))

    assert api.http.post("/distill", json={"url": url}).json()["data"]["markdown"].startswith("# Title")


def test_redirects_are_followed_and_the_final_address_is_told(api: Api, site: TargetSite):
    final = site.page("/new")
    old = site.says("/old", Answer(b"", 301, {"Location": "/newer"}))
    site.says("/newer", Answer(b"", 302, {"Location": final}))

    data = api.http.post("/distill", json={"url": old, "include": ["metadata"]}).json()["data"]

    assert data["url"] == old
    assert data["metadata"]["sourceURL"] == final


def test_headers_go_to_the_site_and_to_no_other(start: Start, site: TargetSite):
    other = TargetSite()
    api = start(allow_origins=(site.origin, other.origin))
    url = site.says("/away", Answer(b"", 302, {"Location": other.page("/there")}))

    answer = api.http.post("/distill", json={"url": url, "headers": {"Cookie": "id=1", "Host": "evil.test"}})

    other.close()
    assert answer.status_code == 200
    sent = next(visit.headers for visit in site.visits if visit.path == "/away")
    assert (sent["cookie"], sent["host"]) == ("id=1", site.origin.removeprefix("http://"))
    assert "thunderbit-emulator" in sent["user-agent"]
    assert all("cookie" not in visit.headers for visit in other.visits)


def test_plain_text_and_markdown_come_as_they_are(api: Api, site: TargetSite):
    plain = site.says("/a.txt", Answer(b"# Not a heading?\n\n<b>kept</b>\n", headers={"Content-Type": "text/plain"}))
    markdown = site.says("/a.md", Answer("# Überschrift\n".encode(), headers={"Content-Type": "text/markdown"}))

    assert (
        api.http.post("/distill", json={"url": plain}).json()["data"]["markdown"] == "# Not a heading?\n\n<b>kept</b>\n"
    )
    assert api.http.post("/distill", json={"url": markdown}).json()["data"]["markdown"] == "# Überschrift\n"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("Größe “x” €".encode(), "text/html; charset=utf-8"),
        ("Größe “x” €".encode("cp1252"), "text/html; charset=ISO-8859-1"),
        ("Größe “x” €".encode("cp1252"), "text/html"),
        ("Größe “x” €".encode(), "text/html"),
        (b"\xef\xbb\xbf" + "Größe “x” €".encode(), "text/html; charset=latin-1"),
        (b"\xff\xfe" + "Größe “x” €".encode("utf-16-le"), ""),
        (b'<meta charset="windows-1252">' + "Größe “x” €".encode("cp1252"), ""),
        (
            b'<meta http-equiv=x content="text/html; charset=utf-8">' + "Größe “x” €".encode(),
            "text/html; charset=rot13",
        ),
        ("Größe “x” €".encode(), "text/html; charset=unicode_escape"),
    ],
)
def test_the_charset_is_found(body: bytes, content_type: str):
    assert decode(body, content_type).endswith("Größe “x” €")


@given(st.binary(max_size=200), st.text(max_size=30))
def test_any_bytes_decode(body: bytes, label: str):
    assert isinstance(decode(body, f"text/html; charset={label}"), str)


@pytest.mark.parametrize(
    ("robots", "path", "allowed"),
    [
        ("", "/a", True),
        ("User-agent: *\nDisallow: /", "/a", False),
        ("User-agent: *\nDisallow:", "/a", True),
        ("User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", True),
        ("User-agent: *\nDisallow: /a/b\nAllow: /a", "/a/b", False),
        ("User-agent: *\nAllow: /a\nDisallow: /a", "/a", True),
        ("User-agent: *\nDisallow: /*.pdf$", "/x/y.pdf", False),
        ("User-agent: *\nDisallow: /*.pdf$", "/x/y.pdf?z", True),
        ("User-agent: *\nDisallow: /*.pdf$", "/x.pdf/y.pdf", False),
        ("User-agent: *\nDisallow: /a*", "/a", False),
        ("User-agent: *\nDisallow: /a$", "/ab", True),
        ("User-agent: *\nDisallow: /a*a$", "/a", True),
        ("User-agent: *\nDisallow: /*$", "/a", False),
        ("User-agent: *\nDisallow: /*b*c", "/cb", True),
        ("User-agent: *\nDisallow: /\nUser-agent: thunderbit-emulator\nDisallow: /b", "/a", True),
        ("User-agent: other\nUser-agent: Thunderbit-Emulator # us\nDisallow: /a", "/a", False),
        ("User-agent: other\nDisallow: /a", "/a", True),
        ("User-agent: thunderbit-emulator\nDisallow: /a\n\nUser-agent: thunderbit-emulator\nDisallow: /b", "/b", False),
        ("\ufeffUSER-AGENT: *\nDISALLOW: /a?x=", "/a?x=1", False),
        ("User-agent: *\nSitemap: http://x/\nDisallow: /caf%C3%A9", "/café", False),
        ("User-agent: *\nDisallow: /", "/robots.txt", True),
        ("no rules here", "/a", True),
    ],
)
def test_robots_rules_are_read_as_the_standard_says(robots: str, path: str, allowed: bool):
    assert allows(robots, f"http://x.test{path}") is allowed


def test_robots_txt_is_honoured_once_per_job_and_origin(api: Api, site: TargetSite):
    site.says("/robots.txt", Answer(b"User-agent: *\nDisallow: /private", headers={"Content-Type": "text/plain"}))
    sneaky = site.says("/sneaky", Answer(b"", 302, {"Location": "/private/b"}))

    job = api.run([site.page("/open"), site.page("/private/a"), sneaky])

    assert [row["status"] for row in job["results"]] == ["SUCCEEDED", "FAILED", "FAILED"]
    assert {row["error"]["code"] for row in job["results"][1:]} == {"SCRAPE_TARGET_FORBIDDEN"}
    assert [visit.path for visit in site.visits].count("/robots.txt") == 1
    assert not any(visit.path.startswith("/private") for visit in site.visits)


def test_a_robots_txt_that_cannot_be_had_fails_the_page(api: Api, site: TargetSite):
    site.says("/robots.txt", Answer(b"", 503))

    assert api.code("POST", "/distill", json={"url": site.page("/a")}) == (422, "SCRAPE_SITE_ERROR")
    assert [visit.path for visit in site.visits] == ["/robots.txt"]


def test_pages_of_a_host_are_fetched_a_few_at_a_time(start: Start, site: TargetSite):
    at_once = [0, 0]
    site_gate = threading.Event()

    def count(_visit: Visit) -> Answer:
        at_once[0] += 1
        at_once[1] = max(at_once)
        site_gate.wait(0.02)
        at_once[0] -= 1
        return Answer(PROSE)

    api = start()
    urls = [site.says(f"/c/{number}", count) for number in range(24)]
    jobs = [api.submit(urls[:12]), api.submit(urls[12:])]
    assert all(api.finished(job)["completed"] == 12 for job in jobs)
    assert 1 < at_once[1] <= 8
