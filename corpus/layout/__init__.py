"""What the layout of a page tells: which of its blocks are content, and what type of page it is."""
