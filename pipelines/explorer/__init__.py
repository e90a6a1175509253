"""The explorer: local pages that show a workspace's documents, signals and decisions, and two workspaces side by side.

`server` serves it, `static` writes it, `compare` tells two workspaces apart; `facts` is what all of them read.
"""
