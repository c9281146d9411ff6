"""The budgets, measured: `make bench`, or `python -m bench`. Writes docs/benchmarks.md; `python -m bench profile` says where time goes."""
