"""What is in force of a stage, held against what is asked for: what has to be done, and which rows can stay."""
