"""Base URIs: what people write, and its one normal form."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from thunderbit_dagster.storage.errors import UnknownSchemeError

SCHEMES: Final = ("file", "s3", "gs", "az", "memory")

# Two characters at least, so that the drive of a Windows path is no scheme.
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_SLASHES_LACK: Final = re.compile(rf"({'|'.join(SCHEMES)}):", re.IGNORECASE)


def normalize(base: str | Path) -> str:
    """The base URI in normal form: absolute, with a scheme, without a slash at the end.

    A path is taken relative to the working directory; `~` is the home directory.

    Raises:
        UnknownSchemeError: another scheme, a bucket that is missing, or a user, password or query in the URI.
    """
    match = _SCHEME.match(str(base))
    if match is None:
        if _SLASHES_LACK.match(str(base)):
            raise UnknownSchemeError("A scheme must be followed by two slashes, as in s3://bucket/path.")
        return from_path(Path(base).expanduser().absolute())
    scheme = match[1].lower()
    if scheme not in SCHEMES:
        raise UnknownSchemeError(
            f"Storage cannot use the scheme {scheme!r}. Give a local path or one of "
            f"{', '.join(f'{known}://' for known in SCHEMES[:-1])}.",
        )
    return from_path(to_path(str(base))) if scheme == "file" else _bucket(scheme, str(base))


def from_path(path: Path) -> str:
    """`file:///abs/data` of an absolute path; `=` and `:` stay as they are, for the eye."""
    text = quote(path.as_posix(), safe="/=:@+,")
    return f"file://{text}" if text.startswith("/") else f"file:///{text}"


def to_path(uri: str) -> Path:
    """The local path of a `file://` URI."""
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise UnknownSchemeError("A file URI must have three slashes and no host or query: file:///srv/data.")
    path = unquote(parts.path)
    # file:///C:/data names a drive, not a directory of the root.
    return Path(path[1:] if re.match(r"/[A-Za-z]:", path) else path)


def _bucket(scheme: str, uri: str) -> str:
    parts = urlsplit(uri)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UnknownSchemeError(
            f"A {scheme}:// base URI may only contain a bucket and a path. Credentials and options come from the "
            "environment, as the store's own tools read them.",
        )
    if not parts.netloc:
        raise UnknownSchemeError(f"The base URI has no bucket: write {scheme}://bucket/path.")
    return f"{scheme}://{parts.netloc}{parts.path}".rstrip("/")
