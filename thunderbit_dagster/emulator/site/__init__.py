"""The bundled demo site: the web presence of Lanternfish, a tide and harbour data toolkit made up for it.

About a hundred good pages of four kinds and nine that fail on purpose, served on loopback so that a crawl
can be tried, and tested, without the network.
"""

from thunderbit_dagster.emulator.site.app import create_app
from thunderbit_dagster.emulator.site.catalog import FAILURES, GROUPS, REDIRECTS, REVISIONS, SiteFailure, urls
from thunderbit_dagster.emulator.site.server import Site, serve_site

__all__ = [
    "FAILURES",
    "GROUPS",
    "REDIRECTS",
    "REVISIONS",
    "Site",
    "SiteFailure",
    "create_app",
    "serve_site",
    "urls",
]
