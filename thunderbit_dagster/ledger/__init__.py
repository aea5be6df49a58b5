"""What was sent and what came of it, kept as events in Dagster's event log: the plugin's only state."""
