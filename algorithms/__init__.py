"""Learning, and nothing else: the engine, the building blocks, and Decision Flow."""

import os

# Else MKL's products depend, on some CPUs, on where in memory a seed's share of a stack lies. Read
# by MKL at its first product; as fast as the default.
os.environ.setdefault("MKL_CBWR", "AUTO")
