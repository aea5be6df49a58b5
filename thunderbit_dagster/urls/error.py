"""What goes wrong with URL sources."""


class UrlSourceError(Exception):
    """A URL source could not be read, or gave something that is not a list of strings."""


class NeedsRunError(UrlSourceError):
    """Only a run can read the URL source."""
