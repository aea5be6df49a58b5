"""What ``thunderbit-dagster doctor`` asks of the API: through the plugin's own client, noting every answer."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias
from urllib.parse import quote

import httpx

from thunderbit_dagster.api.budget import MemoryBudget
from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.api.codes import MAX_PAGE_SIZE, JobKind
from thunderbit_dagster.api.effects import Answer, Call, Failure
from thunderbit_dagster.api.errors import ProtocolError, ThunderbitError
from thunderbit_dagster.api.models import Job, JobPage, JobRef
from thunderbit_dagster.api.parsing import decode_json, parse_page, unwrap
from thunderbit_dagster.api.protocol import exchange
from thunderbit_dagster.api.requests import Distill, Webhook
from thunderbit_dagster.api.retry import RetryPolicy, Safety
from thunderbit_dagster.cli.doctor.checks import ApiQuestion, ReceivedCall, Trial
from thunderbit_dagster.cli.doctor.receiver import ProbeReceiver
from thunderbit_dagster.resource import ThunderbitResource

REQUEST: Final = Distill()
_RETRY: Final = RetryPolicy(attempts=2, total=90.0, longest_wait=70.0)
"""A rate window may be waited out, once."""
MAX_WAIT: Final = 90.0
REMOTE_INTERVAL: Final = 5.0
LOCAL_INTERVAL: Final = 0.2
_LOOPBACK: Final = "127.0.0.1"
_Earlier: TypeAlias = tuple[tuple[int, int | None] | None, ThunderbitError | None]
"""Rows and total of the earlier job, or why it could not be read."""


class NotingClient(ThunderbitClient):
    """The client, which keeps the last answer and can read a job without paging parameters."""

    last: Answer | None = None

    def _send(self, call: Call) -> Answer | Failure:
        reply = super()._send(call)
        if isinstance(reply, Answer):
            self.last = reply
        return reply

    def get_job_plainly(self, ref: JobRef) -> JobPage:
        """A job and as many of its rows as the API gives unasked."""
        call = Call("GET", f"{ref.kind.path}/{quote(ref.id, safe='')}", Safety.SAFE)
        return self._run(exchange(self._rules, call, partial(parse_page, ref=ref, page=0)))

    def body(self) -> object:
        """The last answer's JSON, None when there is none."""
        try:
            return decode_json(self.last.content) if self.last else None
        except ProtocolError:
            return None


def open_client(thunderbit: ThunderbitResource, key: str | None = None) -> NotingClient:
    """A client with the resource's settings, or of another account on the same origin."""
    return NotingClient(
        key or thunderbit.api_key,
        base_url=thunderbit.base_url,
        requests_per_minute=thunderbit.requests_per_minute,
        request_timeout=thunderbit.request_timeout,
        # A made-up key has no budget that anybody could share.
        budget=MemoryBudget() if key else None,
        max_wait=MAX_WAIT,
        retry=_RETRY,
    )


def ask(client: NotingClient, ref: JobRef) -> ApiQuestion:
    """Read a job that does not exist."""
    error: ThunderbitError | None = None
    try:
        client.get_job(ref)
    except ThunderbitError as problem:
        error = problem
    return ApiQuestion(error, client.last.headers if client.last else {}, client.body())


def made_up_job() -> JobRef:
    """A job that no account has."""
    return JobRef(JobKind.DISTILL, f"batch_doctor_{secrets.token_hex(8)}")


def made_up_key() -> str:
    """A key in the documented form that no account has."""
    return f"tb_{secrets.token_hex(16)}"


@dataclass
class Experiment:
    """One batch job of one URL, watched from its submit to its end.

    Args:
        client: The account.
        url: The page.
        seconds: How long the job may take, and after it the webhook.
        interval: Seconds between two looks.
        earlier: A job of more than 20 URLs, to see how many rows come by default.
        clock: Seconds on a clock that never steps back.
        sleep: Waits for a number of seconds.
        tell: Is told what is being waited for.
    """

    client: NotingClient
    url: str
    seconds: float
    interval: float
    earlier: JobRef | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    tell: Callable[[str], object] = str
    words: list[str] = field(default_factory=list)
    job: Job | None = None
    _began: float = 0.0

    def run(self, webhook: Webhook | None = None) -> Trial:
        """The job, submitted, awaited and read."""
        self._began = self.clock()
        self.tell(f"Waiting for the batch job of one page, up to {self.seconds:.0f} s")
        try:
            self.job = self.client.submit_distill([self.url], REQUEST, webhook=webhook)
            self.words.append(self.job.raw_status)
            if self._ends(self.job.ref):
                self.tell("Reading its rows")
                return self._read(self.job.ref)
            self.client.cancel_job(self.job.ref)
        except ThunderbitError as error:
            return self._trial(refusal=error)
        return self._trial()

    def _ends(self, ref: JobRef) -> bool:
        while True:
            job = self.client.get_job(ref).job
            self.words.append(job.raw_status)
            if job.status.is_terminal:
                return True
            if self.clock() - self._began + self.interval > self.seconds:
                return False
            self.sleep(self.interval)

    def _read(self, ref: JobRef) -> Trial:
        page = self.client.get_job(ref, page_size=MAX_PAGE_SIZE)
        raw = _results(self.client.body())
        refusal: ThunderbitError | None = None
        beyond: list[int | None] = []
        for number in (1, 2):
            try:
                beyond.append(len(self.client.get_job(ref, page=number, page_size=1).rows))
            except ThunderbitError as error:
                refusal, beyond = error, [*beyond, None]
        return self._trial(
            page=page,
            raw=raw,
            beyond=(beyond[0], beyond[1]),
            refusal=refusal,
            earlier=self._read_earlier(),
        )

    def _read_earlier(self) -> _Earlier:
        if self.earlier is None:
            return None, None
        try:
            page = self.client.get_job_plainly(self.earlier)
        except ThunderbitError as error:
            return None, error
        return (len(page.rows), page.job.total), None

    def _trial(
        self,
        *,
        refusal: ThunderbitError | None = None,
        page: JobPage | None = None,
        raw: tuple[object, ...] = (),
        beyond: tuple[int | None, int | None] = (0, 0),
        earlier: _Earlier = (None, None),
    ) -> Trial:
        return Trial(
            url=self.url,
            price=REQUEST.credits_per_url(),
            refusal=refusal,
            words=tuple(self.words),
            page=page,
            raw=raw,
            beyond=beyond,
            default_page=earlier[0],
            earlier_refusal=earlier[1],
            waited=self.clock() - self._began,
        )


def _results(body: object) -> tuple[object, ...]:
    try:
        data: Mapping[str, object] = unwrap(body)
    except ProtocolError:
        return ()
    results = data.get("results")
    return tuple(results) if isinstance(results, list) else ()


@dataclass(frozen=True)
class Hook:
    """Where the trial's webhook goes, what signs it, and the port on which it is awaited.

    ``is_own`` says that the address is the check's own and that nobody has set it.
    """

    url: str
    secret: str
    port: int
    token: str
    is_own: bool = False

    @property
    def origin(self) -> str:
        """As an emulator's ``--allow-origin`` has it."""
        return f"http://{_LOOPBACK}:{self.port}"


def hook_of(url: str | None, secret: str | None, port: int, *, is_local: bool) -> Hook | None:
    """The webhook to ask for; without an address None, or one on this machine where the API is, too.

    Without a secret of the user's, one is made up.
    """
    token = secrets.token_hex(8)
    secret = secret or secrets.token_hex(16)
    if url is not None:
        return Hook(str(httpx.URL(url).copy_set_param("doctor", token)), secret, port, token)
    return Hook(f"http://{_LOOPBACK}:{port}/?doctor={token}", secret, port, token, is_own=True) if is_local else None


class NoWayError(Exception):
    """The API does not reach the receiver; the text says why."""


def _find_way(client: NotingClient, hook: Hook, receiver: ProbeReceiver) -> None:
    """Have the API fetch a page that the receiver does not have, which costs nothing.

    Raises:
        NoWayError: it did not ask the receiver.
    """
    reason = "it was not asked for a page"
    try:
        client.distill(hook.url)
    except ThunderbitError as error:
        reason = str(error)
    if not receiver.visited.is_set():
        raise NoWayError(reason)


def try_job(experiment: Experiment, hook: Hook) -> tuple[Trial, ReceivedCall | None, float]:
    """The trial, the call about it if one came, and the seconds that were waited for the call.

    Raises:
        OSError: the port is taken; nothing was submitted.
        NoWayError: the API does not reach the check's own receiver; nothing was submitted.
    """
    with ProbeReceiver(hook.port, hook.token) as receiver:
        if hook.is_own:
            _find_way(experiment.client, hook, receiver)
        trial = experiment.run(Webhook(url=hook.url, secret=hook.secret))
        if experiment.job is None or trial.page is None:
            return trial, None, 0.0
        began = experiment.clock()
        seconds = max(experiment.seconds - trial.waited, experiment.interval)
        experiment.tell(f"Waiting for the webhook, up to {seconds:.0f} s")
        return trial, receiver.wait(experiment.job.ref.id, seconds), experiment.clock() - began
