"""Arrow schemas, paths, and atomic writes and reads of Parquet partitions. Knows nothing of Dagster."""
