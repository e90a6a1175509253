"""Shared settings of the tests: no deadline per example, because first calls compile."""

from hypothesis import settings

settings.register_profile("gristmill", deadline=None, max_examples=60)
settings.load_profile("gristmill")
