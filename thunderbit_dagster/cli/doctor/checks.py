"""The ten checks of ``thunderbit-dagster doctor``.

Each rests on what the API documents. Where its documents leave something open the plugin assumes one reading and
tolerates the others, so a difference that it understands is a warning, and only what it would get wrong is a failure.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import dagster as dg
import obstore
from obstore.exceptions import BaseError

from thunderbit_dagster.api import errors, signatures
from thunderbit_dagster.api.budget import PERIOD, RateLimit
from thunderbit_dagster.api.codes import CREDITS_PER_DISTILL, DEFAULT_PAGE_SIZE, JOB_NOT_FOUND, PLANS, RowStatus
from thunderbit_dagster.api.parsing import decode_json, parse_notification
from thunderbit_dagster.cli.doctor.context import Context, Finding
from thunderbit_dagster.cli.doctor.receiver import Delivery
from thunderbit_dagster.jobs.open_jobs import open_jobs, wipe_warning
from thunderbit_dagster.storage import credentials
from thunderbit_dagster.storage.errors import StorageError, first_line
from thunderbit_dagster.storage.store import ParquetStore
from thunderbit_dagster.storage.uri import to_path
from thunderbit_dagster.storage.writer import what_to_do

NO_JOB: Final = Finding("skipped", "no job ended")
SETTING: Final = "requests_per_minute (THUNDERBIT_REQUESTS_PER_MINUTE)"
REPORT: Final = "The plugin understands it; please report it, so that the emulator learns it too."
UNREAD: Final = "The plugin would get this wrong. Do not crawl in bulk yet; report it with this output."
EMULATOR: Final = "start `thunderbit-dagster emulator`, or `thunderbit-dagster dev`"
NO_SERVICE: Final = (
    (errors.NotSentError, "nothing answers", f"Check base_url and the network; for the emulator, {EMULATOR}."),
    (errors.TransportError, "the connection breaks off", "Look at proxies and firewalls in between."),
    (errors.ServerError, "the service has a fault", "Try again later, and look at its status page."),
)
USED_UP: Final = (errors.RateLimitedError, errors.BudgetExceededError)
ABOUT_THE_JOB: Final = (errors.JobNotFoundError, errors.BadRequestError)


def check_service(context: Context) -> Finding:
    """Whether the Thunderbit API answers at the base URL."""
    base_url, error = context.thunderbit.base_url, context.reply.error
    for kind, seen, advice in NO_SERVICE:
        if isinstance(error, kind):
            return Finding("failed", f"{seen} at {base_url}: {error}", advice)
    if isinstance(error, errors.ApiError) and error.code == "REDIRECT":
        return Finding("failed", error.message, "Set base_url to the address that the API itself has.")
    if isinstance(error, errors.BudgetExceededError):
        return Finding("skipped", "nothing was asked, since no request is left")
    # To a made-up key, a 404 of the API is none, and one of another server is the same.
    is_vague = isinstance(error, errors.JobNotFoundError) and error.code != JOB_NOT_FOUND
    is_elsewhere = is_vague and not isinstance(context.stranger.error, errors.AuthenticationError)
    if isinstance(error, errors.ProtocolError) or is_elsewhere:
        seen = f"what answers at {base_url} does not speak as the API does: {error}"
        return Finding("failed", seen, "Check the path of base_url; the API's own ends in /openapi/v1.")
    return Finding("ok", f"answers at {base_url}")


def check_key(context: Context) -> Finding:
    """Whether the key was accepted; a made-up key must not be."""
    error = context.reply.error
    if isinstance(error, errors.AuthenticationError):
        advice = "Give the key of this account and environment as THUNDERBIT_API_KEY; see whether it was revoked."
        return Finding("failed", f"refused: {error}", advice)
    if error is not None and not isinstance(error, ABOUT_THE_JOB):
        return Finding("skipped", "the API did not get as far as the key")
    stranger = context.stranger.error
    if not isinstance(stranger, errors.AuthenticationError):
        advice = f"Look at the key in the account's settings: this check proves nothing. {REPORT}"
        return Finding("warning", f"a made-up key is answered the same: {stranger or 'no error'}", advice)
    if envelope := _envelope(context.reply.json):
        return Finding("warning", f"accepted; errors come {envelope}", REPORT)
    if not re.fullmatch(r"tb_[0-9a-fA-F]{32}", context.thunderbit.api_key):
        return Finding("warning", "accepted; it is not `tb_` and 32 hex digits, as documented", REPORT)
    return Finding("ok", "accepted; a made-up one is refused")


def _envelope(body: object) -> str:
    """How an error's envelope differs from the newest one, which the client does not tell; empty when it does not."""
    match body:
        case {"error": {"code": str(), "status": int()}}:
            return ""
        case {"error": {}}:
            return "in the older envelope, `code` and `status` swapped"
        case {"error": str()}:
            return "as a text"
    return "without an envelope"


def check_limits(context: Context) -> Finding:
    """What the rate limit's headers say, against the setting."""
    reply, setting = context.reply, context.thunderbit.requests_per_minute
    if isinstance(reply.error, USED_UP):
        advice = "Wait for the next window, and find out who else uses this key."
        return Finding("failed", f"the account's requests are used up: {reply.error}", advice)
    told = RateLimit.from_headers(reply.headers)
    if told.limit is None or told.remaining is None or told.reset is None:
        advice = f"Set {SETTING} to your plan's limit: nothing else holds requests back. {REPORT}"
        return Finding("warning", "answers carry no complete X-RateLimit headers", advice)
    seconds = max(told.reset - time.time(), 0)
    seen = f"{told.limit} requests, {told.remaining} left, next window in {seconds:.0f} s"
    if seconds > 10 * PERIOD:
        return Finding("warning", seen, f"The window is longer than a minute: plan backfills by it. {REPORT}")
    if told.limit < setting:
        return Finding("warning", seen, f"Set {SETTING} to {told.limit}; it is {setting}.")
    plan = next((plan.name for plan in PLANS.values() if plan.requests_per_minute == told.limit), "no known")
    more = f"{SETTING} is {setting}; {told.limit} would use all of it."
    return Finding("ok", f"{seen} ({plan} plan)", more if told.limit > setting else "")


def check_states(context: Context) -> Finding:
    """Whether the words for the states of job and row are those documented."""
    trial = context.trial
    if trial.error is not None:
        advice = "Put right what the answer names, then try again."
        if trial.error.maybe_accepted:
            advice = "The job may run and be billed although its id is not known. Look at the account first."
        return Finding("failed", f"no job to look at: {trial.error}", advice)
    rows = zip(trial.page.rows, trial.results, strict=True) if trial.page else ()
    job = {one.raw_status: one.status.value for one in trial.jobs}
    row = {_row_word(result): one.status.value for one, result in rows}
    seen = f"job {', '.join(job) or 'none'}; row {', '.join(row) or 'none'}"
    if RowStatus.UNKNOWN.value in (*job.values(), *row.values()):
        return Finding("failed", f"{seen}: a word that is not documented", UNREAD)
    if trial.page is None:
        advice = "Look at the service's status page; raise job_deadline if jobs take so long as a rule."
        return Finding("failed", f"{seen}: the job of one page did not end in {trial.seconds:.0f} s", advice)
    is_documented = all(word == status for word, status in (*job.items(), *row.items()))
    return Finding("ok", seen) if is_documented else Finding("warning", seen, REPORT)


def _row_word(result: object) -> str:
    """The state of a row as received, of which the client gives only the meaning."""
    match result:
        case {"status": str(word)}:
            return word
        case {"success": success}:
            return f"success: {success}"
    return "none"


def check_rows(context: Context) -> Finding:
    """Whether the page came back as one row that can be matched with its URL, with Markdown in it."""
    trial = context.trial
    if trial.page is None:
        return NO_JOB
    if len(trial.page.rows) != 1:
        return Finding("failed", f"{len(trial.page.rows)} rows for one URL", UNREAD)
    row, result = trial.page.rows[0], trial.results[0]
    if row.url != context.url:
        return Finding("failed", f"the row names {row.url} in place of {context.url}", UNREAD)
    if row.error is not None or not row.markdown:
        why = f"{row.error.code}: {row.error.message}" if row.error else f"{row.status.value}, without Markdown"
        return Finding("failed", f"{row.url}: {why}", "Name a page that can be fetched, with --url.")
    index = {None: "rows carry no index", 0: ""}.get(row.index, f"the first row has index {row.index}")
    is_nested = isinstance(result, Mapping) and not result.get("markdown")
    if index or is_nested:
        seen = "; ".join(filter(None, [index, "Markdown is nested in `data`" if is_nested else ""]))
        return Finding("warning", seen, REPORT)
    return Finding("ok", f"one row, index 0, the URL unchanged, {len(row.markdown):,} characters of Markdown")


def check_paging(context: Context) -> Finding:
    """Whether `page` counts from 0 and is obeyed, and how many rows come without parameters."""
    if context.trial.page is None:
        return NO_JOB
    ref = context.trial.page.job.ref
    try:
        second, third = (len(context.client.get_job(ref, page=number, page_size=1).rows) for number in (1, 2))
    except errors.ThunderbitError as error:
        return Finding("failed", f"a page beyond the last one is refused: {error}", UNREAD)
    if second and not third:
        return Finding("failed", "pages count from 1: page 0 and page 1 are the same", UNREAD)
    if second:
        return Finding("warning", "`page` and `pageSize` are ignored, every answer holds all rows", REPORT)
    found = _default_page_size(context)
    return Finding(found.status, f"pages count from 0 and are obeyed; {found.seen}", found.advice)


def _default_page_size(context: Context) -> Finding:
    if context.earlier is None:
        return Finding("ok", "the default size was not looked at (--job)")
    try:
        page = context.client.get_job(context.earlier, page_size=None)
    except errors.ThunderbitError as error:
        advice = "Name a job of this account with --job; `thunderbit-dagster jobs list --all` shows some."
        return Finding("warning", f"the job of --job cannot be read: {error}", advice)
    rows, total = len(page.rows), page.job.total
    if total is None or total <= DEFAULT_PAGE_SIZE:
        return Finding("ok", f"the job of --job has {total} rows, too few to show the default size")
    if rows != DEFAULT_PAGE_SIZE:
        return Finding("warning", f"{rows} rows come by default, not {DEFAULT_PAGE_SIZE}", REPORT)
    return Finding("ok", f"{rows} rows of {total} come by default")


def check_credits(context: Context) -> Finding:
    """What the job was billed, against what the plugin expects and reserves."""
    trial, price = context.trial, CREDITS_PER_DISTILL
    if isinstance(trial.error, errors.InsufficientCreditsError):
        return Finding("failed", str(trial.error), "Top up the account; runs stop there and go on afterwards.")
    if trial.page is None:
        return NO_JOB
    used = trial.page.job.credits_used
    if used is None:
        return Finding("warning", "the job does not say what it used", f"Caps rest on estimates alone. {REPORT}")
    seen = f"{used} credits used for one URL, {price} expected"
    if used > price:
        advice = f"Divide the caps on credits by {used / price:g}: they reckon with {price} for a URL. Report it."
        return Finding("failed", seen, advice)
    if used < price:
        advice = "A page that failed, or came from a cache, may be free; then caps reserve more than is billed."
        return Finding("warning", seen, advice)
    return Finding("ok", f"{used} used for one URL, as expected")


def check_webhook(context: Context) -> Finding:
    """Whether the API calls when the job ends, signs the call in the newest scheme, and names the job."""
    receiver, trial = context.receiver, context.trial
    if isinstance(receiver, Finding):
        return receiver
    if trial.page is None:
        return NO_JOB
    seconds = max(context.seconds - trial.seconds, context.interval)
    context.tell(f"Waiting for the webhook, up to {seconds:.0f} s")
    delivery = receiver.wait(trial.page.job.ref.id, seconds)
    if delivery is not None:
        return _check_delivery(delivery, receiver.webhook.secret or "")
    allowed = "An emulator calls private addresses only when its --allow-origin names them."
    advice = f"Make the address reachable from the API and forward it to this machine. {allowed}"
    return Finding("failed", f"no call came to {receiver.webhook.url} within {seconds:.0f} s", advice)


def _check_delivery(delivery: Delivery, secret: str) -> Finding:
    signature = delivery.headers.get(signatures.SIGNATURE_HEADER, "")
    timestamp = delivery.headers.get(signatures.TIMESTAMP_HEADER, "")
    if not signature:
        oldest = "X-Thunderbit-Signature"
        is_oldest = oldest in delivery.headers
        seen = f"signed in the oldest header, {oldest}" if is_oldest else "a call came without a signature"
        return Finding("failed", seen, f"{UNREAD} Polling works without webhooks.")
    if signature == signatures.sign_legacy(secret, delivery.body):
        advice = "Start the receiver with `thunderbit-dagster webhooks serve --legacy-signature`."
        return Finding("warning", "signed in the older scheme, hex of the body alone", advice)
    if not signatures.verify(secret, delivery.body, signature=signature, timestamp=timestamp):
        return Finding("failed", "the signature fits neither of the two documented schemes", UNREAD)
    if not signatures.is_fresh(timestamp, now=delivery.at):
        seen = f"its timestamp {timestamp} is not within {signatures.TOLERANCE:.0f} s of this machine's clock"
        return Finding("failed", seen, "Set this machine's clock by NTP: the receiver takes late calls for replays.")
    try:
        job = parse_notification(decode_json(delivery.body))
    except errors.ProtocolError as error:
        return Finding("failed", f"signed, but {error}", UNREAD)
    return Finding("ok", f"signed in the newest scheme, names {job.ref} and {job.raw_status}")


def check_storage(context: Context) -> Finding:
    """Publish an empty partition twice, read it back, and remove it."""
    store, uri, crawl = context.store, context.store.base_uri, f"thunderbit_doctor_{secrets.token_hex(4)}"
    context.tell(f"Writing to {uri}")
    folder = to_path(uri) if uri.startswith("file:") else None
    existed = folder is not None and folder.exists()
    try:
        for _ in range(2):
            with store.open_partition(crawl, {}) as writer:
                published = writer.commit({})
        consistent = store.pair(crawl, {}).consistent
    except (StorageError, OSError) as error:
        # Storage's own text is about a partition that people have.
        cause = error.__context__ or error
        advice = f"{what_to_do(uri, cause)}, or set THUNDERBIT_DATA_URI to another place."
        bucket = "" if folder else " Check the bucket's name and region, too."
        return Finding(
            "failed", f"cannot write to {uri} and read it: {credentials.reason(uri, cause)}", advice + bucket
        )
    finally:
        left = _remove(store, crawl)
        if folder and not existed:
            # Something else may have come meanwhile.
            with suppress(OSError):
                folder.rmdir()
    if not consistent:
        advice = "Use a store that gives back at once what was written, as file systems and S3, GCS and Azure do."
        return Finding("failed", f"what was written to {uri} is not what is read", advice)
    size = published.succeeded.size_bytes + published.failed.size_bytes
    seen = f"wrote, replaced and read two tables of {size:,} bytes in {uri}"
    if left:
        advice = f"Remove {uri}/{crawl}. Crawls never remove anything."
        return Finding("warning", f"{seen}; they could not be removed: {left}", advice)
    return Finding("ok", f"{seen}, and removed them")


def _remove(store: ParquetStore, crawl: str) -> str:
    """Take away what the check wrote; why it could not, or an empty text."""
    try:
        if store.base_uri.startswith("file:"):
            shutil.rmtree(to_path(store.base_uri) / crawl)
        else:
            keys = [store.uri(crawl, table, {}) for table in ("succeeded", "failed")]
            place = obstore.store.from_url(store.base_uri)
            obstore.delete(place, [key.removeprefix(f"{store.base_uri}/") for key in keys])
    except (BaseError, StorageError, OSError) as error:
        return first_line(error)
    return ""


def check_dagster(context: Context) -> Finding:
    """Open the Dagster instance, read its runs and open jobs, and look for the daemon that runs sensors."""
    home, daemon = context.dagster_home, "SENSOR"
    context.tell(f"Looking at Dagster in {home}")
    if not home.is_dir() and os.environ.get("DAGSTER_HOME"):
        return Finding("failed", f"DAGSTER_HOME is {home}, which is no folder", "Make it, or set another.")
    if not home.is_dir():
        advice = "Set DAGSTER_HOME, or start `thunderbit-dagster dev`: without an instance Dagster forgets open jobs."
        return Finding("warning", f"DAGSTER_HOME is not set, and there is no instance in {home}", advice)
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            instance.get_runs(limit=1)
            is_alive = instance.get_daemon_statuses([daemon])[daemon].healthy
            jobs = open_jobs(instance, context.crawls, time.time())
    except Exception as error:  # noqa: BLE001 - storages are plugins, each with errors of its own
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        advice = "Check dagster.yaml and its database; after an upgrade of Dagster, run `dagster instance migrate`."
        return Finding("failed", f"the instance in {home} does not open: {said}", advice)
    seen = f"the instance in {home} answers" + (f", {len(jobs):,} batch job(s) are open" if jobs else "")
    if not is_alive:
        advice = "Start `dagster dev`, or `dagster-daemon run` in production: jobs are collected by the sensor."
        return Finding("warning", f"{seen}, but no sensor daemon is running", advice)
    return Finding("ok", f"{seen}, and its sensor daemon is running", wipe_warning(jobs) or "")


FREE: Final = ("service", "key", "limits")
PAYING: Final = ("states", "rows", "paging", "credits", "webhook")
"""The checks that need a batch job of one URL."""
CHECKS: Final[Mapping[str, Callable[[Context], Finding]]] = {
    "service": check_service,
    "key": check_key,
    "limits": check_limits,
    "states": check_states,
    "rows": check_rows,
    "paging": check_paging,
    "credits": check_credits,
    "webhook": check_webhook,
    "storage": check_storage,
    "dagster": check_dagster,
}


def run_checks(context: Context, *, free: bool) -> dict[str, Finding]:
    """The ten findings by name. Those of the API rest on its service, key and limits; with ``free``, none is paid."""
    findings: dict[str, Finding] = {}
    for name, check in CHECKS.items():
        if free and name in PAYING:
            findings[name] = Finding("skipped", "needs a page; not with --free")
        elif name in FREE + PAYING and any(findings[one].status == "failed" for one in FREE if one in findings):
            findings[name] = Finding("skipped", "not tried after what failed before")
        else:
            findings[name] = check(context)
    return findings
