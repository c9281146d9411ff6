"""The C library's allocator: large blocks go back to the system at once. glibc only; elsewhere nothing is done."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
LARGE_BYTES = 2 << 20  # more than a message of 500 vectors takes: to map that anew for each cost half as much again
FREE_BYTES = 4 << 20  # at the end of a pool, before it is given back


def give_back_large_blocks() -> None:
    """From now on. Else glibc keeps blocks of up to 32 MiB once one of them was let go: what making a judge takes for a
    moment, arrays of three million bytes, lies in each thread's pool for good, with holes that nothing fits."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_TRIM_THRESHOLD, FREE_BYTES)
