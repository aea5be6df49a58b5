"""Dagster assets for the Thunderbit web-distillation API."""

__version__ = "0.1.0"
