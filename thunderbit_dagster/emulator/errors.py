"""The one exception of this package: a refusal that has a documented code."""

from collections.abc import Mapping

from thunderbit_dagster.api.codes import HTTP_STATUS


class EmulatorError(Exception):
    """A request or a page that is refused, with the code the API documents for it.

    Args:
        code: One of `HTTP_STATUS`, or a code of the emulator's own for what the reference leaves open.
        message: What went wrong, for people.
        details: Field name to message, for `INVALID_PARAMETER`.
        status: HTTP status; default: the one documented for the code, else 500.
    """

    def __init__(
        self, code: str, message: str, *, details: Mapping[str, str] | None = None, status: int | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details
        self.status = HTTP_STATUS.get(code, 500) if status is None else status

    def as_row_error(self) -> dict[str, object]:
        """The `error` of a failed row: `{code, message}`."""
        return {"code": self.code, "message": self.message}
