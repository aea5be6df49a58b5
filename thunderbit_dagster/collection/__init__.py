"""Fetching every row of a submission and publishing ``succeeded`` and ``failed``."""
