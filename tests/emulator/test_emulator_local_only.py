"""No web page that a developer has open can read, freeze or pay through the emulator on the same machine."""

import httpx
import pytest
from emulator_support import Api

from thunderbit_dagster.emulator import DEMO_KEY
from thunderbit_dagster.emulator.local_only import why_refused


def origin(api: Api) -> str:
    return api.emulator.base_url.removesuffix("/openapi/v1")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example"},
        {"Host": "rebound.example:80"},
        {"Host": "127.0.0.1.rebound.example"},
        {"Host": ""},
        {"Host": "[::1"},
        {"Origin": "https://rebound.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
@pytest.mark.parametrize("call", ["POST /_emulator/hold", "GET /_emulator/stats", "POST /openapi/v1/distill"])
def test_requests_of_pages_elsewhere_are_refused(api: Api, headers, call):
    method, path = call.split()
    before = len(api.emulator.requests)
    with httpx.Client(headers={"Authorization": f"Bearer {api.emulator.api_key}"}) as client:
        answer = client.request(method, origin(api) + path, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "FORBIDDEN"
    assert len(api.emulator.requests) == before


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8710", "127.0.0.1:1", "[::1]:8710", "api.localhost", "127.0.0.53"]
)
def test_names_of_this_machine_are_served(host):
    assert why_refused(host, None, None) is None
    assert why_refused(host, f"http://{host}", "same-origin") is None


@pytest.mark.parametrize("path", ["/_emulator/hold", "/_emulator/release"])
def test_holding_and_releasing_need_the_key(api: Api, path):
    assert httpx.post(origin(api) + path).status_code == 401
    wrong = {"Authorization": f"Bearer {DEMO_KEY[:-1]}0"}
    assert httpx.post(origin(api) + path, headers=wrong).status_code in {401, 403}
    right = {"Authorization": f"Bearer {api.emulator.api_key}"}
    assert httpx.post(origin(api) + path, headers=right).json() == {"success": True}
    api.emulator.release()
