"""Threads share one pool of memory."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CHILD = """
import sys, threading, psutil
from agent.allocator import share_one_arena
if sys.argv[1] == "one":
    share_one_arena()
mib = lambda: psutil.Process().memory_info().rss / 2**20
before, kept, turn = mib(), [], [threading.Event() for _ in range(4)]

def work(i):
    turn[i].wait()
    held = [bytes(10_000) for _ in range(3_000)]
    kept.append(held[-1])  # at the end of the pool, so that none of it can go back
    del held
    turn[i + 1].set()
    turn[3].wait()

threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
[thread.start() for thread in threads]
turn[0].set()
[thread.join() for thread in threads]
print(mib() - before)
"""


def left(pools: str) -> float:
    """MiB that stay of 30 in each of three threads, one after another."""
    answer = subprocess.run([sys.executable, "-c", CHILD, pools], check=True, capture_output=True, text=True)
    return float(answer.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="elsewhere the allocator is not asked")
def test_threads_use_again_what_another_let_go() -> None:
    """Without it, each keeps a peak of its own."""
    assert left("one") < 0.6 * left("many")
