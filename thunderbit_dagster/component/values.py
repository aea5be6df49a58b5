"""Values that several settings of the YAML have in common."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Final, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

import dagster as dg
from pydantic import ConfigDict, Field
from pydantic.json_schema import JsonSchemaValue

from thunderbit_dagster.component.templates import Template, Worded, render
from thunderbit_dagster.storage.uri import SCHEMES, normalize

DATE_PATTERN: Final = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_CRON_PATTERN: Final = r"^\s*(@[a-z]+|[0-9A-Za-z*/,#?-]+(\s+[0-9A-Za-z*/,#?-]+){4})\s*$"

Flag: TypeAlias = Annotated[bool, Template()]
Count: TypeAlias = Annotated[int, Field(ge=1), Template()]
Amount: TypeAlias = Annotated[float, Field(ge=0), Template()]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Offset: TypeAlias = Annotated[int, Template()]
NonEmptyText: TypeAlias = Annotated[str, Field(min_length=1)]


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ValueError, LookupError, OSError):  # the name of a folder of zones is an OSError
        raise ValueError(f"{name!r} is no time zone; write an IANA name such as Europe/Berlin") from None


def _zone_schema() -> JsonSchemaValue:
    """The names are behind a condition, so that a mistake does not list all of them."""
    known = sorted(available_timezones())
    return {"if": {"enum": known}, "else": {"enum": ["UTC", "Europe/Berlin", "another IANA name"]}} if known else {}


def read_moment(text: str) -> datetime:
    """A date or time as ISO 8601 has it."""
    # Python 3.10 does not know the Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _base_uri_schema() -> JsonSchemaValue:
    return {"if": {"pattern": r"^[a-z][a-z0-9+.-]+://"}, "then": {"pattern": f"^({'|'.join(SCHEMES)})://"}}


def _any_text(text: str) -> None:
    """Dagster itself says what is wrong with it."""


Zone: TypeAlias = Annotated[NonEmptyText, Worded(_check_zone, _zone_schema)]
Cron: TypeAlias = Annotated[NonEmptyText, Worded(_any_text, lambda: {"pattern": _CRON_PATTERN})]
Moment: TypeAlias = Annotated[NonEmptyText, Worded(read_moment, lambda: {"pattern": DATE_PATTERN})]
BaseUri: TypeAlias = Annotated[NonEmptyText, Worded(normalize, _base_uri_schema)]


class Shape(dg.Model):
    """What a mapping in the YAML may hold; text is no number, and other keys are mistakes."""

    model_config = ConfigDict(strict=True)


class Duration(Shape):
    """A length of time, as ``datetime.timedelta`` takes it."""

    days: Amount = 0
    hours: Amount = 0
    minutes: Amount = 0
    seconds: Amount = 0


def read_duration(context: dg.ResolutionContext, given: object) -> object:
    """A ``timedelta``, or what a template gives in its place."""
    length = render(context, given)
    make: Callable[..., timedelta] = timedelta
    return make(**length) if isinstance(length, Mapping) else length
