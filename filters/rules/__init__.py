"""The rule sets that gristmill ships, as YAML."""
