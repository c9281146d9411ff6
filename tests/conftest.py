"""For all tests: examples are tried without a deadline, for test machines are shared and slow at times."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the agent runs; before anything imports numpy

settings.register_profile("shared", deadline=None)
settings.load_profile("shared")
