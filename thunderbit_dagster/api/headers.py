"""Headers and secrets that a setting gives as text, or as the name of an environment variable: a ``dagster.EnvVar``.

Of a variable only the name is kept; its value is read each time that something is sent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, ValidatorFunctionWrapHandler, WrapValidator

from thunderbit_dagster.api.errors import ConfigurationError
from thunderbit_dagster.validation import variable_of

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")


def header_safe(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers themselves, when they can be sent; what a variable holds is not looked at.

    Raises:
        ValueError: a name or a value cannot be sent.
    """
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name")
        if variable_of(value) is None and not _VALUE.fullmatch(value):
            raise ValueError(f"the value of header {name!r} holds characters that a header cannot carry")
    return headers


def _keep_variable(value: object, check: ValidatorFunctionWrapHandler) -> object:
    return value if isinstance(value, str) and variable_of(value) else check(value)


def _header_safe(headers: dict[str, str]) -> dict[str, str]:
    header_safe(headers)
    return headers


KeepVariable = WrapValidator(_keep_variable)
"""Annotation of a text that may also be an environment variable, which stays one."""
Headers: TypeAlias = Annotated[dict[str, Annotated[str, KeepVariable]], AfterValidator(_header_safe)]


def resolved_secret(setting: str, secret: str) -> str:
    """A secret as it is sent.

    Raises:
        ConfigurationError: its variable is not set, or is empty.
    """
    variable = variable_of(secret)
    if variable is None:
        return secret
    if value := os.environ.get(variable):
        return value
    raise ConfigurationError(f"{setting} is the environment variable {variable}, which is not set where this runs")


def resolved_headers(owner: str, headers: Mapping[str, str]) -> dict[str, str]:
    """Headers as they are sent.

    Raises:
        ConfigurationError: a variable is not set, is empty or holds what a header cannot carry.
    """
    return {name: _resolved_header(owner, name, value) for name, value in headers.items()}


def _resolved_header(owner: str, name: str, value: str) -> str:
    found = resolved_secret(f"{owner}: `headers`: {name!r}", value)
    if _VALUE.fullmatch(found):
        return found
    raise ConfigurationError(
        f"{owner}: `headers`: {name!r} is the environment variable {variable_of(value)}, which holds characters that a "
        "header cannot carry, such as a line break"
    )


def named_headers(headers: Mapping[str, str]) -> dict[str, object]:
    """Headers with the names of variables in place of what they hold."""
    return {name: _named(value) for name, value in headers.items()}


def _named(value: str) -> object:
    variable = variable_of(value)
    return value if variable is None else {"variable": variable}
