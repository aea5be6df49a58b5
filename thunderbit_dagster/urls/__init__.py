"""URLs before anything is paid for: where they come from, which are refused, which are the same page."""

from thunderbit_dagster.urls.checking import (
    MAX_URL_LENGTH,
    CheckedUrls,
    Duplicate,
    Fragments,
    Rejected,
    Wanted,
    canonical_url,
    check_urls,
    host_of,
    url_refusal,
)
from thunderbit_dagster.urls.column import AssetColumn
from thunderbit_dagster.urls.dynamic import DynamicUrls
from thunderbit_dagster.urls.error import NeedsRunError, UrlSourceError
from thunderbit_dagster.urls.file import UrlFile
from thunderbit_dagster.urls.sitemap import Sitemap
from thunderbit_dagster.urls.source import UrlSource, read_source, wants_partition

__all__ = [
    "MAX_URL_LENGTH",
    "AssetColumn",
    "CheckedUrls",
    "Duplicate",
    "DynamicUrls",
    "Fragments",
    "NeedsRunError",
    "Rejected",
    "Sitemap",
    "UrlFile",
    "UrlSource",
    "UrlSourceError",
    "Wanted",
    "canonical_url",
    "check_urls",
    "host_of",
    "read_source",
    "url_refusal",
    "wants_partition",
]
