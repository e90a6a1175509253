"""Commands that show a workspace to people: explore and compare."""
