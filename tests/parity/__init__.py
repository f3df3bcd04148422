"""The same methods through CORL and through this harness, score beside score: `docs/parity.md`.

CORL's scripts are run from a checkout, on the arrays that this project trains on, and their
policies are evaluated by this project's evaluator: what is compared is the learning.
"""
