"""pydantic's mistakes, told with what was given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from thunderbit_dagster.validation import shown, type_of, unread_variable, variable_in

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_SECRETS = frozenset({"api_key", "headers", "secret", "webhook_secret"})
"""Settings of which no value is ever told."""
_TELL_THEMSELVES = frozenset({"value_error", "missing"})


def worded(error: ValidationError, model: type[BaseModel]) -> ValidationError:
    """The same mistakes, each with what was given, or its type where it may be a secret; inputs are left out."""
    return ValidationError.from_exception_data(error.title, [*_lines(error, model)], hide_input=True)


def refuse_variables(given: object, model: type[BaseModel]) -> None:
    """Refuse environment variables everywhere but in the values of secrets, which are read when they are sent.

    Raises:
        ValidationError: for each setting that holds one.
    """
    settings = given.items() if isinstance(given, Mapping) else ()
    found = {
        name: variable
        for name, value in settings
        if (name not in _SECRETS or isinstance(value, Mapping))
        and (variable := variable_in(value, keys_only=name in _SECRETS))
    }
    if found:
        lines = [
            InitErrorDetails(
                type=PydanticCustomError("variable", "{text}", {"text": f"must not be {unread_variable(variable)}"}),
                loc=(name,),
                input=None,
            )
            for name, variable in found.items()
        ]
        raise ValidationError.from_exception_data(model.__name__, lines, hide_input=True)


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
    return type_of(given) if _SECRETS.intersection(one["loc"]) else shown(given)
