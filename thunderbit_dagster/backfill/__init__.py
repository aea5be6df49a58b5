"""Many partitions at once: what they would send, cost and take, and which are missing or failed."""
