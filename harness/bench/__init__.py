"""Speed and memory, measured so that a shared and noisy machine cannot flatter anyone.

On a CPU every contender is its own warm process on one core with one thread. They take turns, a
chunk of updates each, so that a slow minute is slow for all; rates are updates a CPU-second, and
ratios are medians of per-round ratios. Absolute numbers of different runs do not compare. After
every chunk the same process times the matrix products of which it did most: what its updates could
reach at best, in the same moment. On a GPU, which is rarely shared, seconds are of the wall.
"""
