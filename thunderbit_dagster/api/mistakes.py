"""pydantic's mistakes, told with what was given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from thunderbit_dagster.expected import shown, type_of

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SECRETS = frozenset({"api_key", "headers", "secret", "webhook_secret"})
"""Settings of which no value is ever told."""
_TELL_THEMSELVES = frozenset({"value_error", "missing"})


def told(error: ValidationError, model: type[BaseModel]) -> ValidationError:
    """The same mistakes, each with what was given, or its type where it may be a secret; inputs are left out."""
    return ValidationError.from_exception_data(error.title, [*_lines(error, model)], hide_input=True)


def _lines(error: ValidationError, model: type[BaseModel]) -> Iterable[InitErrorDetails]:
    for one in error.errors(include_url=False):
        kind, text = one["type"], one["msg"].removeprefix("Value error, ")
        if kind == "extra_forbidden":
            names = ", ".join(field.alias or name for name, field in model.model_fields.items())
            text = f"there is no such setting; there are: {names}"
        elif kind not in _TELL_THEMSELVES:
            text = f"{text}, not {_given(one)}"
        yield InitErrorDetails(type=PydanticCustomError(kind, "{text}", {"text": text}), loc=one["loc"], input=None)


def _given(one: ErrorDetails) -> str:
    given = one["input"]
    return type_of(given) if SECRETS.intersection(one["loc"]) else shown(given)
