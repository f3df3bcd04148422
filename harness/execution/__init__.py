"""From a plan to finished runs: the work on a trial, executors, progress."""
