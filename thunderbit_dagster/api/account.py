"""Settings of the clients: their defaults and what they may be, for code that opens no client yet."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from thunderbit_dagster.api.errors import ConfigurationError
from thunderbit_dagster.api.requests import is_http_url

DEFAULT_BASE_URL: Final = "https://openapi.thunderbit.com/openapi/v1"
MAX_RESPONSE_BYTES: Final = 128 * 2**20
LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
"""The names of this machine."""

REDIS_SCHEMES: Final = ("redis", "rediss", "unix")


def checked_key(api_key: object) -> str:
    """The key itself, when a header can carry it.

    Raises:
        ConfigurationError: it cannot.
    """
    if isinstance(api_key, str) and re.fullmatch(r"[\x21-\x7e]{1,512}", api_key):
        return api_key
    raise ConfigurationError("api_key must be printable ASCII without spaces or line breaks, and not empty")


def checked_base_url(base_url: object) -> str:
    """The URL without a slash at its end.

    Raises:
        ConfigurationError: it is none that the API can be at.
    """
    if not isinstance(base_url, str) or not is_place(base_url):
        raise ConfigurationError("base_url must be an http or https URL with a host")
    if holds_more_than_a_place(base_url):
        raise ConfigurationError("base_url must hold no credentials, query or fragment")
    return base_url.rstrip("/")


def is_place(url: str) -> bool:
    """Whether this is an http or https URL with a host, and with a port that can be one if it has any."""
    try:
        return is_http_url(url) and urlsplit(url).port != 0
    except ValueError:
        return False


def holds_more_than_a_place(url: str) -> bool:
    """Whether a URL has credentials, a query or a fragment."""
    parts = urlsplit(url)
    return "@" in parts.netloc or bool(parts.query or parts.fragment)


def checked_budget_url(url: str) -> str:
    """The URL of a Redis database.

    Raises:
        ConfigurationError: It is none; the text does not repeat it, as it may hold a password.
    """
    if not _names_redis(url):
        raise ConfigurationError(
            "budget_url must be the URL of a Redis database, such as redis://redis.internal:6379/2"
        )
    return url


def _names_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in REDIS_SCHEMES and bool(parts.hostname or parts.scheme == "unix")
