"""Statistics of scores over seeds: arrays in, numbers out; docs/statistics.md says which and why.

A cell's `scores` are one number per seed, in points. `strata` are one such array per task, whose
seed counts may differ; tasks are fixed, and seeds are what is random.
"""
