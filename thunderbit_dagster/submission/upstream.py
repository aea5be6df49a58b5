"""URLs from an upstream asset: loaded by its IO manager in the run that submits them."""

from __future__ import annotations

from dataclasses import dataclass, field

import dagster as dg

from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.run import Step
from thunderbit_dagster.urls import AssetColumn, UrlSourceError


@dataclass
class UpstreamReader:
    """Loads the assets that a run's partitions name; each asset partition once."""

    context: Step
    _loaded: dict[tuple[dg.AssetKey, str | None], object] = field(default_factory=dict)
    _materialized: dict[dg.AssetKey, set[str]] = field(default_factory=dict)

    def load(self, column: AssetColumn, partition: Partition) -> object:
        """The value of the asset, or of its partition that matches.

        Raises:
            UrlSourceError: the asset, or that partition of it, was not materialized or cannot be loaded.
        """
        place = (column.key, self._matching(column, partition))
        if place not in self._loaded:
            self._loaded[place] = self._load(column, place[1])
        return self._loaded[place]

    def _matching(self, column: AssetColumn, partition: Partition) -> str | None:
        """The upstream key: which partitions exist is known from the event log, whatever code location they are of."""
        known = self._known(column.key)
        if not known:
            return None
        candidates = [partition.key, partition.date, partition.urls]
        for key in candidates:
            if key in known:
                return key
        wanted = " or ".join(repr(key) for key in dict.fromkeys(candidates) if key) or "the whole asset"
        raise UrlSourceError(f"the asset {column.name} holds no partition {wanted}; materialize it first")

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
