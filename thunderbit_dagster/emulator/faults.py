"""Faults on request. A seed makes every plan reproducible: the same requests meet the same faults.

A plan is a few figures that hold for all pages and a list of rules for single requests, jobs, pages and webhooks:

    Faults(
        seed=7,
        latency=0.2,
        row_failure_rate=0.05,
        rules=(
            Rule("status", method="GET", route="/batch/*", nth=(2,), status=429, retry_after="3"),
            Rule("drop_after", method="POST", route="/batch/distill", nth=(1,)),
        ),
    )
"""

import fnmatch
import hashlib
import json
import math
import statistics
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

import httpx
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from thunderbit_dagster.api.codes import HTTP_STATUS
from thunderbit_dagster.emulator.dialect import Dialect

RequestAction = Literal["status", "drop_before", "drop_after", "truncate", "garbage", "delay"]
AnswerAction = Literal[
    "status_word",
    "rows_missing",
    "rows_duplicated",
    "rows_foreign",
    "rows_shuffled",
    "completed_early",
    "job_lost",
    "expired",
]
JobAction = Literal["job_failed", "job_stuck"]
PageAction = Literal["row_failed", "row_delay", "invalid_output", "missing_output", "foreign_output"]
WebhookAction = Literal["webhook_lost", "webhook_doubled"]
Action = Literal[RequestAction, AnswerAction, JobAction, PageAction, WebhookAction]

_CHECKED: Final = ConfigDict(extra="forbid", strict=False)


@checked_dataclass(frozen=True, config=_CHECKED)
class Rule:
    """One fault and what it befalls.

    Args:
        action: What happens.
            Requests: `status` (answered without being processed), `drop_before` and `drop_after` (the connection
            closes before or after processing), `truncate` and `garbage` (the body, after processing), `delay`.
            Answers to a read of a batch job: `status_word` (an unknown state), `rows_missing`, `rows_duplicated`,
            `rows_foreign`, `rows_shuffled`, `completed_early` (`COMPLETED` with rows pending), `job_lost` (404),
            `expired` (410).
            Jobs, chosen when they are submitted: `job_failed` (after half of its rows), `job_stuck` (all rows but the
            last finish, and the job never ends).
            Pages: `row_failed`, `row_delay`, and of an extraction: `invalid_output` (values of another type),
            `missing_output` (fields left out), `foreign_output` (a field that the schema does not name).
            Webhooks: `webhook_lost`, `webhook_doubled`.
        route: Pattern for the path below `/openapi/v1`, as in a shell: `/batch/*`. For jobs and webhooks: the path
            the job was submitted to.
        method: HTTP method; `*` for any. Not used for jobs, pages and webhooks.
        url: Pattern for the page's URL (pages only).
        nth: Which matching events, counted from 1; empty: all of them.
        skip: Leave the first so many matching events alone.
        share: Of those left, the share that is hit, drawn by the seed; 0 to 1.
        status: HTTP status of `status`.
        code: Error code of `status` or `row_failed`. Default: a documented one for the status.
        retry_after: `Retry-After` of `status`: seconds as text, `date:` and seconds for an HTTP date, or any text.
        html: `status` answers with an HTML page, as a proxy does.
        word: The state `status_word` shows.
        seconds: How long `delay` and `row_delay` last.
        field: Which field of each extracted row `invalid_output` and `missing_output` spoil (default: every one), and
            the name that `foreign_output` uses (default: `unexpected`).
    """

    action: Action
    route: str = "*"
    method: str = "*"
    url: str = "*"
    nth: tuple[int, ...] = ()
    skip: int = 0
    share: float = 1.0
    status: int = 503
    code: str | None = None
    retry_after: str | None = None
    html: bool = False
    word: str = "ARCHIVING"
    seconds: float = 0.0
    field: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError("share must be between 0 and 1")
        if any(n < 1 for n in self.nth) or self.skip < 0 or self.seconds < 0:
            raise ValueError("nth counts from 1; skip and seconds must not be negative")
        if not httpx.codes.is_error(self.status):
            raise ValueError("status must be an HTTP error, 400 to 599")

    @property
    def error_code(self) -> str:
        """The code to answer with."""
        if self.code is not None:
            return self.code
        if self.action == "row_failed":
            return "SCRAPE_SITE_ERROR"
        return next((code for code, status in HTTP_STATUS.items() if status == self.status), "INTERNAL_ERROR")


@checked_dataclass(frozen=True, config=_CHECKED)
class Faults:
    """A plan of faults; without arguments, none.

    Args:
        seed: Decides every draw below and in the rules.
        latency: Median time a page takes beside the fetch itself, in seconds.
        latency_sigma: Spread of that time: sigma of a log-normal distribution; 0 makes every page alike.
        row_failure_rate: Share of page fetches that fail, 0 to 1. A URL fetched again is drawn again.
        row_failure_codes: Codes of those failures, drawn evenly.
        rules: Faults for single requests, jobs, pages and webhooks. All that match apply, in this order.
        dialect: How answers are spelled.
    """

    seed: int = 0
    latency: float = 0.0
    latency_sigma: float = 0.0
    row_failure_rate: float = 0.0
    row_failure_codes: tuple[str, ...] = ("SCRAPE_TIMEOUT", "SCRAPE_SITE_ERROR", "SCRAPE_TARGET_NOT_FOUND")
    rules: tuple[Rule, ...] = ()
    dialect: Dialect = field(default_factory=Dialect)

    def __post_init__(self) -> None:
        if not 0 <= self.row_failure_rate <= 1:
            raise ValueError("row_failure_rate must be between 0 and 1")
        if self.latency < 0 or self.latency_sigma < 0 or not self.row_failure_codes:
            raise ValueError("latency must not be negative, and row_failure_codes must name at least one code")

    @classmethod
    def load(cls, path: Path | str) -> "Faults":
        """Read a plan from a `.json` or `.toml` file whose keys are the arguments of this class.

        Raises:
            ValueError: The file is missing or no such plan; the message names the file and each wrong key.
        """
        path = Path(path)
        try:
            return _ADAPTER.validate_python(_read(path))
        except OSError as error:
            raise ValueError(f"cannot read the faults in {path}: {error.strerror}") from error
        except ValidationError as error:
            faults = "; ".join(f"{_where(e['loc'])}: {e['msg']}" for e in error.errors(include_url=False))
            raise ValueError(f"{path}: {faults}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def _read(path: Path) -> object:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    if path.suffix != ".toml":
        raise ValueError("name it .json or .toml")
    if sys.version_info < (3, 11):
        raise ValueError("reading TOML requires Python 3.11; use JSON")
    import tomllib  # noqa: PLC0415 - not in Python 3.10

    return tomllib.loads(text)


def _where(location: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in location) or "the file"


_ADAPTER: Final = TypeAdapter(Faults)


class FaultPlan:
    """`Faults` at work: counts what has happened so far. Not persistent; a restart counts anew."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._seen: Counter[int] = Counter()
        self._fetches: Counter[str] = Counter()
        by_rule = any(rule.action in get_args(PageAction) for rule in faults.rules)
        self._touches_pages = by_rule or bool(faults.latency or faults.row_failure_rate)

    def for_request(self, method: str, route: str) -> list[Rule]:
        """The rules for requests and answers that hit this request, in order."""
        groups = get_args(RequestAction) + get_args(AnswerAction)
        return [
            rule
            for number, rule in enumerate(self.faults.rules)
            if rule.action in groups
            and fnmatch.fnmatchcase(route, rule.route)
            and rule.method in {"*", method}
            and self._hits(number, rule)
        ]

    def for_job(self, route: str) -> list[Rule]:
        """The rules that hit a job submitted to `route`."""
        return self._for_route(get_args(JobAction), route)

    def for_webhook(self, route: str) -> list[Rule]:
        """The rules that hit the delivery about a job submitted to `route`."""
        return self._for_route(get_args(WebhookAction), route)

    def for_page(self, url: str) -> "PageFaults":
        """What befalls the next fetch of `url`."""
        if not self._touches_pages:
            return PageFaults(0.0, None, ())
        self._fetches[url] += 1
        draw = Draw(f"{self.faults.seed}/{url}/{self._fetches[url]}")
        rules = [
            rule
            for number, rule in enumerate(self.faults.rules)
            if rule.action in get_args(PageAction) and fnmatch.fnmatchcase(url, rule.url) and self._hits(number, rule)
        ]
        delay = latency(self.faults, draw) + sum(rule.seconds for rule in rules if rule.action == "row_delay")
        codes = [rule.error_code for rule in rules if rule.action == "row_failed"]
        if not codes and draw.uniform("fails") < self.faults.row_failure_rate:
            codes = [draw.choice("code", self.faults.row_failure_codes)]
        spoilers = tuple(rule for rule in rules if rule.action in _OUTPUT_SPOILERS)
        return PageFaults(delay, codes[0] if codes else None, spoilers)

    def _for_route(self, actions: tuple[str, ...], route: str) -> list[Rule]:
        return [
            rule
            for number, rule in enumerate(self.faults.rules)
            if rule.action in actions and fnmatch.fnmatchcase(route, rule.route) and self._hits(number, rule)
        ]

    def _hits(self, number: int, rule: Rule) -> bool:
        self._seen[number] += 1
        seen = self._seen[number]
        if seen <= rule.skip or (rule.nth and seen - rule.skip not in rule.nth):
            return False
        return Draw(f"{self.faults.seed}/rule {number}/{seen}").uniform("hits") < rule.share


@dataclass(frozen=True, slots=True)
class PageFaults:
    """What befalls one fetch: seconds of delay, the code it fails with, and what spoils its extracted rows."""

    delay: float
    code: str | None
    output: tuple[Rule, ...]

    def spoil(self, payload: Mapping[str, object]) -> dict[str, object]:
        """What the page yields after the rules that spoil extracted rows."""
        rows = payload.get("data")
        if not isinstance(rows, list):
            return dict(payload)
        for rule in self.output:
            rows = [_OUTPUT_SPOILERS[rule.action](row, rule.field) for row in rows]
        return {**payload, "data": rows}


@dataclass(frozen=True, slots=True)
class Draw:
    """Numbers that look random and depend on the text alone, so that order and threads do not matter."""

    text: str

    def uniform(self, name: str) -> float:
        """From 0 up to, not including, 1."""
        digest = hashlib.blake2b(f"{self.text}/{name}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64

    def choice(self, name: str, options: Sequence[str]) -> str:
        """One of `options`."""
        return options[min(int(self.uniform(name) * len(options)), len(options) - 1)]


def latency(faults: Faults, draw: Draw) -> float:
    """Seconds one page takes: log-normal around the median."""
    if not faults.latency or not faults.latency_sigma:
        return faults.latency
    place = min(max(draw.uniform("latency"), 1e-9), 1 - 1e-9)
    return faults.latency * math.exp(faults.latency_sigma * statistics.NormalDist().inv_cdf(place))


def spoil_rows(rows: list[dict[str, object]], rules: Sequence[Rule]) -> list[dict[str, object]]:
    """The rows of an answer after the rules that lose, double, invent or reorder rows."""
    for rule in rules:
        rows = _SPOILERS.get(rule.action, _untouched)(rows)
    return rows


def _untouched(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return rows


def _without_last(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return rows[:-1]


def _with_last_twice(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [*rows, *rows[-1:]]


def _with_foreign(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [*rows, {**(rows[-1] if rows else {"status": "FAILED"}), "url": "https://foreign.example/", "index": 10_000}]


def _reordered(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return sorted(rows, key=lambda row: hashlib.blake2b(str(row.get("url")).encode()).digest())


def _last_pending(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    kept = ("index", "url")
    last: Mapping[str, object] = rows[-1] if rows else {}
    return [*rows[:-1], {**{key: last[key] for key in kept if key in last}, "status": "PENDING"}] if rows else rows


_SPOILERS: Final = {
    "rows_missing": _without_last,
    "rows_duplicated": _with_last_twice,
    "rows_foreign": _with_foreign,
    "rows_shuffled": _reordered,
    "completed_early": _last_pending,
}


def _of_other_type(row: Mapping[str, object], field: str | None) -> dict[str, object]:
    return {name: _misread(value) if field in (None, name) else value for name, value in row.items()}


def _misread(value: object) -> object:
    return {"unexpected": value} if isinstance(value, str) else "unreadable"


def _without_field(row: Mapping[str, object], field: str | None) -> dict[str, object]:
    return {name: value for name, value in row.items() if field not in (None, name)}


def _with_foreign_field(row: Mapping[str, object], field: str | None) -> dict[str, object]:
    return {**row, field or "unexpected": "of no use"}


_OUTPUT_SPOILERS: Final = {
    "invalid_output": _of_other_type,
    "missing_output": _without_field,
    "foreign_output": _with_foreign_field,
}
