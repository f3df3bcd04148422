"""Damaged suites, results, archives and datasets, made at random: `python -m tests.fuzz`.

Whatever is damaged, there is an error in a sentence or the undamaged numbers: no traceback, no
hang, nothing written elsewhere, and no other number in a table.
"""
