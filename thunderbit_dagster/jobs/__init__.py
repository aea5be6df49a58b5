"""Batch jobs of the API: how each stands, asking about it, stopping it, and finding it again."""
