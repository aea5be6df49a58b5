"""URLs from an upstream asset: loaded by its IO manager in the run that submits them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import dagster as dg

from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.runs.partitions import Step
from thunderbit_dagster.urls import AssetColumn, UrlSourceError


@dataclass
class UpstreamReader:
    """Loads the assets that a run's partitions name; each asset partition once."""

    context: Step
    cadence: dg.TimeWindowPartitionsDefinition | None = None
    _loaded: dict[tuple[dg.AssetKey, str | None], object] = field(default_factory=dict)
    _materialized: dict[dg.AssetKey, set[str]] = field(default_factory=dict)
    _begun: dict[dg.AssetKey, tuple[Sequence[str], list[datetime]]] = field(default_factory=dict)

    def load(self, column: AssetColumn, partition: Partition) -> object:
        """The value of the asset, or of its partition that matches.

        Raises:
            UrlSourceError: the asset, or that partition of it, was not materialized or cannot be loaded, or the asset
                has no partition that matches.
        """
        place = (column.key, self._matching(column, partition))
        if place not in self._loaded:
            self._loaded[place] = self._explained(column, place[1])
        return self._loaded[place]

    def _explained(self, column: AssetColumn, key: str | None) -> object:
        try:
            return self._load(column, key)
        except Exception as error:  # whatever the asset's IO manager raises, the asset is what people know
            # Asked only now: assets that others write have values, and no events.
            if self.context.instance.get_latest_materialization_event(column.key) is None:
                raise UrlSourceError(
                    f"the asset {column.name} was never materialized here; materialize it first"
                ) from error
            raise UrlSourceError(
                f"the asset {column.name} cannot be loaded: {type(error).__name__}: {error}"
            ) from error

    def _matching(self, column: AssetColumn, partition: Partition) -> str | None:
        """The upstream key: which partitions exist is known from the event log, whatever code location they are of."""
        known, definition = self._known(column.key), self._definition(column.key)
        if not known and definition is None:
            return None
        # Dates are compared as times where they can be: the key of a week may be that of a day as well.
        covering = self._covering(column, definition, partition)
        candidates = [covering] if covering else [partition.key, partition.date, partition.urls]
        for key in candidates:
            if key in known:
                return key
        words = " or ".join(repr(key) for key in dict.fromkeys(candidates) if key)
        if not words:
            raise UrlSourceError(
                f"the asset {column.name} is partitioned and the crawl is not: give the crawl the same partitions"
            )
        raise UrlSourceError(f"the asset {column.name} has no partition {words}; materialize it first")

    def _covering(
        self, column: AssetColumn, definition: dg.PartitionsDefinition[str] | None, partition: Partition
    ) -> str | None:
        """The upstream date that the partition's date is, or lies in; None where there are no dates to compare.

        Raises:
            UrlSourceError: the asset's dates are shorter than the crawl's, or none of them holds the crawl's.
        """
        if not isinstance(definition, dg.TimeWindowPartitionsDefinition) or not self.cadence or not partition.date:
            return None
        window = self.cadence.time_window_for_partition_key(partition.date)
        keys, starts = self._dates(column.key, definition)
        place = bisect_right(starts, window.start) - 1
        key = keys[place] if place >= 0 else None
        if key is not None and window.end <= definition.time_window_for_partition_key(key).end:
            return key
        raise UrlSourceError(
            f"no partition of the asset {column.name} spans the date {partition.date}: it must have that date, and its "
            "dates must be as long as those of the crawl's `cadence`, or longer"
        )

    def _dates(
        self, asset: dg.AssetKey, definition: dg.TimeWindowPartitionsDefinition
    ) -> tuple[Sequence[str], list[datetime]]:
        """The keys of an asset's dates, and when each begins."""
        if asset not in self._begun:
            keys = definition.get_partition_keys()
            self._begun[asset] = keys, [definition.time_window_for_partition_key(key).start for key in keys]
        return self._begun[asset]

    def _definition(self, key: dg.AssetKey) -> dg.PartitionsDefinition[str] | None:
        """The partitions of the asset; None when it has none, or is of another code location."""
        if not isinstance(self.context, dg.AssetExecutionContext):
            found = self.context.repository_def.assets_defs_by_key.get(key)
            return found.get_asset_spec(key).partitions_def if found else None
        names = self.context.assets_def.keys_by_input_name
        name = next(name for name, one in names.items() if one == key)
        try:
            definition: dg.PartitionsDefinition[str] = self.context.asset_partitions_def_for_input(name)
        except dg.DagsterInvariantViolationError:  # how Dagster says that it is not partitioned
            return None
        return definition

    def _known(self, key: dg.AssetKey) -> set[str]:
        if key not in self._materialized:
            self._materialized[key] = set(self.context.instance.get_materialized_partitions(key))
        return self._materialized[key]

    def _load(self, column: AssetColumn, key: str | None) -> object:
        if isinstance(self.context, dg.AssetExecutionContext):
            load = self.context.load_asset_value
            return load(column.key, python_type=column.as_type, partition_key=key)
        # The job of an op knows no assets, its code location does.
        repository = self.context.repository_def
        return repository.load_asset_value(
            column.key, python_type=column.as_type, instance=self.context.instance, partition_key=key
        )
