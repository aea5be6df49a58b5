"""What survives: a restart, a kill -9 in the middle of a job, a signal, a second emulator."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from emulator_support import DEADLINE, Answer, Api, Start, TargetSite

from thunderbit_dagster.emulator import DEMO_KEY, Emulator, PortInUseError, StoreInUseError

OWN = "../../_emulator/"


@contextmanager
def process(**settings: object) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    child = Path(__file__).with_name("emulator_child.py")
    running = subprocess.Popen([sys.executable, str(child), json.dumps(settings)], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    headers = {"Authorization": f"Bearer {DEMO_KEY}"}
    try:
        base_url = running.stdout.readline().strip()
        assert base_url, "the emulator did not start"
        with httpx.Client(base_url=base_url, headers=headers, timeout=DEADLINE) as client:
            yield running, client
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


def until(client: httpx.Client, job: str, reached) -> dict:
    end = time.monotonic() + DEADLINE
    while not reached(found := client.get(f"/batch/distill/{job}", params={"pageSize": 100}).json()["data"]):
        assert time.monotonic() < end, found
        time.sleep(0.01)
    return found


def test_a_killed_emulator_goes_on_where_it_was_and_bills_once(site: TargetSite, tmp_path: Path):
    settings = {
        "data_dir": str(tmp_path),
        "allow_origins": [site.origin],
        "credits": 100,
        "webhook_retries": [0.05] * 5,
    }
    urls = site.pages(20)
    hook = site.says("/hook", Answer())
    with process(**settings) as (running, client):
        client.post(OWN + "hold")
        body = {"urls": urls, "webhook": {"url": hook, "secret": "s"}}
        job = client.post("/batch/distill", json=body).json()["data"]["id"]
        client.post(OWN + "release", params={"pages": 7})
        before = until(client, job, lambda found: found["completed"] == 7)
        running.send_signal(signal.SIGKILL)
        running.wait()

    fetched = [visit.path for visit in site.visits]
    with process(**settings) as (_, client):
        after = until(client, job, lambda found: found["status"] == "COMPLETED")
        stats = client.get(OWN + "stats").json()
        end = time.monotonic() + DEADLINE
        while not any(visit.path == "/hook" for visit in site.visits):
            assert time.monotonic() < end
            time.sleep(0.01)

    assert (after["completed"], after["creditsUsed"]) == (20, 20)
    assert [account["left"] for account in stats["credits"].values()] == [80]
    done = [row for row in before["results"] if row["status"] == "SUCCEEDED"]
    assert len(done) == 7
    assert [row for row in after["results"] if row["index"] in {row["index"] for row in done}] == done
    again = [visit.path for visit in site.visits][len(fetched) :]
    assert not {row["url"].removeprefix(site.origin) for row in done} & set(again)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_and_soon(site: TargetSite, tmp_path: Path, number: signal.Signals):
    with process(data_dir=str(tmp_path), allow_origins=[site.origin], hold=True) as (running, client):
        job = client.post("/batch/distill", json={"urls": site.pages(2)}).json()["data"]["id"]
        began = time.monotonic()
        running.send_signal(number)
        assert running.wait(timeout=DEADLINE) == 0
        assert time.monotonic() - began < 3

    with Emulator(data_dir=tmp_path, allow_origins=(site.origin,)) as emulator:
        api = Api(emulator)
        assert api.finished(job)["completed"] == 2
        api.http.close()


def test_a_restart_in_process_remembers_jobs_and_credits(start: Start, site: TargetSite, tmp_path: Path):
    with Emulator(data_dir=tmp_path, allow_origins=(site.origin,), credits=50, hold=True) as emulator:
        api = Api(emulator)
        job = api.submit(site.pages(5))
        api.http.close()

    api = start(data_dir=tmp_path, credits=9_999)

    assert api.finished(job)["completed"] == 5
    assert api.emulator.credits_left == 45
    assert (tmp_path / "emulator.sqlite3").stat().st_mode & 0o077 == 0


def test_a_directory_serves_one_emulator(start: Start, tmp_path: Path):
    start(data_dir=tmp_path)

    with pytest.raises(StoreInUseError, match="another emulator"):
        Emulator(data_dir=tmp_path).__enter__()


def test_a_port_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"port {port} on 127.0.0.1 is in use"):
            Emulator(port=port).__enter__()


def test_it_starts_quickly():
    began = time.perf_counter()
    with Emulator():
        assert time.perf_counter() - began < 0.3
