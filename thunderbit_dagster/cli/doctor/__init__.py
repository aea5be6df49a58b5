"""``thunderbit-dagster doctor``."""
