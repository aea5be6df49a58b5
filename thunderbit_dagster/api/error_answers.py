"""From an answer that is not a success to the exception that says so, without secrets in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from thunderbit_dagster.api.codes import (
    BATCH_SIZE_EXCEEDED,
    HTTP_STATUS,
    INSUFFICIENT_CREDITS,
    TARGET_CODES,
)
from thunderbit_dagster.api.effects import Answer, Call, Failure
from thunderbit_dagster.api.errors import (
    AnswerBrokenOffError,
    AnswerNotReadError,
    ApiError,
    AuthenticationError,
    BadRequestError,
    BatchSizeExceededError,
    ConflictError,
    InsufficientCreditsError,
    JobNotFoundError,
    NotSentError,
    ProtocolError,
    RateLimitedError,
    ReplyLostError,
    ServerError,
    TargetError,
    TransportError,
)
from thunderbit_dagster.api.parsing import ErrorBody, excerpt, parse_error
from thunderbit_dagster.api.retry import SERVER_ERRORS, Event, Outcome, Safety, may_have_arrived

Redact: TypeAlias = Callable[[bytes], bytes]

_SHORTEST_SECRET: Final = 6
_REQUEST_IDS: Final = ("x-request-id", "x-trace-id", "cf-ray")
_BY_CODE: Final[dict[str, type[ApiError]]] = {
    BATCH_SIZE_EXCEEDED: BatchSizeExceededError,
    INSUFFICIENT_CREDITS: InsufficientCreditsError,
}
_BY_STATUS: Final[dict[int, type[ApiError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: AuthenticationError,
    409: ConflictError,
    413: BadRequestError,
    422: BadRequestError,
    429: RateLimitedError,
}
_OF_JOBS: Final[dict[int, type[ApiError]]] = {404: JobNotFoundError, 410: JobNotFoundError}
_OF_PAGES: Final[dict[int, type[ApiError]]] = {408: TargetError, 422: TargetError}
_OF_CANCELLATIONS: Final[dict[int, type[ApiError]]] = {**_OF_JOBS, 422: ConflictError}


def redactor(secrets: Iterable[str]) -> Redact:
    """A function that replaces every secret, and every longer part of one, in a text by `[secret]`."""
    parts = {part for secret in secrets for part in (secret, *re.split(r"[\s;,=\"']+", secret))}
    found = sorted((part for part in parts if len(part) >= _SHORTEST_SECRET), key=len, reverse=True)
    if not found:
        return lambda content: content
    pattern = re.compile("|".join(map(re.escape, found)).encode())
    return lambda content: pattern.sub(b"[secret]", content)


def api_error(call: Call, answer: Answer, outcome: Outcome, redact: Redact) -> ApiError:
    """The exception for an answer outside 2xx."""
    if 300 <= answer.status < 400:  # noqa: PLR2004
        said = _redirect(answer, redact)
    else:
        said = parse_error(redact(answer.content), answer.status)
    return _build(call, answer, outcome, said, redact)


def refused(call: Call, answer: Answer, outcome: Outcome, said: ErrorBody, redact: Redact) -> ApiError:
    """The exception for an error envelope that came with a 2xx status; `outcome` holds the status it means."""
    again = parse_error(redact(answer.content), outcome.status or answer.status)
    return _build(call, answer, outcome, again if again.code == said.code else said, redact)


def meant_status(said: ErrorBody, status: int) -> int:
    """The status that an error envelope under a 2xx status stands for."""
    named = said.status if said.status is not None and said.status >= 400 else None  # noqa: PLR2004
    return named or HTTP_STATUS.get(said.code, status)


def transport_error(call: Call, failure: Failure) -> TransportError:
    """The exception for a request without an answer."""
    message = f"{call.method} {call.path}: {failure.reason}"
    if failure.event is Event.NOT_SENT:
        return NotSentError(message)
    lost = AnswerBrokenOffError if failure.has_begun else ReplyLostError
    return lost(message, may_have_arrived=call.safety is Safety.PAID)


def not_read(call: Call, answer: Answer) -> AnswerNotReadError:
    """The exception for an answer that was not read to its end."""
    page = ", ".join(f"{name}={value}" for name, value in call.params.items())
    where = f"{call.method} {call.path}" + (f" ({page})" if page else "")
    message = f"{where}: the answer was not read: {answer.refused}"
    return AnswerNotReadError(message, may_have_arrived=call.safety is Safety.PAID)


def protocol_error(call: Call, answer: Answer, problem: ProtocolError, redact: Redact) -> ProtocolError:
    """The exception for a 2xx answer that cannot be read."""
    seen = excerpt(redact(answer.content))
    message = f"{call.method} {call.path}: {problem} (HTTP {answer.status}, {len(answer.content)} bytes: {seen!r})"
    return ProtocolError(message, may_have_arrived=call.safety is Safety.PAID)


def _build(call: Call, answer: Answer, outcome: Outcome, said: ErrorBody, redact: Redact) -> ApiError:
    status = outcome.status or answer.status
    error = _error_type(call, status, said.code)(
        status,
        said.code,
        said.message,
        details=said.details,
        request_id=_request_id(answer, redact),
        retry_after=outcome.told,
    )
    # A page that failed was not paid for, and the service said so itself.
    arrived = may_have_arrived(call.safety, outcome)
    error.may_have_arrived = arrived and not isinstance(error, TargetError)
    return error


def _error_type(call: Call, status: int, code: str) -> type[ApiError]:
    if call.about_page and code in TARGET_CODES:
        return TargetError
    special = _BY_CODE.get(code)
    if special is not None:
        return special
    if status >= SERVER_ERRORS:
        return ServerError
    return {**_BY_STATUS, **_of_call(call)}.get(status, ApiError)


def _of_call(call: Call) -> dict[int, type[ApiError]]:
    if call.about_page:
        return _OF_PAGES
    if call.method == "DELETE":
        return _OF_CANCELLATIONS
    return _OF_JOBS if call.safety is Safety.SAFE else {}


def _redirect(answer: Answer, redact: Redact) -> ErrorBody:
    location = redact(answer.headers.get("location", "").encode()).decode("utf-8", "replace")
    try:
        host = urlsplit(location).hostname or "the same host"
    except ValueError:
        host = "an unreadable address"
    return ErrorBody("REDIRECT", f"the service redirects to {excerpt(host)}; the key is not sent there")


def _request_id(answer: Answer, redact: Redact) -> str | None:
    found = next((answer.headers[name] for name in _REQUEST_IDS if name in answer.headers), None)
    return excerpt(redact(found.encode())) if found else None
