"""What a user declares: a crawl, its time partitions, its schedule, and the URL lists of its partitions."""
