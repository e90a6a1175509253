"""The stage `lengths`."""
