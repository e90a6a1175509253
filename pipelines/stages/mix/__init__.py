"""The search for a mixture.

`settings`, the `stage`, `choice` of what is handed over, `files` it leaves, the `ladder`.
"""
