"""Programs that crawl a list of URLs, each run as a process of its own against the same account."""
