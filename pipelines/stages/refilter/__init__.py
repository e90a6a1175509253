"""The stage `refilter`."""
