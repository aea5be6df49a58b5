"""Where in a user's code something is declared."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import FrameType

_OURS = frozenset({__name__.partition(".")[0], "dataclasses"})
_FRAMEWORKS = frozenset({"dagster", "dagster_shared", "importlib", "pydantic"})


def calling_line() -> tuple[str, int] | None:
    """The file and line that called into this package; None when no file of the user's did, as for YAML."""
    frame = inspect.currentframe()
    while frame is not None and _package(frame) in _OURS:
        frame = frame.f_back
    if frame is None or _package(frame) in _FRAMEWORKS:
        return None
    path = Path(frame.f_code.co_filename)
    return (str(path.absolute()), frame.f_lineno) if path.is_file() else None


def _package(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0]
