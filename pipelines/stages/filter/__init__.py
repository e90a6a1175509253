"""The stage `filter`."""
