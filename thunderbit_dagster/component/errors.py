"""Mistakes told with their line of YAML, and names that a project's Python gives."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import dagster as dg
from pydantic import BaseModel, ValidationError

MISTAKES = (ValueError, TypeError, LookupError, ImportError, AttributeError, dg.DagsterError)


@contextmanager
def errors_at_line(context: dg.ResolutionContext) -> Iterator[None]:
    """Raise what goes wrong inside as Dagster's own error, which quotes the YAML around the line of the mistake."""
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        for part in first["loc"]:
            context = context.at_path(part)
        raise at_line(context, first["msg"].removeprefix("Value error, ")) from None
    except MISTAKES as error:
        # The text of a KeyError is its argument's repr.
        text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        named = re.search(r": `(\w+)` ", text)
        raise at_line(context.at_path(named[1]) if named else context, text) from None


def at_line(context: dg.ResolutionContext, text: str) -> Exception:
    """The error of a resolver at the context's line."""
    name = str(context.path[-1]) if context.path else "attributes"
    return context.build_resolve_fn_exc([text], field_name=name, model=_NO_MODEL)


class Attributes(BaseModel):
    """Named in Dagster's text for a mistake."""


_NO_MODEL = Attributes()


def load_object(context: dg.ResolutionContext, path: str) -> object:
    """What a dotted path names; one with a dot in front begins beside the YAML, as component types do."""
    with errors_at_line(context):
        if path.startswith("."):
            path = dg.ComponentLoadContext.from_resolution_context(context).normalize_component_type_str(path)
        module, _, name = path.rpartition(".")
        if not module:
            raise ValueError(f"{path!r} is no dotted path such as my_project.urls.pages")
        found: object = getattr(import_module(module), name)
        return found
