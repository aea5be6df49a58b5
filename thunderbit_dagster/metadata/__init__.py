"""What Dagster shows: the assets' place in the catalog, events for each partition, and tables."""
