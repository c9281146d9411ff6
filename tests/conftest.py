"""For all tests: examples are tried without a deadline, for test machines are shared and slow at times."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("shared", deadline=None)
settings.load_profile("shared")
