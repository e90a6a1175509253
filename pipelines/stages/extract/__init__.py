"""The stage `extract`."""
