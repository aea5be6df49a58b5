"""Keeps web pages away from the emulator: whatever page a developer has open can send requests to this machine."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL_SUFFIX: Final = ".localhost"


def is_local_name(host: str) -> bool:
    """Whether a host name, without a port, is one of this machine's own: a page elsewhere cannot be served under it."""
    name = host.strip("[]").lower().rstrip(".")
    if name == "localhost" or name.endswith(LOCAL_SUFFIX):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def why_refused(host: str, origin: str | None, site: str | None) -> str | None:
    """Why a request is not served, from its headers ``Host``, ``Origin`` and ``Sec-Fetch-Site``; None when it is.

    A foreign ``Host`` means that a page had its own name resolved to this machine (DNS rebinding).
    """
    name = urlsplit(f"//{host}").hostname or ""
    if not is_local_name(name):
        return f"Host is {host[:100]!r}; the emulator is reached as localhost or a loopback address only"
    if site == "cross-site" or (origin is not None and not is_local_name(urlsplit(origin).hostname or "")):
        return "the request comes from a foreign web page"
    return None


class LocalOnly:
    """ASGI middleware that answers 403 to requests of web pages elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one request."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            reason = _refusal(headers)
            if reason is not None:
                error = {"code": "FORBIDDEN", "status": 403, "message": f"{reason}.", "details": None}
                await JSONResponse({"success": False, "error": error}, 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _refusal(headers: Headers) -> str | None:
    try:
        return why_refused(headers.get("host", ""), headers.get("origin"), headers.get("sec-fetch-site"))
    except ValueError:
        return "Host or Origin cannot be read"
