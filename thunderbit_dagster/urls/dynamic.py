"""URL partitions that come and go while the code stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import dagster as dg

from thunderbit_dagster.validation import TEXT, Expected, require_setting

if TYPE_CHECKING:
    from thunderbit_dagster.partitions import Partition
    from thunderbit_dagster.urls.source import Given

_EXPECTED = {
    "name": TEXT,
    "source": Expected(
        "a callable that takes the Partition", lambda given: callable(given) and not isinstance(given, type)
    ),
}


@dataclass(frozen=True)
class DynamicUrls:
    """URL partitions whose keys are added at run time, by a sensor, an asset or by hand.

    ``context.instance.add_dynamic_partitions(name, [...])`` adds keys, ``SensorResult(dynamic_partitions_requests=
    [urls.partitions_def.build_add_request([...])])`` does so from a sensor. A key may hold ASCII letters, digits
    and ``._-:+`` (100 at most); one that cannot be stored, or that readers of the folders take for something else,
    fails its partition before anything is paid.

    Args:
        name: The name of the dynamic partitions in the Dagster instance, which all code locations share.
        source: Takes the ``Partition``, whose ``urls`` is the key, and gives its URLs, a ``UrlFile`` or a ``Sitemap``.

    Raises:
        ValueError: a setting is wrong.
    """

    name: str
    source: Callable[[Partition], Given]

    def __post_init__(self) -> None:
        require_setting("DynamicUrls", vars(self), _EXPECTED)

    @cached_property
    def partitions_def(self) -> dg.DynamicPartitionsDefinition:
        """For ``build_add_request`` and for assets with the same partitions."""
        return dg.DynamicPartitionsDefinition(name=self.name)

    def keys(self) -> list[str]:
        """The keys that the instance has now, in the order in which they were added.

        Raises:
            dagster.DagsterError: no instance is at hand, see ``dagster.partition_loading_context``.
        """
        return [str(key) for key in self.partitions_def.get_partition_keys()]
