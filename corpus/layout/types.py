"""The types of pages that are told apart, in the order in which models have them."""

TYPES = ("article", "collection", "documentation", "forum", "listing", "product", "service")
OTHER = "other"  # where none of them is likely
