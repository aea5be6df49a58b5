"""Reading what crawls have published, in tables and as the inputs of other assets."""
