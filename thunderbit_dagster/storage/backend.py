"""The seam between tables and the places that hold them: what a place for objects must do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow.fs as pafs


class Sink(Protocol):
    """A new version of one object. Nothing of it is visible before `publish`.

    The first five members are what pyarrow asks of a file that it writes to.
    """

    @property
    def closed(self) -> bool: ...

    def write(self, data: bytes, /) -> int: ...

    def tell(self) -> int: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def seal(self) -> None:
        """Take the object as complete and do all that can fail before it is made visible."""

    def publish(self) -> None:
        """Replace the visible object by this one, in one step."""

    def discard(self) -> None:
        """Give up, whatever the state; later writes are ignored. A published object stays."""


class Backend(Protocol):
    """A place for objects, addressed by keys relative to the base URI."""

    @property
    def filesystem(self) -> pafs.FileSystem:
        """Reads objects by key; each opened file shows one version of its object from begin to end."""

    def uri(self, key: str) -> str:
        """The full URI of an object."""

    def keys(self, prefix: str) -> Iterator[str]:
        """All objects below a directory, in no promised order; none when there is no such directory."""

    def folders(self) -> Iterator[str]:
        """The directories right below the base URI, in no promised order."""

    def sink(self, key: str) -> Sink:
        """Start a new version of an object."""

    def sweep(self, crawl: str) -> None:
        """Remove what killed writers of this crawl left behind. Living writers are not touched."""
