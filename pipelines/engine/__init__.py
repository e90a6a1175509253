"""What every stage stands on: the stage contract, the runner, locks, progress, running a settings file, rebuilding."""
