"""Runs of Dagster: their partitions and re-executions, which of them are alive, and locks between them."""
