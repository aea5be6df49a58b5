"""Code locations of a given size, and one whose names are shared with what launches it."""

CRAWL, EMPTY = "pages", "empty"
KEYS = tuple(f"k{number}" for number in range(10))
