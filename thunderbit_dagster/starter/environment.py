"""Settings from the environment, for code locations and the command line.

``THUNDERBIT_API_KEY`` (without it, the emulator on this machine serves), ``THUNDERBIT_BASE_URL``,
``THUNDERBIT_REQUESTS_PER_MINUTE``, ``THUNDERBIT_BUDGET_URL``, ``THUNDERBIT_DATA_URI``, ``THUNDERBIT_WEBHOOK_URL``,
``THUNDERBIT_WEBHOOK_SECRET``. One that is empty counts as not set.
"""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from thunderbit_dagster.api.account import DEFAULT_BASE_URL, holds_more_than_a_place, is_place
from thunderbit_dagster.api.codes import PLANS
from thunderbit_dagster.api.errors import ConfigurationError
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.storage.store import ParquetStore

EMULATOR_PORT = 8710
EMULATOR_PLAN = "pro"
EMULATOR_KEY = "tb_0123456789abcdef0123456789abcdef"
"""The key of the emulator's account; it opens nothing else."""
DATA_URI = "data"
SIGNING_VARIABLE = "THUNDERBIT_WEBHOOK_SECRET"


def resource_from_environment() -> ThunderbitResource:
    """The real API when ``THUNDERBIT_API_KEY`` is set, else the emulator on loopback.

    Raises:
        ConfigurationError: a variable holds what cannot be used; the text names it.
    """
    if os.environ.get("THUNDERBIT_API_KEY"):
        return ThunderbitResource(
            api_key=dg.EnvVar("THUNDERBIT_API_KEY"),
            base_url=_base_url() or DEFAULT_BASE_URL,
            requests_per_minute=_requests_per_minute("free"),
            budget_url=_variable("THUNDERBIT_BUDGET_URL"),
            webhook_url=_url("THUNDERBIT_WEBHOOK_URL"),
            webhook_secret=_variable(SIGNING_VARIABLE),
        )
    return ThunderbitResource(
        api_key=EMULATOR_KEY,
        base_url=_base_url() or emulator_base_url(EMULATOR_PORT),
        requests_per_minute=_requests_per_minute(EMULATOR_PLAN),
        budget_url=_variable("THUNDERBIT_BUDGET_URL"),
        # Nothing is paid on the emulator, so a lost reply is worth a second submit.
        on_lost_reply="resubmit",
    )


def store_from_environment(root: Path | None = None) -> ParquetStore:
    """The store at ``THUNDERBIT_DATA_URI``, by default the folder ``data``.

    A relative path begins at ``root``, by default the working directory.

    Raises:
        ConfigurationError: the variable holds no path or URI that can be used.
    """
    given = os.environ.get("THUNDERBIT_DATA_URI") or DATA_URI
    try:
        return store_at(given, root)
    except ValueError as error:
        raise ConfigurationError(f"THUNDERBIT_DATA_URI: {error}") from None


def store_at(base_uri: str, root: Path | None) -> ParquetStore:
    """A store whose base, when it is a relative path, begins at ``root``."""
    if root is None or "://" in base_uri or not base_uri.strip():
        return ParquetStore(base_uri)
    return ParquetStore(root / Path(base_uri).expanduser())


def emulator_base_url(port: int) -> str:
    """Where an emulator on this machine answers."""
    return f"http://127.0.0.1:{port}/openapi/v1"


def whole_number(variable: str, default: int) -> int:
    """A number of 1 or more from the environment.

    Raises:
        ConfigurationError: the variable holds anything else.
    """
    given = os.environ.get(variable)
    if not given:
        return default
    if not (given.isascii() and given.isdigit() and int(given)):
        raise ConfigurationError(f"{variable} is {given!r}, but must be a whole number of 1 or more")
    return int(given)


def _variable(name: str) -> dg.EnvVar | None:
    """A variable that may hold a secret: Dagster keeps its name alone."""
    return dg.EnvVar(name) if os.environ.get(name) else None


def _requests_per_minute(plan: str) -> int:
    return whole_number("THUNDERBIT_REQUESTS_PER_MINUTE", PLANS[plan].requests_per_minute)


def _base_url() -> str | None:
    given = _url("THUNDERBIT_BASE_URL")
    if given and holds_more_than_a_place(given):
        raise ConfigurationError("THUNDERBIT_BASE_URL must hold no credentials, query or fragment")
    return given


def _url(variable: str) -> str | None:
    given = os.environ.get(variable)
    if not given:
        return None
    if not is_place(given):
        # The text may hold a password, so it is not repeated.
        raise ConfigurationError(f"{variable} is not a URL that begins with http:// or https://")
    return given
