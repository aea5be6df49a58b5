"""What the checks of ``thunderbit-dagster doctor`` look at. The API is asked when the first check needs the answer."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from thunderbit_dagster.api.budget import MemoryBudget
from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.api.codes import MAX_PAGE_SIZE, JobKind
from thunderbit_dagster.api.effects import Answer
from thunderbit_dagster.api.errors import ApiError, ProtocolError, ThunderbitError
from thunderbit_dagster.api.models import Job, JobPage, JobRef
from thunderbit_dagster.api.parsing import decode_json, unwrap
from thunderbit_dagster.api.retry import RetryPolicy
from thunderbit_dagster.api.signatures import read_secrets
from thunderbit_dagster.cli.doctor.receiver import WebhookReceiver
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.storage.store import ParquetStore

MAX_WAIT: Final = 90.0
DOCTOR_RETRY: Final = RetryPolicy(attempts=2, total=90.0, longest_wait=70.0)
"""A rate window may be waited out, once."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check came to, what was seen, and what to do about it (empty when nothing)."""

    status: Literal["ok", "warning", "failed", "skipped"]
    seen: str
    what_to_do: str = ""


class ApiReply(NamedTuple):
    """What the client raised, if anything, and the headers (names in lower case) and JSON of the answer, if any."""

    error: ThunderbitError | None = None
    headers: Mapping[str, str] = MappingProxyType({})
    json: object = None


def request_unknown_job(client: ThunderbitClient) -> ApiReply:
    """Read a job that no account has, which is free."""
    error: ThunderbitError | None = None
    answers: list[Answer] = []
    client.on_answer = answers.append
    try:
        client.get_job(JobRef(JobKind.DISTILL, f"batch_doctor_{secrets.token_hex(8)}"))
    except ThunderbitError as problem:
        error = problem
    return ApiReply(error, answers[-1].headers if answers else {}, _last_json(answers))


def _last_json(answers: Sequence[Answer]) -> object:
    with suppress(ProtocolError, IndexError):
        return decode_json(answers[-1].content or b"{}")
    return None


@dataclass
class Trial:
    """A batch job of one page in all its states, and its rows, when it ended in time, with the JSON they came in.

    ``error`` says why it could not be submitted or read; ``seconds`` passed from the submit to the end of it all.
    """

    jobs: list[Job] = field(default_factory=list)
    page: JobPage | None = None
    results: Sequence[object] = ()
    error: ThunderbitError | None = None
    seconds: float = 0.0


@dataclass
class Context:
    """What is looked at, and with which options. ``tell`` is told what is being waited for."""

    thunderbit: ThunderbitResource
    client: ThunderbitClient
    store: ParquetStore
    dagster_home: Path
    crawls: Sequence[Crawl]
    url: str
    webhook_url: str | None
    webhook_port: int
    earlier: JobRef | None
    seconds: float
    stack: ExitStack
    tell: Callable[[str], object]

    @cached_property
    def reply(self) -> ApiReply:
        """The answer to the account's key."""
        self.tell(f"Asking {self.thunderbit.base_url}")
        return request_unknown_job(self.client)

    @cached_property
    def stranger(self) -> ApiReply:
        """The answer to a key in the documented form that no account has."""
        key, url = f"tb_{secrets.token_hex(16)}", self.thunderbit.base_url
        with ThunderbitClient(
            key, base_url=url, budget=MemoryBudget(), max_wait=MAX_WAIT, retry=DOCTOR_RETRY
        ) as client:
            return request_unknown_job(client)

    @cached_property
    def receiver(self) -> WebhookReceiver | Finding:
        """What waits for the webhook of the batch job, or why none is asked for."""
        address = self.webhook_url or self.thunderbit.webhook_url
        if address is None and not self.thunderbit.is_local:
            advice = "Set THUNDERBIT_WEBHOOK_URL to have jobs read as soon as they end; polling works without."
            return Finding("skipped", "no address is set", advice)
        secret = next(iter(read_secrets(self.thunderbit.webhook_secret or "")), None)
        try:
            receiver = self.stack.enter_context(WebhookReceiver(self.webhook_port, address, secret))
        except OSError as error:
            seen = f"cannot listen on port {self.webhook_port}: {error.strerror}"
            other = "forward the calls to it" if address else "have the emulator's --allow-origin name it, too"
            advice = f"Stop what listens there in the meantime, or name another port by --webhook-port and {other}."
            return Finding("warning" if address else "skipped", seen, advice)
        if address:
            return receiver
        try:
            # The receiver has no page: this costs nothing, and shows whether an emulator may call it.
            self.client.distill(receiver.webhook.url)
        except ThunderbitError as error:
            if not isinstance(error, ApiError) or error.code != "SCRAPE_TARGET_NOT_FOUND":
                seen = f"the API on this machine does not reach a receiver at {receiver.origin}: {error}"
                return Finding("skipped", seen, f"Start the emulator with --allow-origin {receiver.origin}.")
        return receiver

    @cached_property
    def trial(self) -> Trial:
        """A batch job of one page: submitted, awaited and read, or cancelled when it takes too long."""
        webhook = None if isinstance(self.receiver, Finding) else self.receiver.webhook
        self.tell(f"Waiting for the batch job of one page, up to {self.seconds:.0f} s")
        trial, began, interval = Trial(), time.monotonic(), 0.2 if self.thunderbit.is_local else 5.0
        answers: list[Answer] = []
        self.client.on_answer = answers.append
        try:
            trial.jobs.append(self.client.submit_distill([self.url], webhook=webhook))
            ref = trial.jobs[0].ref
            trial.jobs.append(self.client.get_status(ref))
            while not trial.jobs[-1].status.is_terminal and time.monotonic() - began + interval <= self.seconds:
                time.sleep(interval)
                trial.jobs.append(self.client.get_status(ref))
            if trial.jobs[-1].status.is_terminal:
                self.tell("Reading its rows")
                trial.page = self.client.get_job(ref, page_size=MAX_PAGE_SIZE)
                results = unwrap(_last_json(answers)).get("results")
                trial.results = results if isinstance(results, list) else ()
            else:
                self.client.cancel_job(ref)
        except ThunderbitError as error:
            trial.error = error
        trial.seconds = time.monotonic() - began
        return trial
