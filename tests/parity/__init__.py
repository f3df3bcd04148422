"""The same methods through others' code and here, score beside score: `docs/parity.md`.

Others' code is run from a checkout, on the arrays that this project trains on, and its policies are
evaluated by this project's evaluator: what is compared is the learning.
"""
