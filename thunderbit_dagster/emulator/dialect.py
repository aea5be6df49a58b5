"""The ways in which the API's documents disagree, as switches (section 9 of the API reference, "A1" and so on).

The defaults are the newest reading. A client that works with every switch thrown tolerates what is documented.
"""

from dataclasses import dataclass
from typing import Literal

from thunderbit_dagster.api.codes import MAX_BATCH_URLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How answers are spelled.

    Args:
        extract_batch_urls: URLs an extract job takes: 100 or 50 (A1).
        invalid_urls: What is no URL fails its row (one bad URL fails its row, never the job), or the whole request.
        lower_case: Job and row states in lower case, rows `completed` in place of `SUCCEEDED` (A2).
        row_success: Rows carry a boolean `success` in place of `status`; unfinished ones `false` (A2).
        unpaged: `page` and `pageSize` are ignored and every row is returned (A3).
        completed_counts_all: `completed` counts failed rows too (A4).
        nested_data: Distilled rows keep their payload under `data` (A6).
        row_error: Row errors as object, as string, or not there at all (A7).
        error_envelope: `status` the number and `code` the word, the two swapped, or `error` a string (A8).
        source_url: How `metadata` spells the address of the page (A18).
        index: Rows carry `index`.
        unfinished_listed: Rows that have not finished are listed while the job runs (A15).
        cancelled_rows: Unfinished rows of a cancelled job keep their last state, say `CANCELLED` or go missing.
        cancel_terminal_status: HTTP status of a DELETE for a job that has ended: 200, 400, 404, 409 or 422.
        submit_status: HTTP status of an accepted batch job: 200, 201 or 202.
        insufficient_credits: 402 when a job is submitted, or rows struck when the credits run out midway.
        webhook_signature: Base64 over timestamp and body, or hexadecimal over the body alone (A12).
        reset_in_milliseconds: `X-RateLimit-Reset` in milliseconds.
    """

    extract_batch_urls: int = MAX_BATCH_URLS
    invalid_urls: Literal["row", "request"] = "row"
    lower_case: bool = False
    row_success: bool = False
    unpaged: bool = False
    completed_counts_all: bool = False
    nested_data: bool = False
    row_error: Literal["object", "string", "absent"] = "object"
    error_envelope: Literal["newest", "swapped", "string"] = "newest"
    source_url: Literal["sourceURL", "sourceUrl"] = "sourceURL"
    index: bool = True
    unfinished_listed: bool = True
    cancelled_rows: Literal["last_state", "CANCELLED", "missing"] = "last_state"
    cancel_terminal_status: Literal[200, 400, 404, 409, 422] = 409
    submit_status: Literal[200, 201, 202] = 200
    insufficient_credits: Literal["at_submit", "midway"] = "at_submit"
    webhook_signature: Literal["base64", "hex"] = "base64"
    reset_in_milliseconds: bool = False
