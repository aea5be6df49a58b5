"""``thunderbit-dagster report``: the history of a crawl as one HTML page that needs no network."""
