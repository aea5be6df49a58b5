"""``thunderbit-dagster backfill`` and ``plan``."""
