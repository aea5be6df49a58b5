"""``thunderbit-dagster jobs``."""
