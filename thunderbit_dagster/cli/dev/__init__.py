"""``thunderbit-dagster dev`` and ``demo``."""
