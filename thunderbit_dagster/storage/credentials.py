"""Stores that were asked without credentials: what their errors mean, and which variables to set.

Without any, obstore asks the cloud's metadata service for those of the machine's role, and all that is reported is
how that address failed. See docs/storage.md, and the environment variables at https://developmentseed.org/obstore.
"""

import re
from typing import Final

from thunderbit_dagster.storage.errors import first_line

VARIABLES: Final = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
"""What the ordinary kind of credentials is called, by the scheme of the base URI."""

_NONE_FOUND: Final = re.compile(
    r"169\.254\.169\.254|metadata\.google\.internal|/computeMetadata/v1/"
    r"|/latest/api/token|/latest/meta-data/|/metadata/identity/|Account must be specified",
)


def none_found(uri: str, error: BaseException) -> bool:
    """Whether an error of the store at this URI says that it has no credentials at all."""
    return _scheme(uri) in VARIABLES and _NONE_FOUND.search(str(error)) is not None


def reason(uri: str, error: BaseException) -> str:
    """The first line of a store's error; when there were no credentials, with the variables to set."""
    said = first_line(error)
    if not none_found(uri, error):
        return said
    return f"{said}; no credentials were found: set {VARIABLES[_scheme(uri)]} (docs/storage.md)"


def _scheme(uri: str) -> str:
    return uri.partition("://")[0]
