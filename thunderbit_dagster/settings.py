"""Settings from the environment, for code locations and the command line.

``THUNDERBIT_API_KEY`` (without it, the emulator on this machine serves), ``THUNDERBIT_BASE_URL``,
``THUNDERBIT_REQUESTS_PER_MINUTE``, ``THUNDERBIT_DATA_URI``, ``THUNDERBIT_WEBHOOK_URL``,
``THUNDERBIT_WEBHOOK_SECRET``.
"""

from __future__ import annotations

import os

import dagster as dg

from thunderbit_dagster.api.client import DEFAULT_BASE_URL
from thunderbit_dagster.api.codes import PLANS
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.storage.store import ParquetStore

EMULATOR_PORT = 8710
EMULATOR_PLAN = "pro"
EMULATOR_KEY = "tb_0123456789abcdef0123456789abcdef"
"""The key of the emulator's account; it opens nothing else."""
DATA_URI = "data"
SIGNING_VARIABLE = "THUNDERBIT_WEBHOOK_SECRET"


def resource_from_environment() -> ThunderbitResource:
    """The real API when ``THUNDERBIT_API_KEY`` is set, else the emulator on loopback."""
    if os.environ.get("THUNDERBIT_API_KEY"):
        return ThunderbitResource(
            api_key=dg.EnvVar("THUNDERBIT_API_KEY"),
            base_url=os.environ.get("THUNDERBIT_BASE_URL", DEFAULT_BASE_URL),
            requests_per_minute=_requests_per_minute("free"),
            webhook_url=os.environ.get("THUNDERBIT_WEBHOOK_URL"),
            webhook_secret=dg.EnvVar(SIGNING_VARIABLE) if os.environ.get(SIGNING_VARIABLE) else None,
        )
    return ThunderbitResource(
        api_key=EMULATOR_KEY,
        base_url=os.environ.get("THUNDERBIT_BASE_URL", emulator_base_url(EMULATOR_PORT)),
        requests_per_minute=_requests_per_minute(EMULATOR_PLAN),
        # Nothing is paid on the emulator, so a lost reply is worth a second submit.
        on_lost_reply="resubmit",
    )


def store_from_environment() -> ParquetStore:
    """The store at ``THUNDERBIT_DATA_URI``, by default the folder ``data``."""
    return ParquetStore(os.environ.get("THUNDERBIT_DATA_URI", DATA_URI))


def emulator_base_url(port: int) -> str:
    """Where an emulator on this machine answers."""
    return f"http://127.0.0.1:{port}/openapi/v1"


def _requests_per_minute(plan: str) -> int:
    given = os.environ.get("THUNDERBIT_REQUESTS_PER_MINUTE")
    return int(given) if given else PLANS[plan].requests_per_minute
