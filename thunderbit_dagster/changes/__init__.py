"""What changed from crawl to crawl: the asset ``changes`` of a crawl that has ``Changes`` settings.

In: what `succeeded` and `failed` of one URL partition hold for a date and the dates before it. Out: one row for each
URL that is or was there, with its status and the difference. A partition is a function of what is published, so any
order of materializing ends in the same rows.
"""
