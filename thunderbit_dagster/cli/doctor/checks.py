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
from collections.abc import Mapping
from functools import partial
from typing import Final

import dagster as dg
import obstore
from obstore.exceptions import BaseError

from thunderbit_dagster.api import codes, errors, signatures
from thunderbit_dagster.api.budget import PERIOD, RateLimit
from thunderbit_dagster.api.parsing import decode_json, parse_notification
from thunderbit_dagster.cli.doctor.context import Context, Finding
from thunderbit_dagster.cli.doctor.receiver import ReceivedCall
from thunderbit_dagster.jobs.open_jobs import open_jobs, wipe_warning
from thunderbit_dagster.storage.credentials import reason
from thunderbit_dagster.storage.errors import StorageError, first_line
from thunderbit_dagster.storage.store import ParquetStore
from thunderbit_dagster.storage.uri import to_path
from thunderbit_dagster.storage.writer import what_to_do

ok, warning, failed = partial(Finding, "ok"), partial(Finding, "warning"), partial(Finding, "failed")
skipped = partial(Finding, "skipped")
NO_JOB: Final = skipped("no job ended")
SETTING: Final = "requests_per_minute (THUNDERBIT_REQUESTS_PER_MINUTE)"
REPORT: Final = "The plugin understands it; please report it, so that the emulator learns it too."
UNREAD: Final = "The plugin would get this wrong. Do not crawl in bulk yet; report it with this output."
NO_SERVICE: Final = (
    (errors.NotSentError, "nothing answers", "Check the network and base_url, or run `thunderbit-dagster emulator`."),
    (errors.TransportError, "the connection breaks off", "Look at proxies and firewalls in between."),
    (errors.ServerError, "the service has a fault", "Try again later, and look at its status page."),
)


def check_service(context: Context) -> Finding:
    """Whether the Thunderbit API answers at the base URL."""
    base_url, error = context.thunderbit.base_url, context.reply.error
    for kind, seen, advice in NO_SERVICE:
        if isinstance(error, kind):
            return failed(f"{seen} at {base_url}: {error}", advice)
    if isinstance(error, errors.BudgetExceededError):
        return skipped("nothing was asked, since no request is left")
    if isinstance(error, errors.ApiError) and error.code == "REDIRECT":
        return failed(error.message, "Set base_url to the address that the API itself has.")
    # The API refuses a made-up key, where another server has the same 404 for it.
    is_vague = isinstance(error, errors.JobNotFoundError) and error.code != codes.JOB_NOT_FOUND
    is_elsewhere = is_vague and not isinstance(context.stranger.error, errors.AuthenticationError)
    if isinstance(error, errors.ProtocolError) or is_elsewhere:
        seen = f"what answers at {base_url} does not speak as the API does: {error}"
        return failed(seen, "Check the path of base_url; the API's own ends in /openapi/v1.")
    return ok(f"answers at {base_url}")


def check_key(context: Context) -> Finding:
    """Whether the key was accepted; a made-up key must not be."""
    error = context.reply.error
    if isinstance(error, errors.AuthenticationError):
        return failed(f"refused: {error}", "Set THUNDERBIT_API_KEY to a key of this account that is not revoked.")
    if not isinstance(error, errors.JobNotFoundError | errors.BadRequestError | None):
        return skipped("the API did not get as far as the key")
    stranger = context.stranger.error
    if not isinstance(stranger, errors.AuthenticationError):
        seen = f"a made-up key is answered the same: {stranger or 'no error'}"
        return warning(seen, f"Look at the key in the account's settings: this check proves nothing. {REPORT}")
    if envelope := _envelope(context.reply.json):
        return warning(f"accepted; errors come {envelope}", REPORT)
    if not re.fullmatch(r"tb_[0-9a-fA-F]{32}", context.thunderbit.api_key):
        return warning("accepted; it is not `tb_` and 32 hex digits, as documented", REPORT)
    return ok("accepted; a made-up one is refused")


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
    if isinstance(reply.error, errors.RateLimitedError | errors.BudgetExceededError):
        advice = "Wait for the next window, and find out who else uses this key; machines share requests by budget_url."
        return failed(f"the account's requests are used up: {reply.error}", advice)
    told = RateLimit.from_headers(reply.headers)
    if told.limit is None or told.remaining is None or told.reset is None:
        advice = f"Set {SETTING} to your plan's limit: nothing else holds requests back. {REPORT}"
        return warning("answers carry no complete X-RateLimit headers", advice)
    seconds = max(told.reset - time.time(), 0)
    seen = f"{told.limit} requests, {told.remaining} left, next window in {seconds:.0f} s"
    if seconds > 10 * PERIOD:
        return warning(seen, f"The window is longer than a minute: plan backfills by it. {REPORT}")
    if told.limit < setting:
        return warning(seen, f"Set {SETTING} to {told.limit}; it is {setting}.")
    plan = next((plan.name for plan in codes.PLANS.values() if plan.requests_per_minute == told.limit), "no known")
    more = f"{SETTING} is {setting}; {told.limit} would use all of it."
    return ok(f"{seen} ({plan} plan)", more if told.limit > setting else "")


def check_states(context: Context) -> Finding:
    """Whether the words for the states of job and row are those documented."""
    trial = context.trial
    if trial.error is not None:
        billed = "The job may run and be billed although its id is not known. Look at the account first."
        advice = billed if trial.error.maybe_accepted else "Put right what the answer names, then try again."
        return failed(f"no job to look at: {trial.error}", advice)
    job = {one.raw_status: one.status.value for one in trial.jobs}
    row = {
        str(result.get("status") or f"success: {result.get('success')}"): one.status.value
        for one, result in zip(trial.page.rows if trial.page else (), trial.results, strict=False)
        if isinstance(result, Mapping)
    }
    seen = f"job {', '.join(job) or 'none'}; row {', '.join(row) or 'none'}"
    if codes.RowStatus.UNKNOWN.value in (*job.values(), *row.values()):
        return failed(f"{seen}: a word that is not documented", UNREAD)
    if trial.page is None:
        seen = f"{seen}: the job of one page did not end in {trial.seconds:.0f} s"
        return failed(seen, "Look at the service's status page; raise job_deadline if jobs take so long as a rule.")
    is_documented = all(word == status for word, status in (*job.items(), *row.items()))
    return ok(seen) if is_documented else warning(seen, REPORT)


def check_rows(context: Context) -> Finding:
    """Whether the page came back as one row that can be matched with its URL, with Markdown in it."""
    page, results = context.trial.page, context.trial.results
    if page is None:
        return NO_JOB
    if len(page.rows) != 1:
        return failed(f"{len(page.rows)} rows for one URL", UNREAD)
    row = page.rows[0]
    if row.url != context.url:
        return failed(f"the row names {row.url} in place of {context.url}", UNREAD)
    if row.error is not None or not row.markdown:
        why = f"{row.error.code}: {row.error.message}" if row.error else f"{row.status.value}, without Markdown"
        return failed(f"{row.url}: {why}", "Name a page that can be fetched, with --url.")
    index = "rows carry no index" if row.index is None else f"the first row has index {row.index}"
    is_nested = isinstance(results[0], Mapping) and not results[0].get("markdown")
    if differences := [index] * (row.index != 0) + ["Markdown is nested in `data`"] * is_nested:
        return warning("; ".join(differences), REPORT)
    return ok(f"one row, index 0, the URL unchanged, {len(row.markdown):,} characters of Markdown")


def check_paging(context: Context) -> Finding:
    """Whether `page` counts from 0 and is obeyed, and how many rows come without parameters."""
    if context.trial.page is None:
        return NO_JOB
    ref = context.trial.page.job.ref
    try:
        second, third = (len(context.client.get_job(ref, page=number, page_size=1).rows) for number in (1, 2))
    except errors.ThunderbitError as error:
        return failed(f"a page beyond the last one is refused: {error}", UNREAD)
    if second and not third:
        return failed("pages count from 1: page 0 and page 1 are the same", UNREAD)
    if second:
        return warning("`page` and `pageSize` are ignored, every answer holds all rows", REPORT)
    found = _default_page_size(context)
    return Finding(found.status, f"pages count from 0 and are obeyed; {found.seen}", found.what_to_do)


def _default_page_size(context: Context) -> Finding:
    if context.earlier is None:
        return ok("the default size was not looked at (--job)")
    try:
        page = context.client.get_job(context.earlier, page_size=None)
    except errors.ThunderbitError as error:
        advice = "Name a job of this account with --job; `thunderbit-dagster jobs list --all` shows some."
        return warning(f"the job of --job cannot be read: {error}", advice)
    rows, total, expected = len(page.rows), page.job.total, codes.DEFAULT_PAGE_SIZE
    if total is None or total <= expected:
        return ok(f"the job of --job has {total} rows, too few to show the default size")
    if rows != expected:
        return warning(f"{rows} rows come by default, not {expected}", REPORT)
    return ok(f"{rows} rows of {total} come by default")


def check_credits(context: Context) -> Finding:
    """What the job was billed, against what the plugin expects and reserves."""
    trial, price = context.trial, codes.CREDITS_PER_DISTILL
    if isinstance(trial.error, errors.InsufficientCreditsError):
        return failed(str(trial.error), "Top up the account; runs stop there and go on afterwards.")
    if trial.page is None:
        return NO_JOB
    used = trial.page.job.credits_used
    if used is None:
        return warning("the job does not say what it used", f"Caps rest on estimates alone. {REPORT}")
    seen = f"{used} credits used for one URL, {price} expected"
    if used > price:
        advice = f"Divide the caps on credits by {used / price:g}: they reckon with {price} for a URL. Report it."
        return failed(seen, advice)
    if used < price:
        return warning(seen, "A page that failed, or came from a cache, may be free; then caps reserve too much.")
    return ok(f"{used} used for one URL, as expected")


def check_webhook(context: Context) -> Finding:
    """Whether the API calls when the job ends, signs the call in the newest scheme, and names the job."""
    receiver, trial = context.receiver, context.trial
    if isinstance(receiver, Finding):
        return receiver
    if trial.page is None:
        return NO_JOB
    seconds = max(context.seconds - trial.seconds, 0.5 if context.thunderbit.is_local else 5.0)
    context.tell(f"Waiting for the webhook, up to {seconds:.0f} s")
    delivery = receiver.wait(trial.page.job.ref.id, seconds)
    if delivery is not None:
        return _check_delivery(delivery, receiver.webhook.secret or "")
    emulator = "An emulator calls private addresses only when its --allow-origin names them."
    advice = f"Make the address reachable from the API and forward it to this machine. {emulator}"
    return failed(f"no call came to {receiver.webhook.url} within {seconds:.0f} s", advice)


def _check_delivery(delivery: ReceivedCall, secret: str) -> Finding:
    signature = delivery.headers.get(signatures.SIGNATURE_HEADER, "")
    timestamp = delivery.headers.get(signatures.TIMESTAMP_HEADER, "")
    if not signature:
        oldest = "X-Thunderbit-Signature"
        signed = f"signed in the oldest header, {oldest}" if oldest in delivery.headers else "without a signature"
        return failed(f"a call came {signed}", f"{UNREAD} Polling works without webhooks.")
    if signature == signatures.sign_legacy(secret, delivery.body):
        advice = "Start the receiver with `thunderbit-dagster webhooks serve --legacy-signature`."
        return warning("signed in the older scheme, hex of the body alone", advice)
    if not signatures.verify(secret, delivery.body, signature=signature, timestamp=timestamp):
        return failed("the signature fits neither of the two documented schemes", UNREAD)
    if not signatures.is_fresh(timestamp, now=delivery.at):
        seen = f"its timestamp {timestamp} is not within {signatures.TOLERANCE:.0f} s of this machine's clock"
        return failed(seen, "Set this machine's clock by NTP: the receiver takes late calls for replays.")
    try:
        job = parse_notification(decode_json(delivery.body))
    except errors.ProtocolError as error:
        return failed(f"signed, but {error}", UNREAD)
    return ok(f"signed in the newest scheme, names {job.ref} and {job.raw_status}")


def check_storage(context: Context) -> Finding:
    """Publish an empty partition twice, read it back, and remove it."""
    store, uri, crawl = context.store, context.store.base_uri, f"thunderbit_doctor_{secrets.token_hex(4)}"
    context.tell(f"Writing to {uri}")
    existed = not uri.startswith("file:") or to_path(uri).exists()
    try:
        for _ in range(2):
            with store.open_partition(crawl, {}) as writer:
                writer.commit({})
        is_consistent = store.pair(crawl, {}).consistent
    except (StorageError, OSError) as error:
        # The text of storage's own errors is about a partition that people have.
        cause = (isinstance(error, StorageError) and error.__context__) or error
        bucket = "" if uri.startswith("file:") else " Check the bucket's name and region, too."
        advice = f"{what_to_do(uri, cause)}, or set THUNDERBIT_DATA_URI to another place.{bucket}"
        return failed(f"cannot write to {uri} and read it again: {reason(uri, cause)}", advice)
    finally:
        left = _remove(store, crawl, existed=existed)
    if not is_consistent:
        seen = f"what was written to {uri} is not what is read"
        return failed(seen, "Use a store that gives back at once what was written: disks, S3, GCS and Azure do.")
    seen = f"wrote, replaced and read two tables in {uri}"
    if left:
        return warning(f"{seen}; they could not be removed: {left}", f"Remove {uri}/{crawl}; crawls never do.")
    return ok(f"{seen}, and removed them")


def _remove(store: ParquetStore, crawl: str, *, existed: bool) -> str:
    """Take away what the check wrote; why it could not, or an empty text."""
    try:
        if store.base_uri.startswith("file:"):
            root = to_path(store.base_uri)
            shutil.rmtree(root / crawl)
            if not existed and not any(root.iterdir()):
                root.rmdir()
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
        return failed(f"DAGSTER_HOME is {home}, which is no folder", "Make it, or set another.")
    if not home.is_dir():
        seen = f"DAGSTER_HOME is not set, and there is no instance in {home}"
        return warning(seen, "Set it, or start `thunderbit-dagster dev`: without it, open jobs are forgotten.")
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            instance.get_runs(limit=1)
            is_alive = instance.get_daemon_statuses([daemon])[daemon].healthy
            jobs = open_jobs(instance, context.crawls, time.time())
    except Exception as error:  # noqa: BLE001 - storages are plugins, each with errors of its own
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        advice = "Check dagster.yaml and its database; after an upgrade of Dagster, run `dagster instance migrate`."
        return failed(f"the instance in {home} does not open: {said}", advice)
    seen = f"the instance in {home} answers" + (f", {len(jobs):,} batch job(s) are open" if jobs else "")
    if not is_alive:
        advice = "Start `dagster dev`, or `dagster-daemon run` in production: jobs are collected by the sensor."
        return warning(f"{seen}, but no sensor daemon is running", advice)
    return ok(f"{seen}, and its sensor daemon is running", wipe_warning(jobs) or "")


FREE: Final = {"service": check_service, "key": check_key, "limits": check_limits}
PAYING: Final = {
    "states": check_states,
    "rows": check_rows,
    "paging": check_paging,
    "credits": check_credits,
    "webhook": check_webhook,
}
"""The checks that need a batch job of one URL."""
CHECKS: Final = FREE | PAYING | {"storage": check_storage, "dagster": check_dagster}


def run_checks(context: Context, *, free: bool) -> dict[str, Finding]:
    """The ten findings by name. Those of the API rest on its service, key and limits; with ``free``, none is paid."""
    findings: dict[str, Finding] = {}
    for name, check in CHECKS.items():
        if free and name in PAYING:
            findings[name] = skipped("needs a page; not with --free")
        elif name in FREE | PAYING and any(findings[one].status == "failed" for one in FREE if one in findings):
            findings[name] = skipped("not tried after what failed before")
        else:
            findings[name] = check(context)
    return findings
