"""This package in a running Dagster."""
