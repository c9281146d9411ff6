"""The budgets, measured: `make bench`, or `python -m bench`; writes docs/benchmarks.md.

`python -m bench profile` says where the time goes.
"""
