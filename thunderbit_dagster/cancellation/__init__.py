"""Stopping batch jobs: of a run that a user cancels, of a partition, or one by one."""
