"""`harness docs`: rewrites what can go stale in the pages under docs/.

A page marks a block by a line of its own, and `harness docs` fills in what is between:

    <!-- generated: config df-dir -->
    <!-- end -->

`harness/docs/render.py` says which blocks there are. This imports nothing, as `harness list` asks
for parts of it.
"""
