"""What the checks of a crawl are called in Dagster."""

from __future__ import annotations

from typing import Final

CONSERVATION: Final = "conservation"
SUCCESS_RATE: Final = "success_rate"
BLANK_DOCUMENTS: Final = "blank_documents"
DUPLICATE_CONTENT: Final = "duplicate_content"
SCHEMA_DRIFT: Final = "schema_drift"
