"""Values of YAML that may be Jinja templates, and choices between shapes.

Dagster checks YAML twice: ``dg check yaml`` against a JSON Schema, and loading against a pydantic model. Both name the
line of a mistake only where no union stands above it, so choices are made by looking at the value first.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import dagster as dg
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

TEMPLATE_SCHEMA: JsonSchemaValue = {"type": "string", "pattern": r"\{[{%]"}
_VARIABLE = re.compile(r"""\{\{\s*env(?:\.|\(\s*['"])(\w+)(?:['"]\s*\))?\s*\}\}""")


def is_template(value: object) -> bool:
    """Whether a value is text with a Jinja expression in it."""
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def render(context: dg.ResolutionContext, value: object) -> object:
    """The value with every template in it replaced; text without one stays as it is.

    Raises:
        Exception: Dagster's own, with the line; for a variable of the environment that is not set, too.
    """
    if isinstance(value, Mapping):
        return {key: render(context.at_path(key), one) for key, one in value.items()}
    if isinstance(value, list):
        return [render(context.at_path(index), one) for index, one in enumerate(value)]
    return _rendered(context, value) if is_template(value) else value


def render_secret(context: dg.ResolutionContext, value: object) -> object:
    """``render``, but the template of one environment variable is that variable, to be read when it is needed."""
    variable = _VARIABLE.fullmatch(value.strip()) if isinstance(value, str) else None
    return dg.EnvVar(variable[1]) if variable else render(context, value)


def render_with_headers(context: dg.ResolutionContext, given: object) -> object:
    """``render`` for settings of which ``headers`` may hold secrets."""
    headers = given.get("headers") if isinstance(given, Mapping) else None
    if not isinstance(given, Mapping) or not isinstance(headers, Mapping):
        return render(context, given)
    at_headers = context.at_path("headers")
    secrets = {name: render_secret(at_headers.at_path(name), value) for name, value in headers.items()}
    others = {name: render(context.at_path(name), value) for name, value in given.items() if name != "headers"}
    return {**others, "headers": secrets}


def _rendered(context: dg.ResolutionContext, template: object) -> object:
    from thunderbit_dagster.component.environment import Environment  # noqa: PLC0415 - only templates need Jinja

    scope = context.with_scope(env=Environment(context.scope["env"])) if "env" in context.scope else context
    return scope.resolve_value(template, as_type=object)


def _adapter(shape: Any) -> TypeAdapter[object]:  # noqa: ANN401 - an `Annotated` type is of no class
    return TypeAdapter(shape)


def _json_schema(shape: TypeAdapter[object], handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    # A handler leaves out what annotations say of the very schema it is given, but not of one inside.
    return handler(core_schema.no_info_after_validator_function(lambda value: value, shape.core_schema))


class Template:
    """Annotation of a field that may also hold a template, whatever its type."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(_let_templates_pass, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"if": TEMPLATE_SCHEMA, "else": handler(schema)}


def _let_templates_pass(value: object, check: Callable[[object], object]) -> object:
    return value if is_template(value) else check(value)


class Worded:
    """Annotation of a text that Python checks when the project is loaded, and JSON Schema as far as it can.

    Args:
        check: Raises ValueError for a wrong text; a template is let pass.
        schema: Makes the keywords of JSON Schema, when they are asked for.
    """

    def __init__(self, check: Callable[[str], object], schema: Callable[[], JsonSchemaValue]) -> None:
        self._check = check
        self._schema = schema

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "if": TEMPLATE_SCHEMA, "else": self._schema()}

    def _checked(self, text: str) -> str:
        if not is_template(text):
            self._check(text)
        return text


class Condition(Protocol):
    """A question about a value, in Python and as JSON Schema."""

    def holds(self, value: object) -> bool: ...

    @property
    def schema(self) -> JsonSchemaValue: ...


class IsTemplate:
    """Whether the value is a template."""

    schema: JsonSchemaValue = TEMPLATE_SCHEMA

    def holds(self, value: object) -> bool:
        return is_template(value)


@dataclass(frozen=True)
class Is:
    """Whether the value is a list, a mapping or a text."""

    what: type[list[object] | dict[str, object] | str]

    def holds(self, value: object) -> bool:
        return isinstance(value, self.what)

    @property
    def schema(self) -> JsonSchemaValue:
        return {"type": {str: "string", dict: "object"}.get(self.what, "array")}


@dataclass(frozen=True)
class Has:
    """Whether the value is a mapping with this text, or any text, under a key."""

    key: str
    text: str | None = None

    def holds(self, value: object) -> bool:
        found = value.get(self.key) if isinstance(value, Mapping) else None
        return isinstance(found, str) if self.text is None else found == self.text

    @property
    def schema(self) -> JsonSchemaValue:
        value = {"type": "string"} if self.text is None else {"const": self.text}
        return {"type": "object", "required": [self.key], "properties": {self.key: value}}


class OneOf:
    """Annotation of a field whose shape follows from the value: the first case that holds, else the last shape."""

    def __init__(self, cases: Sequence[tuple[Condition, object]], otherwise: object) -> None:
        self._cases = [(condition, _adapter(shape)) for condition, shape in cases]
        self._otherwise = _adapter(otherwise)

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        del source, handler
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        del schema
        chosen = _json_schema(self._otherwise, handler)
        for condition, shape in reversed(self._cases):
            chosen = {"if": condition.schema, "then": _json_schema(shape, handler), "else": chosen}
        return chosen

    def _check(self, value: object) -> object:
        shapes = (shape for condition, shape in self._cases if condition.holds(value))
        next(shapes, self._otherwise).validate_python(value)
        return value


class Checked:
    """Annotation of a field that is checked against a shape and kept as it was written."""

    def __init__(self, shape: object) -> None:
        self._shape = _adapter(shape)

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        del source, handler
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        del schema
        return _json_schema(self._shape, handler)

    def _check(self, value: object) -> object:
        self._shape.validate_python(value)
        return value
