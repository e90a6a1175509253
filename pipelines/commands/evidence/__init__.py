"""Commands of evidence: `trace` and `card`."""
