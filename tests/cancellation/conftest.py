"""The fixtures of the crawl tests, for runs that are interrupted."""

import importlib.util
import sys
from pathlib import Path

CRAWLS = Path(__file__).parents[1] / "crawls"
sys.path.insert(0, str(CRAWLS))
_spec = importlib.util.spec_from_file_location("crawl_fixtures", CRAWLS / "conftest.py")
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)

_own_budget = _fixtures._own_budget
_no_pause = _fixtures._no_pause
_unsynced_sqlite = _fixtures._unsynced_sqlite
pages = _fixtures.pages
instance = _fixtures.instance
own_instance = _fixtures.own_instance
emulator = _fixtures.emulator
spoiled = _fixtures.spoiled
line = _fixtures.line
held = _fixtures.held
