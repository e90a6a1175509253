"""Commands of engines beyond this machine: show and check a cluster, submit a run, say what it will cost."""
