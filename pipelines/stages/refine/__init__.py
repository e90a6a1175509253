"""The stage `refine`."""
