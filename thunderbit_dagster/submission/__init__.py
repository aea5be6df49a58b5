"""Sending a partition's URLs: what to POST, and the asset that does it."""
