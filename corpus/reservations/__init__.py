"""Reservations of rights that sites state for machines: robots.txt and what came after it, read from a crawl."""
