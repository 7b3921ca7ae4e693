"""Numbers recorded from the released implementation of arXiv 2307.11762, and the check that ours are the same.

`python -m tests.golden DIR` checks any folder of the same format and prints the greatest relative error per file.
"""
