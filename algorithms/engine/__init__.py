"""Trains algorithms: gradients, optimisers, targets, seeds, compilation."""
