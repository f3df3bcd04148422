"""Policies in environments: evaluation, and interaction while training."""
