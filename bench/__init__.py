"""The budgets, measured: `make bench`, or `python -m bench`; writes docs/benchmarks.md.

`python -m bench profile` says where the time goes.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the agent runs, and before anything imports numpy
