"""One file or folder a stage."""
