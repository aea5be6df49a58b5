"""A thousand hostile deliveries against the real command, with good ones in between."""

import asyncio
import os
import re
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
from click.testing import CliRunner
from webhook_support import PATIENCE, SECRET, close, deliver, head, payload, signed, until

from thunderbit_dagster import cli
from thunderbit_dagster.ledger.notifications import recent_webhook_calls

OF_EACH = 200
GOOD = 100
STALE_SECONDS = 7_200.0
MEMORY_KB = 30_000
"""By how much the receiver may grow: its connections, each with a body and headers, and its queue."""


def command(*arguments):
    return [sys.executable, "-m", "thunderbit_dagster.cli", "webhooks", "serve", *arguments]


@contextmanager
def receiver(home: Path):
    """The command in a process of its own: the process and the address it names."""
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    env = {**os.environ, "DAGSTER_HOME": str(home), "THUNDERBIT_WEBHOOK_SECRET": f"new,{SECRET}"}
    with (home / "receiver.log").open("w") as log:
        process = subprocess.Popen(command("--port", "0"), env=env, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            line = process.stdout.readline()
            yield process, re.search(r"http://\S+?(?=,)", line).group()
        finally:
            process.terminate()
            process.wait(PATIENCE)
            process.stdout.close()


def peak_kb(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1))


async def forged(url, number):
    body = payload(f"forged_{number}")
    return (await deliver(url, body, signed(body, secret=f"guess {number}"))).status


async def replayed(url, number):
    body = payload(f"replayed_{number}")
    return (await deliver(url, body, signed(body, at=time.time() - STALE_SECONDS))).status


async def truncated(url, number):
    body = payload(f"truncated_{number}")
    return (await deliver(url, body, signed(body), sent=len(body) - 1)).status


async def oversized(url, number):
    body = payload(f"oversized_{number}", filler="x" * 1_000_000)
    return (await deliver(url, body, signed(body))).status


async def slow(url, number):
    """Says how long its body is, sends a part, and waits until it is cut off."""
    body = payload(f"slow_{number}")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].split("/")[0]))
    writer.write(head(url, {**signed(body), "Content-Length": str(len(body))}) + body[:20])
    try:
        with suppress(ConnectionError):
            await reader.read()
    finally:
        await close(writer)


async def honest(url):
    answers = []
    for number in range(GOOD):
        body = payload(f"good_{number}")
        answers.append(await deliver(url, body, signed(body)))
    return answers


async def attack(url):
    # Slow ones first: they hold their connections throughout, and more than the receiver has.
    dawdling = [asyncio.create_task(slow(url, number)) for number in range(OF_EACH + 50)]
    await asyncio.sleep(0)
    gate = asyncio.Semaphore(50)

    async def one(kind, number):
        async with gate:
            return kind.__name__, await kind(url, number)

    kinds = (forged, replayed, truncated, oversized)
    hostile = asyncio.gather(*(one(kind, number) for number in range(OF_EACH) for kind in kinds))
    answers = await honest(url)
    outcome = await hostile
    for task in dawdling:
        task.cancel()
    await asyncio.gather(*dawdling, return_exceptions=True)
    return answers, outcome


def test_a_thousand_hostile_deliveries_change_nothing_while_good_ones_are_answered(tmp_path):
    with receiver(tmp_path) as (process, url), dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        asyncio.run(honest_warm_up(url))
        before = peak_kb(process)
        answers, outcome = asyncio.run(attack(url))
        until(lambda: len(recent_webhook_calls(instance, time.time())) >= GOOD + 1)
        grown = peak_kb(process) - before
        told = [notice.record.job for notice in recent_webhook_calls(instance, time.time())]
    statuses = {kind: {status for name, status in outcome if name == kind} for kind, _ in outcome}
    seconds = sorted(answer.seconds for answer in answers)
    assert {answer.status for answer in answers} == {204}
    assert sorted(told) == sorted(["distill/warm", *(f"distill/good_{number}" for number in range(GOOD))])
    # Status 0: cut off; a sender of a body that is not read may not live to see the answer.
    assert statuses["forged"] <= {401, 0}
    assert statuses["replayed"] <= {204, 0}
    assert statuses["truncated"] <= {400, 0}
    assert statuses["oversized"] <= {413, 0}
    assert statistics.median(seconds) < 1.0
    assert grown < MEMORY_KB
    log = (tmp_path / "receiver.log").read_text()
    assert SECRET not in log
    assert "Traceback" not in log


async def honest_warm_up(url):
    body = payload("warm")
    assert (await deliver(url, body, signed(body))).status == 204


def test_the_command_does_not_start_without_a_secret(tmp_path):
    env = {"DAGSTER_HOME": str(tmp_path), "THUNDERBIT_WEBHOOK_SECRET": None}
    ended = CliRunner(env=env).invoke(cli.main, ["webhooks", "serve", "--port", "0"])
    assert ended.exit_code == 2
    assert "--insecure-no-signature" in ended.output
