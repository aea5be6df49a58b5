"""``ThunderbitCrawlComponent``: crawls in a project of ``dg``, in YAML."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import dagster as dg
from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo

from thunderbit_dagster.component.project import SENSOR_SECONDS, TICK_SECONDS, Project
from thunderbit_dagster.component.resolvers import read_crawls, read_executor, read_store, read_thunderbit
from thunderbit_dagster.component.scaffold import CrawlScaffolder
from thunderbit_dagster.component.schema import Crawls, Executor, Seconds, StoreSettings, Thunderbit, TickSeconds
from thunderbit_dagster.component.templates import Template, render
from thunderbit_dagster.component.translation import TranslatedCrawl, Translation, Translations, read_translation
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.definitions import build_crawl_definitions, builds
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.starter.environment import resource_from_environment, store_from_environment
from thunderbit_dagster.storage.store import ParquetStore
from thunderbit_dagster.version import __version__

if TYPE_CHECKING:
    Resource = ThunderbitResource
else:
    # Dagster looks into the fields of every pydantic model that it finds in an annotation, and knows no constraints.
    Resource = object

_LIBRARIES = dg.DagsterLibraryRegistry  # type: ignore[attr-defined]  # not marked as exported for type checkers
_LIBRARIES.register("thunderbit-dagster", __version__, is_dagster_package=False)


@dg.scaffold_with(CrawlScaffolder)
@dataclass(eq=False)
class ThunderbitCrawlComponent(dg.Component, dg.Resolvable):
    """Crawls of URLs with Thunderbit: batch jobs in, Parquet partitions out, and no run that waits.

    Each crawl becomes the assets `submissions`, `succeeded` and `failed`; one sensor for the whole project has finished
    jobs collected. Without an API key the emulator on this machine serves.

    Example:

        .. code-block:: yaml

            type: thunderbit_dagster.ThunderbitCrawlComponent
            attributes:
              crawls:
                - name: docs
                  urls:
                    guides: ["https://example.com/guides/a"]
                    reference: {url_file: reference.txt}
                  request: {type: distill}
                  cadence: {type: daily, start_date: "2026-11-01"}
              thunderbit:
                api_key: "{{ env.THUNDERBIT_API_KEY }}"
    """

    crawls: Annotated[
        Sequence[Crawl],
        dg.Resolver(read_crawls, model_field_type=Crawls, description="What to fetch, and how often."),
    ]
    thunderbit: Annotated[
        Resource | None,
        dg.Resolver(
            read_thunderbit,
            model_field_type=Thunderbit,
            description="The API, for the whole project. Without an `api_key` the environment decides: "
            "THUNDERBIT_API_KEY, or else the emulator on this machine.",
        ),
    ] = None
    store: Annotated[
        ParquetStore | None,
        dg.Resolver(
            read_store,
            model_field_type=StoreSettings,
            description="Where the Parquet goes, for the whole project: THUNDERBIT_DATA_URI or its folder `data`.",
        ),
    ] = None
    sensor_interval_seconds: Annotated[
        int | None,
        dg.Resolver(
            render,
            model_field_type=Seconds,
            description=f"Least time between two looks of the job sensor, for the whole project: {SENSOR_SECONDS}.",
        ),
    ] = None
    sensor_tick_seconds: Annotated[
        float | None,
        dg.Resolver(
            render,
            model_field_type=TickSeconds,
            description=f"How long one look may last, for the whole project: {TICK_SECONDS:g}.",
        ),
    ] = None
    executor: Annotated[
        dg.ExecutorDefinition | None,
        dg.Resolver(
            read_executor,
            model_field_type=Executor,
            description="What runs the steps of all jobs, for the whole project: where an executor is in Python, such "
            "as `my_project.executors.celery`; with a dot in front the path begins beside the YAML.",
        ),
    ] = None
    schedule_status: Annotated[
        Literal["stopped", "running"],
        dg.Resolver(
            render,
            model_field_type=Literal["stopped", "running"],
            description="Whether schedules of crawls with a cadence run from the start.",
        ),
    ] = "stopped"
    translation: Annotated[
        Translation | None,
        dg.Resolver(read_translation, model_field_type=Translations, description="What is different about the assets."),
    ] = None

    @classmethod
    @cache
    def model(cls) -> type[BaseModel]:
        """The shape of the YAML. Dagster lets every field be text, too; here a field that may be a template says so."""
        derived = super().model()
        # pydantic declares the fields of a model that is made at run time as `Any`.
        fields: Any = {name: (_or_template(field), field) for name, field in derived.model_fields.items()}
        return create_model(derived.__name__, __base__=dg.Model, **fields)

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """What `dg list components` and the UI say of it."""
        return dg.ComponentTypeSpec(tags=["thunderbit", "crawling", "parquet"], metadata={"version": __version__})

    def get_asset_spec(self, spec: dg.AssetSpec, crawl: Crawl) -> dg.AssetSpec:
        """The spec of one of a crawl's assets, as Dagster shows it.

        Override it to change more than `translation` can; its key, too, may be another. `spec` is what the crawl
        itself gives, and `spec.key.path[-1]` says which asset it is.
        """
        return self.translation(spec, crawl) if self.translation else spec

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs and schedules of this instance; the first one of a project brings the sensor."""
        project = Project.of(self, context.component_tree.get_all_components(ThunderbitCrawlComponent))
        store = project.store or store_from_environment(context.project_root)
        crawls = self.translated_crawls(store)
        built = self._build(crawls, project, store).map_asset_specs(func=self._translator(crawls))
        return dg.Definitions(
            assets=built.assets,
            asset_checks=built.asset_checks,
            jobs=built.jobs,
            schedules=built.schedules,
            sensors=self._sensors(project, store) if project.leads(self) else [],
            resources=built.resources,
            executor=project.executor if project.leads(self) else None,
        )

    @property
    def names(self) -> str:
        """The names of the crawls, for a person."""
        return ", ".join(crawl.name for crawl in self.crawls)

    @cached_property
    def bound_resource(self) -> ThunderbitResource:
        """The resource of this instance, as one object."""
        return self.thunderbit or resource_from_environment()

    def translated_crawls(self, store: ParquetStore) -> list[Crawl]:
        """The crawls with the asset keys that ``get_asset_spec`` gives them."""
        with _unnoted():
            built = self._build(self.crawls, Project([self]), store)
        keys: dict[str, dict[str, dg.AssetKey]] = {crawl.name: {} for crawl in self.crawls}
        for spec in _specs(built):
            crawl = _owner(spec, self.crawls)
            keys[crawl.name][_asset(spec)] = self.get_asset_spec(spec, crawl).key
        return [TranslatedCrawl.of(crawl, keys[crawl.name]) for crawl in self.crawls]

    def _build(self, crawls: Sequence[Crawl], project: Project, store: ParquetStore) -> dg.Definitions:
        return build_crawl_definitions(
            crawls,
            thunderbit=project.thunderbit,
            store=store,
            sensor_interval_seconds=project.sensor_interval_seconds,
            sensor_tick_seconds=project.sensor_tick_seconds,
            schedule_status=dg.DefaultScheduleStatus[self.schedule_status.upper()],
            executor=project.executor,
        )

    def _sensors(self, project: Project, store: ParquetStore) -> Sequence[dg.SensorDefinition]:
        crawls = [crawl for one in project.instances for crawl in one.translated_crawls(store)]
        with _unnoted():
            return [*(self._build(crawls, project, store).sensors or ())]

    def _translator(self, crawls: Sequence[Crawl]) -> Callable[[dg.AssetSpec], dg.AssetSpec]:
        def translate(spec: dg.AssetSpec) -> dg.AssetSpec:
            crawl = _owner(spec, crawls)
            own = spec.replace_attributes(key=Crawl.key(crawl, _asset(spec)))
            return self.get_asset_spec(own, crawl).replace_attributes(key=spec.key)

        return translate


@contextmanager
def _unnoted() -> Iterator[None]:
    """The command line shall not count what is built here as the project's own."""
    token = builds.set(None)
    try:
        yield
    finally:
        builds.reset(token)


def _specs(definitions: dg.Definitions) -> list[dg.AssetSpec]:
    return [
        spec for asset in definitions.assets or () if isinstance(asset, dg.AssetsDefinition) for spec in asset.specs
    ]


def _owner(spec: dg.AssetSpec, crawls: Sequence[Crawl]) -> Crawl:
    """The crawl to which an asset belongs."""
    return next(crawl for crawl in crawls if crawl.key(_asset(spec)) == spec.key)


def _asset(spec: dg.AssetSpec) -> str:
    return spec.key.path[-1]


def _or_template(field: FieldInfo) -> object:
    """The type of a derived field, with templates in place of any text."""
    left = [one for one in get_args(field.annotation) if one is not str]
    if get_origin(field.annotation) not in (Union, UnionType) or len(left) != 1:
        return field.annotation
    return Annotated[left[0], Template()]
