"""The ten checks of ``thunderbit-dagster doctor``: judgements over what was seen, without input or output.

Each rests on what the API documents. Where its documents leave something open the plugin assumes one reading and
tolerates the others, so a difference that it understands is a warning, and only what it would get wrong is a failure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from thunderbit_dagster.api.budget import PERIOD, RateLimit
from thunderbit_dagster.api.codes import DEFAULT_PAGE_SIZE, PLANS, JobKind, JobStatus, RowStatus
from thunderbit_dagster.api.errors import (
    ApiError,
    AuthenticationError,
    InsufficientCreditsError,
    JobNotFoundError,
    NotSentError,
    ProtocolError,
    RateLimitedError,
    ThunderbitError,
)
from thunderbit_dagster.api.models import Job, JobPage
from thunderbit_dagster.api.parsing import decode_json, parse_notification, parse_row
from thunderbit_dagster.api.signatures import (
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    TOLERANCE,
    is_fresh,
    sign_legacy,
    verify,
)

CHECKS: Final = (
    "service",
    "key",
    "limits",
    "states",
    "rows",
    "paging",
    "credits",
    "webhook",
    "storage",
    "dagster",
)
PAYING: Final = ("states", "rows", "paging", "credits", "webhook")
"""The checks that need a batch job of one URL."""

SETTING: Final = "requests_per_minute (THUNDERBIT_REQUESTS_PER_MINUTE)"
REPORT: Final = "The plugin understands it; please report it, so that the emulator learns it too."
UNREAD: Final = "The plugin would get this wrong. Do not crawl in bulk yet; report it with this output."
OLDER_SIGNATURE_HEADER: Final = "X-Thunderbit-Signature"
_KEY = re.compile(r"tb_[0-9a-fA-F]{32}")
_LONG_WINDOW: Final = 10 * PERIOD


class Status(str, Enum):
    """What a check came to. Only FAILED sets the exit code."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was seen, and what to do about it (empty when nothing)."""

    check: str
    status: Status
    seen: str
    advice: str = ""


def ok(check: str, seen: str, advice: str = "") -> Finding:
    return Finding(check, Status.OK, seen, advice)


def warning(check: str, seen: str, advice: str) -> Finding:
    return Finding(check, Status.WARNING, seen, advice)


def failed(check: str, seen: str, advice: str) -> Finding:
    return Finding(check, Status.FAILED, seen, advice)


def skipped(check: str, seen: str, advice: str = "") -> Finding:
    return Finding(check, Status.SKIPPED, seen, advice)


@dataclass(frozen=True, slots=True)
class ApiQuestion:
    """A question to the API, asked and answered.

    Attributes:
        error: What the client raised; None when it did not.
        headers: Those of the last answer, names in lower case; empty when none came.
        body: That answer's JSON; None when there was none.
    """

    error: ThunderbitError | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: object = None

    @property
    def answered(self) -> bool:
        """Whether an HTTP answer came, of whatever kind."""
        return self.error is None or isinstance(self.error, ApiError | ProtocolError)


# Without payment: a job id that does not exist, asked for with the right key and with a made-up one.


def judge_service(base_url: str, right: ApiQuestion, wrong: ApiQuestion | None) -> Finding:
    """Whether the Thunderbit API answers at the base URL."""
    error = right.error
    if isinstance(error, NotSentError):
        local = "start `thunderbit-dagster emulator`, or `thunderbit-dagster dev`"
        advice = f"Check base_url and the network; for the emulator, {local}."
        return failed("service", f"nothing answers at {base_url}: {error}", advice)
    if not right.answered:
        return failed("service", str(error), "The connection breaks off: look at proxies and firewalls in between.")
    if isinstance(error, ApiError) and error.code == "REDIRECT":
        return failed("service", error.message, "Set base_url to the address that the API itself has.")
    if isinstance(error, ApiError) and error.status >= 500:  # noqa: PLR2004
        return failed("service", str(error), "The service has a fault: try again later, and look at its status page.")
    if isinstance(error, ProtocolError) or _is_elsewhere(right, wrong):
        seen = f"what answers at {base_url} does not speak as the API does: {error}"
        return failed("service", seen, "Check the path of base_url; the API's own ends in /openapi/v1.")
    return ok("service", f"answers at {base_url}")


def _is_elsewhere(right: ApiQuestion, wrong: ApiQuestion | None) -> bool:
    """Whether a 404 speaks of the address rather than of the job."""
    error = right.error
    if not isinstance(error, JobNotFoundError) or error.code == "JOB_NOT_FOUND":
        return False
    return wrong is None or not isinstance(wrong.error, AuthenticationError)


def judge_key(key: str, right: ApiQuestion, wrong: ApiQuestion | None) -> Finding:
    """Whether the key was accepted; a made-up key must not be."""
    if isinstance(right.error, AuthenticationError):
        advice = "Give the key of this account and environment as THUNDERBIT_API_KEY; see whether it was revoked."
        return failed("key", f"refused: {right.error}", advice)
    if wrong is None:
        return skipped("key", "the API did not get as far as the key")
    if not isinstance(wrong.error, AuthenticationError):
        advice = "Look at the key in the account's settings: this probe proves nothing. " + REPORT
        return warning("key", f"a made-up key is answered the same: {wrong.error or 'no error'}", advice)
    if envelope := _envelope(right.body):
        return warning("key", f"accepted; errors come {envelope}", REPORT)
    if not _KEY.fullmatch(key):
        return warning("key", "accepted; it is not `tb_` and 32 hex digits, as documented", REPORT)
    return ok("key", "accepted; a made-up one is refused")


def _envelope(body: object) -> str:
    """How an error's envelope differs from the newest one; empty when it does not."""
    error = body.get("error") if isinstance(body, Mapping) else None
    if error is None:
        return "without an envelope"
    if not isinstance(error, Mapping):
        return "as a text"
    named = isinstance(error.get("code"), str) and isinstance(error.get("status"), int)
    return "" if named else "in the older envelope, `code` and `status` swapped"


def judge_limits(right: ApiQuestion, requests_per_minute: int, now: float) -> Finding:
    """What the rate limit's headers say, against the setting. ``now`` is a Unix time in seconds."""
    seen = RateLimit.from_headers(right.headers)
    if isinstance(right.error, RateLimitedError):
        advice = "Wait for the next window, and find out who else uses this key: one budget serves one machine only."
        return failed("limits", f"the account's requests are used up: {right.error}", advice)
    if not right.headers or isinstance(right.error, AuthenticationError):
        refused = "the key was refused, so they are not those of the account"
        return skipped("limits", refused if right.headers else "no answer to read them from")
    if seen.limit is None or seen.remaining is None or seen.reset is None:
        advice = f"Set {SETTING} to your plan's limit: nothing else holds requests back. {REPORT}"
        return warning("limits", "answers carry no complete X-RateLimit headers", advice)
    words = f"{seen.limit} requests, {seen.remaining} left, next window in {max(seen.reset - now, 0):.0f} s"
    if seen.reset - now > _LONG_WINDOW:
        return warning("limits", words, "The window is longer than a minute: plan backfills by it. " + REPORT)
    if seen.limit < requests_per_minute:
        return warning("limits", words, f"Set {SETTING} to {seen.limit}; it is {requests_per_minute}.")
    plan = next((plan.name for plan in PLANS.values() if plan.requests_per_minute == seen.limit), "no known")
    more = (
        f"{SETTING} is {requests_per_minute}; {seen.limit} would use all of it."
        if seen.limit > requests_per_minute
        else ""
    )
    return ok("limits", f"{words} ({plan} plan)", more)


# For the price of one URL: a batch job, from submit to end.


@dataclass(frozen=True, slots=True)
class Trial:
    """A batch job of one URL.

    Attributes:
        url: The page asked for.
        price: Credits it was expected to cost.
        refusal: Why the job could not be submitted or read; None when it could.
        words: Every status word that the job had, in order, as received.
        page: Page 0 with all rows, read after the job's end; None when it did not end in time.
        raw: The same answer's `results`.
        beyond: Rows on pages 1 and 2 when asked for one row a page; None where reading failed.
        default_page: Rows that an earlier job gave without paging parameters, and its total.
        earlier_refusal: Why the earlier job could not be read.
        waited: Seconds from submit to end, or to giving up.
    """

    url: str
    price: int
    refusal: ThunderbitError | None = None
    words: tuple[str, ...] = ()
    page: JobPage | None = None
    raw: Sequence[object] = ()
    beyond: tuple[int | None, int | None] = (0, 0)
    default_page: tuple[int, int | None] | None = None
    earlier_refusal: ThunderbitError | None = None
    waited: float = 0.0


def judge_states(trial: Trial) -> Finding:
    """Whether the words for the states of job and row are those documented."""
    if trial.refusal is not None and trial.page is None:
        return failed("states", f"no job to look at: {trial.refusal}", _after_refusal(trial.refusal))
    job_words, row_words = dict.fromkeys(trial.words), dict.fromkeys(_row_words(trial.raw))
    shown = f"job {', '.join(job_words) or 'none'}; row {', '.join(row_words) or 'none'}"
    unknown = [word for word in job_words if word.strip().upper() not in _words(JobStatus, "CANCELED")]
    if unknown or any(_row_state(row) is RowStatus.UNKNOWN for row in trial.raw):
        return failed("states", f"{shown}: a word that is not documented", UNREAD)
    if trial.page is None:
        advice = "Look at the service's status page; raise job_deadline if jobs take so long as a rule."
        return failed("states", f"{shown}: the job of one page did not end in {trial.waited:.0f} s", advice)
    known = job_words.keys() <= _words(JobStatus) and row_words.keys() <= _words(RowStatus)
    return ok("states", shown) if known else warning("states", shown, REPORT)


def _after_refusal(error: ThunderbitError) -> str:
    if isinstance(error, InsufficientCreditsError):
        return "Top up the account."
    if error.maybe_accepted:
        return "The job may run and be billed although its id is not known. Look at the account before trying again."
    return "Put right what the answer names, then try again."


def _words(states: type[JobStatus | RowStatus], *aliases: str) -> set[str]:
    return {state.value for state in states if state.value != "UNKNOWN"} | set(aliases)


def _row_words(raw: Sequence[object]) -> list[str]:
    rows = [row for row in raw if isinstance(row, Mapping)]
    return [str(row.get("status") or f"success: {row.get('success')}") for row in rows]


def _row_state(row: object) -> RowStatus:
    return parse_row(row, JobKind.DISTILL, JobStatus.COMPLETED).status


def judge_rows(trial: Trial) -> Finding:
    """Whether the page came back as one row that can be matched with its URL, with Markdown in it."""
    if trial.page is None:
        return skipped("rows", "no job ended")
    rows = trial.page.rows
    if len(rows) != 1:
        return failed("rows", f"{len(rows)} rows for one URL", UNREAD)
    row = rows[0]
    if row.url != trial.url:
        return failed("rows", f"the row names {row.url} in place of {trial.url}", UNREAD)
    if row.error is not None or not row.markdown:
        why = f"{row.error.code}: {row.error.message}" if row.error else f"{row.status.value}, without Markdown"
        return failed("rows", f"{row.url}: {why}", "Name a page that can be fetched, with --url.")
    if differs := _row_differences(trial.raw[0], row.index):
        return warning("rows", "; ".join(differs), REPORT)
    return ok("rows", f"one row, index 0, the URL unchanged, {len(row.markdown):,} characters of Markdown")


def _row_differences(raw: object, index: int | None) -> list[str]:
    nested = isinstance(raw, Mapping) and not raw.get("markdown")
    places = {None: "rows carry no index", 0: ""}
    found = [places.get(index, f"the first row has index {index}"), "Markdown is nested in `data`" if nested else ""]
    return [text for text in found if text]


def judge_paging(trial: Trial) -> Finding:
    """Whether `page` counts from 0 and is obeyed, and how many rows come without parameters."""
    if trial.page is None:
        return skipped("paging", "no job ended")
    second, third = trial.beyond
    if second is None or third is None:
        return failed("paging", f"a page beyond the last one is refused: {trial.refusal}", UNREAD)
    if second and not third:
        return failed("paging", "pages count from 1: page 0 and page 1 are the same", UNREAD)
    if second:
        return warning("paging", "`page` and `pageSize` are ignored, every answer holds all rows", REPORT)
    return _judge_default(trial.default_page, trial.earlier_refusal)


def _judge_default(seen: tuple[int, int | None] | None, refusal: ThunderbitError | None) -> Finding:
    obeyed = "pages count from 0 and are obeyed"
    if refusal is not None:
        advice = "Name a job of this account with --job; `thunderbit-dagster jobs list --all` shows some."
        return warning("paging", f"{obeyed}; the job of --job cannot be read: {refusal}", advice)
    if seen is None:
        return ok("paging", f"{obeyed}; the default size was not looked at (--job)")
    rows, total = seen
    if total is None or total <= DEFAULT_PAGE_SIZE:
        return ok("paging", f"{obeyed}; the job of --job has {total} rows, too few to show the default size")
    if rows != DEFAULT_PAGE_SIZE:
        return warning("paging", f"{obeyed}; {rows} rows come by default, not {DEFAULT_PAGE_SIZE}", REPORT)
    return ok("paging", f"{obeyed}; {rows} rows of {total} come by default")


def judge_credits(trial: Trial) -> Finding:
    """What the job was billed, against what the plugin expects and reserves."""
    if isinstance(trial.refusal, InsufficientCreditsError):
        return failed("credits", str(trial.refusal), "Top up the account; runs stop there and go on afterwards.")
    job: Job | None = trial.page.job if trial.page else None
    if job is None:
        return skipped("credits", "no job ended")
    if job.credits_used is None:
        return warning("credits", "the job does not say what it used", "Caps rest on estimates alone. " + REPORT)
    used, price = job.credits_used, trial.price
    if used > price:
        advice = f"Divide the caps on credits by {used / price:g}: they reckon with {price} for a URL. Report it."
        return failed("credits", f"{used} credits used for one URL, {price} expected", advice)
    if used < price:
        advice = "A page that failed, or came from a cache, may be free; then caps reserve more than is billed."
        return warning("credits", f"{used} credits used for one URL, {price} expected", advice)
    return ok("credits", f"{used} used for one URL, as expected")


# The webhook of that job.


@dataclass(frozen=True, slots=True)
class ReceivedCall:
    """A webhook's call as it arrived: the raw body, header names in lower case, the Unix time in seconds."""

    headers: Mapping[str, str]
    body: bytes
    at: float


def delivery_finding(delivery: ReceivedCall | None, url: str, secret: str, waited: float) -> Finding:
    """Whether the call came, is signed in the newest scheme, and names its job."""
    if delivery is None:
        advice = (
            "Make the address reachable from the API and forward it to this machine. An emulator calls private "
            "addresses only when its --allow-origin names them."
        )
        return failed("webhook", f"no call came to {url} within {waited:.0f} s", advice)
    signature = delivery.headers.get(SIGNATURE_HEADER.lower(), "")
    timestamp = delivery.headers.get(TIMESTAMP_HEADER.lower(), "")
    if not signature:
        return failed("webhook", _unsigned(delivery.headers), UNREAD + " Polling works without webhooks.")
    if verify(secret, delivery.body, signature=signature, timestamp=timestamp):
        return _judge_current(delivery, timestamp)
    if signature == sign_legacy(secret, delivery.body):
        advice = "Start the receiver with `thunderbit-dagster webhooks serve --legacy-signature`."
        return warning("webhook", "signed in the older scheme, hex of the body alone", advice)
    return failed("webhook", "the signature fits neither of the two documented schemes", UNREAD)


def _unsigned(headers: Mapping[str, str]) -> str:
    older = OLDER_SIGNATURE_HEADER.lower() in headers
    return f"signed in the oldest header, {OLDER_SIGNATURE_HEADER}" if older else "a call came without a signature"


def _judge_current(delivery: ReceivedCall, timestamp: str) -> Finding:
    if not is_fresh(timestamp, now=delivery.at, tolerance=TOLERANCE):
        advice = "Set this machine's clock by NTP: the receiver takes late calls for replays."
        seen = f"its timestamp {timestamp} is not within {TOLERANCE:.0f} s of this machine's clock"
        return failed("webhook", seen, advice)
    try:
        job = parse_notification(decode_json(delivery.body))
    except ProtocolError as error:
        return failed("webhook", f"signed, but {error}", UNREAD)
    return ok("webhook", f"signed in the newest scheme, names {job.ref} and {job.raw_status}")


def exit_code(findings: Sequence[Finding]) -> int:
    """1 when a check failed, else 0."""
    return int(any(finding.status is Status.FAILED for finding in findings))
