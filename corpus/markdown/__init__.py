"""Blocks as Markdown that a CommonMark parser reads back as the structure that the page had."""
