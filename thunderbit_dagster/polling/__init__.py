"""Watching batch jobs: whom to ask when, and the sensor that asks and has finished jobs collected."""
