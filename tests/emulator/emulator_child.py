"""An emulator as a process of its own, to be killed: prints its base URL when it is ready."""

import json
import sys
from pathlib import Path

from thunderbit_dagster.api.codes import Plan
from thunderbit_dagster.emulator import EmulatorSettings, serve

settings = json.loads(sys.argv[1])
settings["data_dir"] = Path(settings["data_dir"])
serve(
    EmulatorSettings(plan=Plan("tests", 100_000, 4), **{**settings, "allow_origins": tuple(settings["allow_origins"])}),
    on_ready=lambda listening: print(listening.base_url, flush=True),  # noqa: T201 - read by the parent
)
