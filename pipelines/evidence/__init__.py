"""Evidence that leaves the house: the way of one document, cards, and the summary of training content."""
