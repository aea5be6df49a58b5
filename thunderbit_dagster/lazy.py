"""Modules that are imported when they are first used: code locations are loaded far more often than a step runs."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


class LazyModule(ModuleType):
    """Stands for the module of an absolute name, which is imported when one of its names is asked for.

    A type checker gets the module itself by ``if TYPE_CHECKING``.

    ``importlib.util.LazyLoader`` does the same, but not safely with threads before Python 3.12.
    """

    def __getattr__(self, name: str) -> object:
        value: object = getattr(import_module(self.__name__), name)
        return value
