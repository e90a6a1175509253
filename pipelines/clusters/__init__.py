"""Engines beyond this process: what a cluster file says, how its workers are started, found and examined."""
