"""URLs in a text file."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from thunderbit_dagster.urls.error import UrlSourceError
from thunderbit_dagster.validation import TEXT, instance_of, require_setting


@dataclass(frozen=True)
class UrlFile:
    """A text file with one URL a line, read when a run starts.

    Blank lines and lines that begin with ``#`` are skipped; a byte order mark is allowed. A path that begins with ``~``
    is in the user's home, that of the process which reads it.

    Raises:
        ValueError: the path is none.
        UrlSourceError: at run time, when the file is missing or is not UTF-8.
    """

    path: str | Path

    def __post_init__(self) -> None:
        require_setting("UrlFile", vars(self), {"path": TEXT | instance_of("a Path", Path)})

    def read(self) -> list[str]:
        """The file's URLs, in its order."""
        path = Path(self.path)
        with suppress(RuntimeError):  # there is no such user: the path as written does not exist
            path = path.expanduser()
        path = path.absolute()
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError as error:
            advice = "Put it there, or correct the crawl's `urls`, and materialize the partition again"
            raise UrlSourceError(f"The URL file {path} does not exist. {advice}") from error
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UrlSourceError(f"The URL file {path} cannot be read: {reason}") from error
        lines = (line.strip() for line in text.splitlines())
        return [line for line in lines if line and not line.startswith("#")]
