"""Families of signals: what a text measures. `families` lists all of them; a signal never decides."""
