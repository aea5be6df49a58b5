"""Typed extraction: from the schema of a request to Arrow columns, and from what the API answers to typed items."""
