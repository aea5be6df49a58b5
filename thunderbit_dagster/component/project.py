"""What the instances of a project share: one resource for the API, one store, and one sensor for all crawls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import dagster as dg

if TYPE_CHECKING:
    from thunderbit_dagster.crawl.crawl import Crawl
    from thunderbit_dagster.resource import ThunderbitResource
    from thunderbit_dagster.storage.store import ParquetStore

T = TypeVar("T")
SENSOR_SECONDS = 5
TICK_SECONDS = 5.0


class Instance(Protocol):
    """What an instance of the component states."""

    @property
    def crawls(self) -> Sequence[Crawl]: ...

    @property
    def names(self) -> str: ...

    @property
    def thunderbit(self) -> ThunderbitResource | None: ...

    @property
    def bound_resource(self) -> ThunderbitResource: ...

    @property
    def store(self) -> ParquetStore | None: ...

    @property
    def sensor_interval_seconds(self) -> int | None: ...

    @property
    def sensor_tick_seconds(self) -> float | None: ...

    @property
    def executor(self) -> dg.ExecutorDefinition | None: ...

    def translated_crawls(self, store: ParquetStore) -> list[Crawl]: ...


@dataclass(frozen=True)
class Project:
    """All instances of the component in a project, in Dagster's order.

    The settings of the API, the store and the sensor hold for all of them, and are stated in one.
    """

    instances: Sequence[Instance]

    @classmethod
    def of(cls, instance: Instance, found: Sequence[Instance]) -> Project:
        """The project of an instance among those found; one that is built on its own is a project by itself.

        Raises:
            DagsterInvalidDefinitionError: two instances contradict each other.
        """
        project = cls(found if any(one is instance for one in found) else [instance])
        project._refuse_repeated_names()
        return project

    def leads(self, instance: Instance) -> bool:
        """Whether this instance brings the sensor."""
        return self.instances[0] is instance

    @property
    def thunderbit(self) -> ThunderbitResource:
        """The resource: one object, since Dagster merges no two that are merely equal."""
        self._stated("thunderbit", lambda one: one.thunderbit)
        return next((one for one in self.instances if one.thunderbit), self.instances[0]).bound_resource

    @property
    def store(self) -> ParquetStore | None:
        return self._stated("store", lambda one: one.store)

    @property
    def sensor_interval_seconds(self) -> int:
        return self._stated("sensor_interval_seconds", lambda one: one.sensor_interval_seconds) or SENSOR_SECONDS

    @property
    def sensor_tick_seconds(self) -> float:
        return self._stated("sensor_tick_seconds", lambda one: one.sensor_tick_seconds) or TICK_SECONDS

    @property
    def executor(self) -> dg.ExecutorDefinition | None:
        return self._stated("executor", lambda one: one.executor)

    def _stated(self, name: str, setting: Callable[[Instance], T | None]) -> T | None:
        stated = [(one, value) for one in self.instances if (value := setting(one)) is not None]
        for other, value in stated:
            if value != stated[0][1]:
                raise dg.DagsterInvalidDefinitionError(
                    f"`{name}` holds for the whole project, but the instances with the crawls {stated[0][0].names} "
                    f"and {other.names} state different ones: state it in one of them"
                )
        return stated[0][1] if stated else None

    def _refuse_repeated_names(self) -> None:
        names = [crawl.name for one in self.instances for crawl in one.crawls]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise dg.DagsterInvalidDefinitionError(
                f"Crawls must have different names in the whole project; repeated: {', '.join(repeated)}"
            )
