"""Code locations of a given size."""
