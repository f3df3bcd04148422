"""Runs suites of offline-RL experiments and turns their results into tables and figures."""

__version__ = "0.2.0.dev0"
