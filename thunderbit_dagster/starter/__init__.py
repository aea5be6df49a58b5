"""The code location for whoever has none yet: settings from the environment, and the demo site or a list of URLs."""
