"""Where URLs come from, in YAML: one entry in ``SOURCES`` a kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import dagster as dg
from pydantic import Field

from thunderbit_dagster.component.errors import at_line, errors_at_line, load_object
from thunderbit_dagster.component.templates import Is, OneOf, Template, render_with_headers
from thunderbit_dagster.component.values import (
    Amount,
    Count,
    Duration,
    Moment,
    NonEmptyText,
    Shape,
    read_duration,
    read_moment,
)
from thunderbit_dagster.urls import AssetColumn, DynamicUrls, Sitemap, UrlFile

_Given = Mapping[str, object]


class UrlFileShape(Shape):
    """A text file with one URL a line, read when a run starts."""

    url_file: NonEmptyText = Field(description="A path; a relative one begins beside the YAML.")


class SitemapShape(Shape):
    """The pages of a sitemap or of all sitemaps of an index, read when a run starts."""

    sitemap: NonEmptyText = Field(description="Where it is, such as https://example.com/sitemap.xml.")
    since: Annotated[object, OneOf([(Is(str), Moment)], Duration)] = Field(
        default=None, description="Only pages changed since a date or time, or in so long a time as `{days: 7}`."
    )
    include: list[NonEmptyText] = Field(
        default_factory=list, description="Only pages that match a pattern, such as `/docs/*`."
    )
    exclude: list[NonEmptyText] = Field(default_factory=list, description="No pages that match one of these.")
    hosts: list[NonEmptyText] = Field(
        default_factory=list, description="Further hosts that files of an index may lie on."
    )
    max_urls: Count = Field(default=50_000, description="More pages than this are an error.")
    max_files: Count = Field(default=1_000, description="More files than this are an error.")
    timeout: Amount = Field(default=30.0, description="Seconds for connecting, and between two pieces of an answer.")
    headers: dict[str, str] = Field(
        default_factory=dict, description="Sent with each request; a secret is `{{ env.NAME }}`."
    )


class AssetShape(Shape):
    """The URLs in the output of another asset, on which the crawl then depends."""

    asset: NonEmptyText = Field(description="Its key, such as `catalog/pages`.")
    column: NonEmptyText = Field(default="url", description="The column or field that holds the URLs.")
    as_type: NonEmptyText = Field(
        default="", description="The type to ask the IO manager for, such as `pandas.DataFrame`."
    )


class PythonShape(Shape):
    """A Python function that gives the URLs when a run starts, or a source made in Python."""

    python: NonEmptyText = Field(
        description="Such as `my_project.urls.pages`; with a dot in front the path begins beside the YAML."
    )
    arguments: Annotated[dict[str, object], Template()] = Field(
        default_factory=dict, description="Keyword arguments for the function."
    )


class DynamicShape(PythonShape):
    """URL partitions whose keys are added at run time; the function takes the partition and gives its URLs."""

    dynamic: NonEmptyText = Field(description="The name of the dynamic partitions in the Dagster instance.")


def _read_url_file(context: dg.ResolutionContext, given: _Given) -> UrlFile:
    return UrlFile(context.resolve_source_relative_path(str(given["url_file"])))


def _read_sitemap(context: dg.ResolutionContext, given: _Given) -> Sitemap:
    options = {name: value for name, value in given.items() if name != "sitemap"}
    make: Callable[..., Sitemap] = Sitemap
    if "since" in options:
        options["since"] = _read_since(context.at_path("since"), options["since"])
    with errors_at_line(context):
        return make(given["sitemap"], **options)


def _read_since(context: dg.ResolutionContext, given: object) -> object:
    if not isinstance(given, str):
        return read_duration(context, given)
    with errors_at_line(context):
        return read_moment(given)


def _read_asset(context: dg.ResolutionContext, given: _Given) -> AssetColumn:
    as_type = given.get("as_type")
    options = {"as_type": load_object(context.at_path("as_type"), str(as_type))} if as_type else {}
    make: Callable[..., AssetColumn] = AssetColumn
    with errors_at_line(context):
        return make(given["asset"], **{"column": given.get("column", "url"), **options})


def _read_dynamic(context: dg.ResolutionContext, given: _Given) -> DynamicUrls:
    make: Callable[..., DynamicUrls] = DynamicUrls
    with errors_at_line(context):
        return make(given["dynamic"], _read_python(context, given))


def _read_python(context: dg.ResolutionContext, given: _Given) -> object:
    found = load_object(context.at_path("python"), str(given["python"]))
    arguments = given.get("arguments")
    if not isinstance(arguments, Mapping):
        return found
    if not callable(found):
        raise at_line(context.at_path("arguments"), f"{given['python']} is no function, so it takes no arguments")
    return partial(found, **arguments)


@dataclass(frozen=True)
class Source:
    """One kind of source: the shape of its mapping, its reader, and an example of its value."""

    shape: type[dg.Model]
    read: Callable[[dg.ResolutionContext, _Given], object]
    example: str


SOURCES: Mapping[str, Source] = {
    "url_file": Source(UrlFileShape, _read_url_file, "urls.txt"),
    "sitemap": Source(SitemapShape, _read_sitemap, "https://example.com/sitemap.xml"),
    "asset": Source(AssetShape, _read_asset, "catalog/pages"),
    # Before `python`, which it has as well.
    "dynamic": Source(DynamicShape, _read_dynamic, "customers"),
    "python": Source(PythonShape, _read_python, "my_project.urls.pages"),
}
"""By the key that a mapping of this kind has, with text under it."""


def read_urls(context: dg.ResolutionContext, given: object) -> object:
    """``Crawl.urls`` from the YAML: a list, a source, or a mapping of these by URL partition."""
    if isinstance(given, Mapping) and _kind(given) is None:
        return {str(key): _read_one(context.at_path(key), one) for key, one in given.items()}
    return _read_one(context, given)


def _read_one(context: dg.ResolutionContext, given: object) -> object:
    source = _kind(given)
    rendered = render_with_headers(context, given)
    return source.read(context, rendered) if source and isinstance(rendered, Mapping) else rendered


def _kind(given: object) -> Source | None:
    if not isinstance(given, Mapping):
        return None
    return next((source for key, source in SOURCES.items() if isinstance(given.get(key), str)), None)
