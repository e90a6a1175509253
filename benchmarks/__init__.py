"""One script per performance or quality claim. `python -m benchmarks` runs them all; each runs alone as well."""
