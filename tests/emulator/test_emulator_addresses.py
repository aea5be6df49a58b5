"""The address guard: nothing private is dialled, however it is spelled, and no name is resolved twice."""

import itertools
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from emulator_support import Answer, Start, TargetSite
from hypothesis import given
from hypothesis import strategies as st

from thunderbit_dagster.emulator import Emulator
from thunderbit_dagster.emulator.addresses import Origin, address_refusal, check, is_own, resolve
from thunderbit_dagster.emulator.errors import EmulatorError

PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",  # noqa: S104 - an address to refuse
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1%eth0",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2001::1",
    "2001:db8::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public_are_refused(address: str):
    assert address_refusal(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_public_addresses_are_not(address: str):
    assert address_refusal(address) is None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_inside_ipv6(address):
    inside = (f"::ffff:{address}", f"64:ff9b::{address}")
    assert all(bool(address_refusal(spelled)) == bool(address_refusal(str(address))) for spelled in inside)


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost"])
def test_odd_spellings_resolve_to_what_they_are(host: str):
    assert all(address_refusal(address) for address in resolve(host, 80))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f.1:{port}/",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://0:{port}/",
        "http://user@127.0.0.1:{port}/",
    ],
)
def test_nothing_private_is_reached_without_being_named(start: Start, site: TargetSite, url: str):
    api = start(allow_origins=())
    site.page("/")

    answer = api.http.post("/distill", json={"url": url.format(port=site.origin.rpartition(":")[2])})

    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "SCRAPE_TARGET_FORBIDDEN"
    assert "allow_origins" in answer.json()["error"]["message"]
    assert site.visits == []


def test_an_octal_spelling_is_no_url(start: Start, site: TargetSite):
    url = "http://0177.0.0.1:" + site.origin.rpartition(":")[2]

    assert start().code("POST", "/distill", json={"url": url}) == (400, "INVALID_URL")


def test_a_redirect_to_a_private_address_is_not_followed(start: Start, site: TargetSite):
    inside = TargetSite()
    url = site.says("/out", Answer(b"", 302, {"Location": inside.page("/secret")}))
    api = start()

    assert api.code("POST", "/distill", json={"url": url}) == (422, "SCRAPE_TARGET_FORBIDDEN")
    assert inside.visits == []
    inside.close()


def test_a_name_that_changes_its_answer_is_dialled_at_the_checked_address(start: Start, site: TargetSite):
    port = int(site.origin.rpartition(":")[2])
    answers = iter([["203.0.113.9"], ["127.0.0.1"]])
    asked: list[str] = []

    def resolve_anew(host: str, _port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    api = start(allow_origins=(), resolve=resolve_anew)
    assert api.code("POST", "/distill", json={"url": f"http://rebind.test:{port}/"}) == (422, "SCRAPE_TARGET_FORBIDDEN")
    assert asked == ["rebind.test"]
    # The second answer is the loopback: each connection is checked by what it resolved itself.
    assert api.code("POST", "/distill", json={"url": f"http://rebind.test:{port}/"}) == (422, "SCRAPE_TARGET_FORBIDDEN")
    assert site.visits == []


class Everywhere(BaseHTTPRequestHandler):
    """A page at every address of this machine; the ones it was reached at are noted."""

    protocol_version = "HTTP/1.1"
    reached: list[str]

    def setup(self) -> None:
        super().setup()
        self.reached.append(self.connection.getsockname()[0])

    def do_GET(self) -> None:
        body = b"<title>Here</title><main><h1>Here</h1><p>Some words that are worth reading.</p></main>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a loopback has one address")
def test_a_name_is_dialled_at_the_address_that_was_checked_and_is_not_resolved_again(start: Start):
    answered: list[str] = []
    numbers = itertools.count(1)

    def resolve_anew(_host: str, _port: int) -> list[str]:
        answered.append(f"127.0.0.{next(numbers)}")
        return answered[-1:]

    handler = type("Handler", (Everywhere,), {"reached": []})
    with ThreadingHTTPServer(("", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        origin = f"http://rebind.test:{server.server_port}"
        api = start(allow_origins=(origin,), resolve=resolve_anew)
        assert api.http.post("/distill", json={"url": f"{origin}/"}).status_code == 200
        server.shutdown()
    assert len(answered) >= 1
    assert handler.reached == answered


def test_an_allowed_origin_is_allowed_by_its_name(start: Start, site: TargetSite):
    port = int(site.origin.rpartition(":")[2])
    api = start(allow_origins=(f"http://docs.test:{port}",), resolve=lambda _host, _port: ["127.0.0.1"])
    site.page("/")

    assert api.http.post("/distill", json={"url": f"http://docs.test:{port}/"}).status_code == 200
    assert site.visits[-1].headers["host"] == f"docs.test:{port}"
    assert api.code("POST", "/distill", json={"url": f"http://other.test:{port}/"})[0] == 422
    assert api.code("POST", "/distill", json={"url": "http://docs.test/"})[0] == 422


def test_one_private_answer_among_public_ones_is_enough():
    with pytest.raises(EmulatorError, match="private"):
        check(["8.8.8.8", "10.0.0.1"], Origin("mixed.test", 80), ())


def test_the_emulator_does_not_fetch_itself_even_when_allowed(start: Start):
    with Emulator() as probe:
        port = int(probe.base_url.split(":")[2].split("/")[0])
    api = start(port=port, allow_origins=(f"http://127.0.0.1:{port}",))

    answer = api.http.post("/distill", json={"url": f"http://127.0.0.1:{port}/_emulator/stats"})

    assert answer.json()["error"]["code"] == "SCRAPE_TARGET_FORBIDDEN"
    assert is_own(["::ffff:127.0.0.1"], port, port)
    assert not is_own(["127.0.0.1"], port + 1, port)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.10", "::", "example.com", ""])  # noqa: S104
def test_only_this_machine_is_served(host: str):
    with pytest.raises(ValueError, match="this machine only"):
        Emulator(host=host)


def test_an_origin_is_host_and_port():
    assert str(Origin.of("http://127.0.0.1:8123/x")) == "http://127.0.0.1:8123"
    assert str(Origin.of("HTTPS://Example.com/")) == "https://example.com"
    assert Origin.of("http://[::1]") == Origin("::1", 80)
    with pytest.raises(ValueError, match="origin"):
        Emulator(allow_origins=("127.0.0.1:8123",))
