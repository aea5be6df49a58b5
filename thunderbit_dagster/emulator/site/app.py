"""The Starlette application behind the demo site."""

import gzip
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

import anyio
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from thunderbit_dagster.emulator.site.catalog import FAILURES, GROUPS, REDIRECTS, SiteFailure
from thunderbit_dagster.emulator.site.images import tide_curve
from thunderbit_dagster.emulator.site.pages import SitePage, load_pages

# Longer than the longest `timeout` a distill request may carry (60 s).
SLOW_SECONDS = 90.0

SiteAnswer = Callable[[Request], Awaitable[Response]]

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


def create_app(*, revision: int = 1, slow_seconds: float = SLOW_SECONDS) -> Starlette:
    """The demo site as an ASGI application.

    Args:
        revision: 2 changes five pages of revision 1, adds two and removes one.
        slow_seconds: how long `reference/live-levels` waits before it answers.

    Raises:
        ValueError: there is no such revision.
    """
    pages = load_pages(revision)
    routes = [
        Route("/robots.txt", _robots),
        Route("/sitemap.xml", partial(_sitemap, pages=pages)),
        Route("/sitemap-index.xml", _sitemap_index),
        Route("/sitemap-{group}.xml.gz", partial(_sitemap, pages=pages)),
        Route("/assets/{name}.svg", _image),
        Route("/", partial(_index, pages=pages)),
        Route("/{group}/", partial(_index, pages=pages)),
        Route("/{path:path}", partial(_answer, pages=pages, slow_seconds=slow_seconds)),
    ]
    return Starlette(routes=routes)


async def _answer(request: Request, *, pages: Mapping[str, SitePage], slow_seconds: float) -> Response:
    path = request.path_params["path"]
    if path in REDIRECTS:
        permanent = REDIRECTS[path] in pages
        return RedirectResponse(f"/{REDIRECTS[path]}", status_code=301 if permanent else 302)
    if path in FAILURES:
        return await _fail(request, FAILURES[path], slow_seconds)
    if path in pages:
        return _render_page(request, pages[path], pages)
    return _problem(request, 404)


async def _fail(request: Request, failure: SiteFailure, slow_seconds: float) -> Response:
    if failure is SiteFailure.EMPTY:
        return HTMLResponse("")
    if failure is SiteFailure.PDF:
        return Response(_PDF, media_type="application/pdf")
    if failure is SiteFailure.SLOW:
        return await _late(request, slow_seconds)
    status, headers = _STATUSES[failure]
    return _problem(request, status, headers)


async def _late(request: Request, seconds: float) -> Response:
    """Waits, yet lets go at once when the client has hung up."""
    with anyio.move_on_after(seconds):
        while (await request.receive())["type"] != "http.disconnect":
            pass
    return _message(request, 200, "Live levels", "The gauge took its time: 2.31 m above chart datum.")


_STATUSES: Mapping[SiteFailure, tuple[int, Mapping[str, str]]] = {
    SiteFailure.MISSING: (404, {}),
    SiteFailure.GONE: (410, {}),
    SiteFailure.ERROR: (500, {}),
    SiteFailure.UNAVAILABLE: (503, {"Retry-After": "120"}),
    SiteFailure.FORBIDDEN: (403, {}),
}

_PROBLEMS: Mapping[int, tuple[str, str]] = {
    403: ("Members only", "Dealer prices are shown to signed-in dealers."),
    404: ("Page not found", "There is no page here. The tide may have taken it."),
    410: ("Gone for good", "The 0.x client was retired in January 2024 and its pages with it."),
    500: ("Something broke", "The release database did not answer the way we expected."),
    503: ("Back soon", "The shop is being restocked. Please come back in a few minutes."),
}


def _problem(request: Request, status: int, headers: Mapping[str, str] | None = None) -> Response:
    title, text = _PROBLEMS[status]
    return _message(request, status, title, text, headers)


def _message(
    request: Request, status: int, title: str, text: str, headers: Mapping[str, str] | None = None
) -> Response:
    html = _TEMPLATES.get_template("message.html").render(_chrome(request), title=title, text=text)
    return HTMLResponse(html, status, headers)


def _render_page(request: Request, page: SitePage, pages: Mapping[str, SitePage]) -> Response:
    siblings = [other for other in pages.values() if other.group == page.group]
    html = _TEMPLATES.get_template(f"{page.group}.html").render(
        _chrome(request), page=page, siblings=siblings, related=_related(page, siblings)
    )
    # Starlette writes UTF-8 only; the page says its charset in the header and in a meta element alike.
    return Response(html.encode(page.charset), media_type=f"text/html; charset={page.charset}")


def _related(page: SitePage, siblings: list[SitePage]) -> list[SitePage]:
    """The three pages that follow in the group, from the start again after the last."""
    after = siblings.index(page) + 1
    return [*siblings[after:], *siblings[: after - 1]][:3]


async def _index(request: Request, *, pages: Mapping[str, SitePage]) -> Response:
    group = request.path_params.get("group", "")
    if group and group not in GROUPS:
        return _problem(request, 404)
    sections = {name: [page for page in pages.values() if page.group == name] for name in GROUPS if group in {"", name}}
    html = _TEMPLATES.get_template("index.html").render(
        _chrome(request), title=group.capitalize() or "Lanternfish", sections=sections
    )
    return HTMLResponse(html)


def _chrome(request: Request) -> dict[str, object]:
    """What every page shows; the nonce differs in each answer, as on real sites."""
    return {
        "groups": GROUPS,
        "origin": str(request.base_url).rstrip("/"),
        "path": request.url.path,
        "nonce": secrets.token_hex(8),
    }


async def _robots(request: Request) -> Response:
    closed = "".join(f"Disallow: /{path}\n" for path, kind in FAILURES.items() if kind is SiteFailure.FORBIDDEN)
    return PlainTextResponse(f"User-agent: *\n{closed}\nSitemap: {request.base_url}sitemap.xml\n")


async def _sitemap(request: Request, *, pages: Mapping[str, SitePage]) -> Response:
    """All pages as XML, or those of one group, compressed as a file is."""
    group = request.path_params.get("group")
    if group is not None and group not in GROUPS:
        return _problem(request, 404)
    listed = {path: page for path, page in pages.items() if group in (None, page.group)}
    xml = _TEMPLATES.get_template("sitemap.xml").render(origin=str(request.base_url).rstrip("/"), pages=listed)
    if group is None:
        return Response(xml, media_type="application/xml")
    return Response(gzip.compress(xml.encode(), mtime=0), media_type="application/gzip")


async def _sitemap_index(request: Request) -> Response:
    xml = _TEMPLATES.get_template("sitemap-index.xml").render(origin=str(request.base_url).rstrip("/"), groups=GROUPS)
    return Response(xml, media_type="application/xml")


async def _image(request: Request) -> Response:
    return Response(tide_curve(request.path_params["name"]), media_type="image/svg+xml")


_PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 5 0 R>>>>/Contents 4 0 R>>endobj
4 0 obj<</Length 58>>stream
BT /F1 18 Tf 72 770 Td (Harbour survey, Sandvaer, 2025) Tj ET
endstream endobj
5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj
trailer<</Root 1 0 R>>
%%EOF
"""
