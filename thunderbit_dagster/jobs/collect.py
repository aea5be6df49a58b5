"""What the step that submits may ask of the step that collects, without knowing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.runs.partitions import Step

CollectPartitions: TypeAlias = Callable[[Step, ThunderbitResource, Sequence[Partition]], Mapping[Partition, str]]
"""Waits for sent partitions and publishes their rows; what could not be published, and why."""
