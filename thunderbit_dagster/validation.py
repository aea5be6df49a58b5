"""What a setting may be, and the one text for a setting that is something else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

PLAIN = (bool, int, float, str, tuple, timedelta, date)
"""Values that are shown as they are; of others only the type is told, since they may be long or hold secrets."""
_LONGEST = 80


@dataclass(frozen=True)
class Expected:
    """Values that a setting may have, and the words for them, which go on "must be"."""

    words: str
    fits: Callable[[object], bool]
    is_secret: bool = False
    """Whether what was given instead may be a secret, so that only its type is told."""
    takes_variables: bool = False
    """Whether values of a mapping may be environment variables, which are read when they are needed."""

    def __or__(self, other: Expected) -> Expected:
        return Expected(f"{self.words} or {other.words}", lambda value: self.fits(value) or other.fits(value))


def require_setting(owner: str, settings: Mapping[str, object], expected: Mapping[str, Expected]) -> None:
    """Refuse settings that are not what is expected.

    Raises:
        ValueError: for the first of them: whose it is, its name, what is expected and what was given.
    """
    for name, one in expected.items():
        if variable := variable_in(settings[name], keys_only=one.takes_variables):
            raise ValueError(f"{owner}: `{name}` must be {one.words}, not {unread_variable(variable)}")
        if not one.fits(settings[name]):
            given = type_of(settings[name]) if one.is_secret else shown(settings[name])
            raise ValueError(f"{owner}: `{name}` must be {one.words}, not {given}")


def variable_of(value: object) -> str | None:
    """The name of the environment variable that a ``dagster.EnvVar`` stands for, None for any other value.

    It is text or a number, namely its own name or 0, so no check of a type would notice it.
    """
    name = getattr(value, "env_var_name", None) if isinstance(value, str | int) else None
    return name if isinstance(name, str) else None


def variable_in(value: object, *, keys_only: bool = False) -> str | None:
    """The first environment variable in a value, or in its parts, and theirs."""
    if keys_only and isinstance(value, Mapping):
        return variable_in(list(value))
    if isinstance(value, Mapping):
        return variable_in([*value, *value.values()])
    if isinstance(value, list) or type(value) is tuple:  # definitions of Dagster's are tuples that refuse iteration
        return next((found for one in value if (found := variable_in(one))), None)
    return variable_of(value)


def unread_variable(name: str) -> str:
    """What was given, where the name of an environment variable would be taken for its value, and what to give."""
    return f'dg.EnvVar({name!r}): read the variable yourself, with os.environ["{name}"]'


def shown(value: object) -> str:
    """What was given, in short: a plain value, or else its type."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if value is None or isinstance(value, PLAIN):
        return f"{value!r:.{_LONGEST}}" if len(repr(value)) <= _LONGEST else f"{value!r:.{_LONGEST}}..."
    return type_of(value)


def type_of(value: object) -> str:
    """What was given, where it may be a secret."""
    return f"a value of type {type(value).__name__}"


def instance_of(words: str, *types: type) -> Expected:
    """An object of one of some types."""
    return Expected(words, lambda value: isinstance(value, types))


def one_of(*texts: str) -> Expected:
    """One of some texts."""
    return Expected(" or ".join(map(repr, texts)), lambda value: isinstance(value, str) and value in texts)


def whole(least: int, most: int | None = None) -> Expected:
    """A whole number between two bounds, both allowed; True and False are none."""
    words = f"a whole number of at least {least}" if most is None else f"a whole number between {least} and {most}"
    return Expected(words, lambda value: _is_whole(value) and least <= value <= (value if most is None else most))  # type: ignore[operator]  # a number by now


def number(words: str, fits: Callable[[float], bool]) -> Expected:
    """A finite number, whole or not; True and False are none."""
    return Expected(words, lambda value: _is_number(value) and fits(value))  # type: ignore[arg-type]  # a number by now


def length(words: str, fits: Callable[[timedelta], bool]) -> Expected:
    """A length of time."""
    return Expected(words, lambda value: isinstance(value, timedelta) and fits(value))


def is_texts(value: object) -> bool:
    """Whether this is a list, or another sequence, of texts; a text is none."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes) and _are_texts(value)


def _are_texts(values: Sequence[object]) -> bool:
    return all(isinstance(one, str) for one in values)


def _is_text_mapping(value: object) -> bool:
    return isinstance(value, Mapping) and _are_texts([*value, *value.values()])


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


NONE = Expected("None", lambda value: value is None)
FLAG = instance_of("True or False", bool)
TEXT = Expected("text that is not blank", lambda value: isinstance(value, str) and bool(value.strip()))
TEXTS = Expected("a list of texts", is_texts)
TEXT_BY_TEXT = Expected("a mapping from text to text", _is_text_mapping)
POSITIVE = number("a number above 0", lambda value: value > 0)
POSITIVE_LENGTH = length("a timedelta above 0", lambda value: value > timedelta(0))
LENGTH = length("a timedelta that is not negative", lambda value: value >= timedelta(0))
