"""From checked YAML to crawls, the resource and the store."""

import difflib
from collections.abc import Callable, Mapping

import dagster as dg

from thunderbit_dagster.api.requests import Distill, Extract
from thunderbit_dagster.component.errors import at_line, errors_at_line, load_object
from thunderbit_dagster.component.schema import CrawlShape
from thunderbit_dagster.component.sources import read_urls
from thunderbit_dagster.component.templates import render, render_secret, render_with_headers
from thunderbit_dagster.component.values import read_duration
from thunderbit_dagster.crawl.changes import Changes
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.crawl.schedule import Schedule
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.starter.environment import resource_from_environment, store_at
from thunderbit_dagster.storage.store import ParquetStore

_Given = Mapping[str, object]

_SECRETS = ("api_key", "webhook_secret")
_CADENCES: Mapping[str, Callable[..., dg.TimeWindowPartitionsDefinition]] = {
    "hourly": dg.HourlyPartitionsDefinition,
    "daily": dg.DailyPartitionsDefinition,
    "weekly": dg.WeeklyPartitionsDefinition,
    "monthly": dg.MonthlyPartitionsDefinition,
}
_REQUESTS: Mapping[str, Callable[..., Distill | Extract]] = {"distill": Distill, "extract": Extract}
_CRAWL: Callable[..., Crawl] = Crawl
_RESOURCE: Callable[..., ThunderbitResource] = ThunderbitResource


def read_crawls(context: dg.ResolutionContext, given: list[object]) -> list[Crawl]:
    """The crawls of an instance."""
    return [_read_crawl(context.at_path(index), one) for index, one in enumerate(given)]


def _read_crawl(context: dg.ResolutionContext, given: object) -> Crawl:
    if not isinstance(given, Mapping):
        made = render(context, given)
        if not isinstance(made, Crawl):
            raise at_line(context, f"the template gave {type(made).__name__}, not a Crawl")
        return made
    settings = {name: _READERS.get(name, render)(context.at_path(name), value) for name, value in given.items()}
    # Once more, now that templates have values.
    plain = {name: value for name, value in settings.items() if name not in _READERS}
    with errors_at_line(context):
        CrawlShape.model_validate({**given, **plain})
        return _CRAWL(**settings)


def _read_request(context: dg.ResolutionContext, given: object) -> object:
    options = render_with_headers(context, given)
    if not isinstance(options, Mapping):
        return options
    options = dict(options)
    make = _REQUESTS[options.pop("type")]
    if isinstance(schema := options.get("schema"), str):
        options["schema"] = load_object(context.at_path("schema"), schema)
    with errors_at_line(context):
        return make(**options)


def _read_cadence(context: dg.ResolutionContext, given: object) -> object:
    options = render(context, given)
    if not isinstance(options, Mapping):
        return options
    options = dict(options)
    kind = options.pop("type")
    with errors_at_line(context):
        if kind == "cron":
            renamed = {name.removesuffix("_date"): value for name, value in options.items()}
            make: Callable[..., dg.TimeWindowPartitionsDefinition] = dg.TimeWindowPartitionsDefinition
            return make(**renamed)
        return _CADENCES[kind](**options)


def _read_thresholds(context: dg.ResolutionContext, given: object) -> object:
    thresholds = render(context, given)
    return tuple(thresholds) if isinstance(thresholds, list) else thresholds


def _read_schedule(context: dg.ResolutionContext, given: object) -> object:
    options = render(context, given)
    if not isinstance(options, Mapping):
        return options
    settings = {name: _read_part(context.at_path(name), name, value) for name, value in options.items()}
    make: Callable[..., Schedule] = Schedule
    with errors_at_line(context):
        return make(**settings)


def _read_part(context: dg.ResolutionContext, name: str, value: object) -> object:
    return read_duration(context, value) if name == "spread" else value


def _read_changes(context: dg.ResolutionContext, given: object) -> object:
    options = render(context, given)
    if not isinstance(options, Mapping):
        return options
    make: Callable[..., Changes] = Changes
    with errors_at_line(context):
        return make(**options)


_READERS: Mapping[str, Callable[[dg.ResolutionContext, object], object]] = {
    "urls": read_urls,
    "request": _read_request,
    "cadence": _read_cadence,
    "schedule": _read_schedule,
    "past_dates": read_duration,
    "job_deadline": read_duration,
    "success_rate": _read_thresholds,
    "changes": _read_changes,
    "freshness": render,
}


def read_thunderbit(context: dg.ResolutionContext, given: _Given) -> ThunderbitResource:
    """The API. Without an ``api_key`` the environment decides between the real API and the emulator.

    A secret is given by the name of an environment variable: Dagster stores the settings of resources, but of a
    ``dg.EnvVar`` only the name. Text is accepted for an API on this machine alone.
    """
    for name in given:
        if name not in ThunderbitResource.model_fields:
            raise at_line(context.at_path(name), f"`thunderbit` has no setting `{name}`{_hint(name)}")
    settings = {name: _read_setting(context.at_path(name), name, value) for name, value in given.items()}
    with errors_at_line(context):
        resource = _RESOURCE(**(settings if "api_key" in settings else _environment() | settings))
    for name in _SECRETS:
        if name in settings and not isinstance(settings[name], dg.EnvVar) and not resource.is_local:
            text = f"`{name}` is written out, and Dagster would store it: write the name of an environment variable"
            raise at_line(context.at_path(name), f'{text}, as in "{{{{ env.THUNDERBIT_{name.upper()} }}}}"')
    return resource


def _hint(name: str) -> str:
    near = difflib.get_close_matches(name, ThunderbitResource.model_fields, 1)
    return f"; did you mean `{near[0]}`?" if near else ""


def _environment() -> dict[str, object]:
    resource = resource_from_environment()
    return {name: getattr(resource, name) for name in type(resource).model_fields}


def _read_setting(context: dg.ResolutionContext, name: str, given: object) -> object:
    return render_secret(context, given) if name in _SECRETS else render(context, given)


def read_store(context: dg.ResolutionContext, given: _Given) -> ParquetStore:
    """The store; a relative path begins at the project's root."""
    base_uri = str(render(context.at_path("base_uri"), given["base_uri"]))
    root = dg.ComponentLoadContext.from_resolution_context(context).project_root
    with errors_at_line(context.at_path("base_uri")):
        return store_at(base_uri, root)


def read_executor(context: dg.ResolutionContext, given: str) -> dg.ExecutorDefinition:
    """The executor that a dotted path or a template names."""
    found = render(context, given)
    if isinstance(found, str):
        found = load_object(context, found)
    if not isinstance(found, dg.ExecutorDefinition):
        raise at_line(context, f"{given} is {type(found).__name__}, not an ExecutorDefinition")
    return found
