"""The fixtures that several folders of tests share are in `shared/`, which pytest's `pythonpath` makes importable."""

pytest_plugins = ["crawl_fixtures"]
