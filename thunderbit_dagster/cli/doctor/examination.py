"""The course of ``thunderbit-dagster doctor``: what is asked in which order, and by whom it is judged."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from thunderbit_dagster.api.errors import BadRequestError, JobNotFoundError
from thunderbit_dagster.api.models import JobRef
from thunderbit_dagster.api.signatures import read_secrets
from thunderbit_dagster.cli.crawls import opened
from thunderbit_dagster.cli.doctor.checks import (
    CHECKS,
    PAYING,
    ApiQuestion,
    Finding,
    Trial,
    delivery_finding,
    exit_code,
    judge_credits,
    judge_key,
    judge_limits,
    judge_paging,
    judge_rows,
    judge_service,
    judge_states,
    skipped,
    warning,
)
from thunderbit_dagster.cli.doctor.local_checks import check_dagster, check_storage
from thunderbit_dagster.cli.doctor.probes import (
    LOCAL_INTERVAL,
    REMOTE_INTERVAL,
    REQUEST,
    Experiment,
    Hook,
    NotingClient,
    NoWayError,
    ask,
    hook_of,
    made_up_job,
    made_up_key,
    open_client,
    try_job,
)
from thunderbit_dagster.cli.selection import resolved_selection
from thunderbit_dagster.cli.workspace import Workspace
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.starter.crawls import SITE_PORT
from thunderbit_dagster.storage.store import ParquetStore

EVERYTHING: Final = "not tried after what failed before"
ALLOWED: Final = "the emulator's --allow-origin names, too"


@dataclass(frozen=True)
class Patient:
    """What is looked at: the API's settings with their values, the store, where Dagster is, and the crawls."""

    thunderbit: ThunderbitResource
    store: ParquetStore
    dagster_home: Path
    crawls: Sequence[Crawl] = ()

    @property
    def account(self) -> str:
        """Twelve hex digits that stand for origin and key."""
        with open_client(self.thunderbit) as client:
            return client.account_fingerprint

    @property
    def price(self) -> int:
        """Credits that the trial costs at most."""
        return REQUEST.credits_per_url()

    @property
    def page(self) -> str | None:
        """The page that the emulator of `dev` may fetch; None for the real API."""
        site = os.environ.get("THUNDERBIT_DEMO_SITE", f"http://127.0.0.1:{SITE_PORT}")
        return f"{site}/" if self.thunderbit.is_local else None


@dataclass(frozen=True)
class Terms:
    """What may be paid for: one page, with or without a webhook, within some seconds."""

    page: str
    webhook_url: str | None
    webhook_port: int
    earlier: JobRef | None
    seconds: float


@contextmanager
def open_patient(file: Path | None, root: Path) -> Iterator[Patient]:
    """The API and the store of a code location, or of the environment, and the Dagster instance of a folder.

    Raises:
        click.ClickException: the file cannot be loaded, or settings are missing or wrong.
    """
    workspace = Workspace(root)
    with opened(file, workspace, needs_crawls=False) as builds, resolved_selection(builds[0]) as thunderbit:
        crawls = [crawl for built in builds for crawl in built.crawls]
        yield Patient(thunderbit, builds[0].store, workspace.dagster_home, crawls)


def examine(patient: Patient, terms: Terms | None, tell: Callable[[str], object]) -> list[Finding]:
    """All ten findings; without terms, the paying ones are skipped. ``tell`` is told what is being waited for."""
    tell(f"Asking {patient.thunderbit.base_url}")
    findings = _of_api(patient.thunderbit, terms, tell)
    tell(f"Writing to {patient.store.base_uri}")
    findings.append(check_storage(patient.store))
    tell(f"Looking at Dagster in {patient.dagster_home}")
    findings.append(check_dagster(patient.dagster_home, patient.crawls))
    return sorted(findings, key=lambda finding: CHECKS.index(finding.check))


def _of_api(thunderbit: ThunderbitResource, terms: Terms | None, tell: Callable[[str], object]) -> list[Finding]:
    with open_client(thunderbit) as client:
        findings = _of_free(client, thunderbit)
        if terms is None:
            return [*findings, *(skipped(name, "needs a page; not with --free") for name in PAYING)]
        if exit_code(findings):
            return [*findings, *(skipped(name, EVERYTHING) for name in PAYING)]
        return [*findings, *_of_trial(client, thunderbit, terms, tell)]


def _of_free(client: NotingClient, thunderbit: ThunderbitResource) -> list[Finding]:
    right = ask(client, made_up_job())
    wrong = _ask_as_nobody(thunderbit, right)
    service = judge_service(thunderbit.base_url, right, wrong)
    if exit_code([service]):
        return [service, *(skipped(name, EVERYTHING) for name in ("key", "limits"))]
    key = judge_key(thunderbit.api_key, right, wrong)
    return [service, key, judge_limits(right, thunderbit.requests_per_minute, time.time())]


def _ask_as_nobody(thunderbit: ThunderbitResource, right: ApiQuestion) -> ApiQuestion | None:
    """The same question with a made-up key, when the right one got as far as the job."""
    if not isinstance(right.error, JobNotFoundError | BadRequestError | None):
        return None
    with open_client(thunderbit, made_up_key()) as nobody:
        return ask(nobody, made_up_job())


def _of_trial(
    client: NotingClient, thunderbit: ThunderbitResource, terms: Terms, tell: Callable[[str], object]
) -> list[Finding]:
    interval = LOCAL_INTERVAL if thunderbit.is_local else REMOTE_INTERVAL
    experiment = Experiment(client, terms.page, terms.seconds, interval, terms.earlier, tell=tell)
    secret = next(iter(read_secrets(thunderbit.webhook_secret or "")), None)
    address = terms.webhook_url or thunderbit.webhook_url
    hook = hook_of(address, secret, terms.webhook_port, is_local=thunderbit.is_local)
    trial, webhook = _try(experiment, hook)
    return [judge_states(trial), judge_rows(trial), judge_paging(trial), judge_credits(trial), webhook]


def _try(experiment: Experiment, hook: Hook | None) -> tuple[Trial, Finding]:
    if hook is None:
        advice = "Set THUNDERBIT_WEBHOOK_URL to have jobs read as soon as they end; polling works without."
        return experiment.run(), skipped("webhook", "no address is set", advice)
    try:
        trial, delivery, waited = try_job(experiment, hook)
    except OSError as error:
        return experiment.run(), _not_listening(hook, error)
    except NoWayError as error:
        seen = f"the API on this machine does not reach a receiver at {hook.origin}: {error}"
        return experiment.run(), skipped("webhook", seen, f"Start the emulator with --allow-origin {hook.origin}.")
    if trial.page is None:
        return trial, skipped("webhook", "no job ended")
    return trial, delivery_finding(delivery, hook.url, hook.secret, waited)


def _not_listening(hook: Hook, error: OSError) -> Finding:
    seen = f"cannot listen on port {hook.port}: {error.strerror}"
    if hook.is_own:
        advice = f"Stop what listens there for as long, or name a port by --webhook-port that {ALLOWED}."
        return skipped("webhook", seen, advice)
    advice = "Stop the receiver for as long, or forward the calls to another port and name it by --webhook-port."
    return warning("webhook", seen, advice)
