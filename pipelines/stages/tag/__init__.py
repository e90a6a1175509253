"""Tags: what is learnt before (`lessons`), the columns they become (`columns`), the `stage`."""
