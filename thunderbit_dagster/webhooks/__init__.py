"""The receiver of Thunderbit's webhooks: believes what is signed, and tells Dagster which job has ended."""
