"""Answers, and the ways in which the fault plan spoils them."""

import json
import time
from collections.abc import Mapping, Sequence
from email.utils import formatdate

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from thunderbit_dagster.emulator.dialect import Dialect
from thunderbit_dagster.emulator.errors import EmulatorError
from thunderbit_dagster.emulator.faults import Rule
from thunderbit_dagster.emulator.json_views import error_view

_PROXY_PAGE = "<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>"


class Dropped(Response):
    """No answer at all: the connection closes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the signature is ASGI's
        """Close the connection below HTTP."""
        await _hang_up(scope, receive)


class Truncated(Response):
    """The answer's head and half of its body; then the connection closes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a part."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await _hang_up(scope, receive)


async def _hang_up(scope: Scope, receive: Receive) -> None:
    scope["state"]["hang_up"](tuple(scope["client"]))
    while (await receive())["type"] != "http.disconnect":
        pass  # what is left of the request's body


def problem(error: EmulatorError, dialect: Dialect, headers: Mapping[str, str] | None = None) -> Response:
    """An error in the envelope."""
    return JSONResponse(error_view(error, dialect), status_code=error.status, headers=headers)


def instead(rules: Sequence[Rule], dialect: Dialect) -> Response | None:
    """The answer that a rule gives in place of processing the request."""
    for rule in rules:
        if rule.action == "drop_before":
            return Dropped()
        if rule.action == "status":
            return _by_rule(rule, dialect)
    return None


def spoiled(answer: Response, rules: Sequence[Rule]) -> Response:
    """The answer as the rules let it through."""
    for rule in rules:
        if rule.action == "drop_after":
            return Dropped()
        if rule.action == "truncate":
            return Truncated(bytes(answer.body), status_code=answer.status_code, media_type="application/json")
        if rule.action == "garbage":
            return Response(b'{"success": tru\xff', status_code=answer.status_code, media_type="application/json")
    return answer


def _by_rule(rule: Rule, dialect: Dialect) -> Response:
    headers = {"Retry-After": _retry_after(rule.retry_after)} if rule.retry_after is not None else {}
    if rule.html:
        return HTMLResponse(_PROXY_PAGE.format(status=rule.status), status_code=rule.status, headers=headers)
    error = EmulatorError(rule.error_code, "The fault plan says so.", status=rule.status)
    return problem(error, dialect, headers)


def _retry_after(text: str) -> str:
    kind, _, seconds = text.partition(":")
    return formatdate(time.time() + float(seconds), usegmt=True) if kind == "date" else text


def parse_body(raw: bytes) -> dict[str, object]:
    """A request body.

    Raises:
        ApiError: `MALFORMED_REQUEST_BODY`.
    """
    try:
        body = json.loads(raw, parse_constant=_not_json)
        json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        raise EmulatorError("MALFORMED_REQUEST_BODY", "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise EmulatorError("MALFORMED_REQUEST_BODY", "The body is not a JSON object.")
    return body


def _not_json(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
