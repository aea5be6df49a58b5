"""What the site consists of: its groups, the pages that fail on purpose, the redirects and the revisions."""

from collections.abc import Mapping
from enum import Enum

from thunderbit_dagster.emulator.site.pages import load_pages

GROUPS = ("guides", "reference", "changelog", "products")
REVISIONS = (1, 2)


class SiteFailure(str, Enum):
    """How a page fails; the value is a word for logs and test names."""

    MISSING = "missing"  # 404
    GONE = "gone"  # 410
    ERROR = "error"  # 500
    UNAVAILABLE = "unavailable"  # 503 with Retry-After
    FORBIDDEN = "forbidden"  # 403, and robots.txt disallows the path
    SLOW = "slow"  # answers 200, too late
    EMPTY = "empty"  # 200 without a byte of body
    PDF = "pdf"  # 200 with a type that is not a page
    LOOP = "loop"  # 302 to a page that points back


FAILURES: Mapping[str, SiteFailure] = {
    "guides/winch-control": SiteFailure.MISSING,
    "guides/mooring-loads": SiteFailure.EMPTY,
    "guides/harbour-survey.pdf": SiteFailure.PDF,
    "reference/legacy-client": SiteFailure.GONE,
    "reference/live-levels": SiteFailure.SLOW,
    "changelog/0.3.1": SiteFailure.ERROR,
    "changelog/nightly": SiteFailure.LOOP,
    "products/kelp-radar": SiteFailure.UNAVAILABLE,
    "products/dealer-prices": SiteFailure.FORBIDDEN,
}

# The second path of the loop is reachable by redirect only and in no list of URLs.
REDIRECTS: Mapping[str, str] = {
    "guides/install": "guides/installation",
    "changelog/nightly": "changelog/nightly/today",
    "changelog/nightly/today": "changelog/nightly",
}


def listed_paths(revision: int = 1) -> tuple[str, ...]:
    """Every path a crawl should visit: the good pages, those that fail and the one behind a redirect."""
    entrances = (path for path, target in REDIRECTS.items() if target in load_pages(revision))
    return tuple(sorted({*load_pages(revision), *FAILURES, *entrances}))


def urls(base_url: str, revision: int = 1) -> dict[str, list[str]]:
    """The site's URLs by URL partition: `guides`, `reference`, `changelog` and `products`.

    Revision 2 lists two pages more than revision 1 and one less. The pages that fail on purpose are included.
    """
    root = base_url.rstrip("/")
    paths = listed_paths(revision)
    return {group: [f"{root}/{path}" for path in paths if path.startswith(f"{group}/")] for group in GROUPS}
