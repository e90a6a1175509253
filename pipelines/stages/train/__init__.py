"""Training from a recipe: `stage`, its phases for the loader, and what checkpoints are worth."""
