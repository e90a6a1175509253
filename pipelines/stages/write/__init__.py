"""The stage `write`."""
