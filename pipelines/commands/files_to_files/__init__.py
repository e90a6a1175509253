"""The commands that go from files to files: `dedup_files`, `filter_files`."""

from .command import dedup_files as dedup_files
from .command import filter_files as filter_files
