"""The stage `rewrite`."""
