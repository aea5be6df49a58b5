"""Values that several settings of the YAML have in common."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, TypeAlias

import dagster as dg
from pydantic import ConfigDict, Field

from thunderbit_dagster.component.templates import Template, render

Flag: TypeAlias = Annotated[bool, Template()]
Count: TypeAlias = Annotated[int, Field(ge=1), Template()]
Amount: TypeAlias = Annotated[float, Field(ge=0), Template()]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Offset: TypeAlias = Annotated[int, Template()]
Text: TypeAlias = Annotated[str, Field(min_length=1)]


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
