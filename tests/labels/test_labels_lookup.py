"""Looking up many labels at once: every shortcut finds what one search after the other would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.counting.fingerprints import Hashes
from agent.labels import runs
from agent.labels.files import closed
from agent.labels.log import FEW, PAGE_ROWS, PAGES, Log
from agent.labels.rows import Layout, seal
from agent.labels.runs import Run
from agent.labels.sieve import Sieve
from agent.records import Ints

LAYOUT = Layout(("class",))


def _hashes(random: np.random.Generator, size: int) -> Hashes:
    return np.sort(random.integers(1, 1 << 63, size, dtype=np.uint64))


@pytest.mark.parametrize(("held", "sought"), [(300, 5_000), (20_000, 300), (20_000, 40_000), (1, 50)])
def test_a_run_gives_every_entry_of_every_key(tmp_path: Path, held: int, sought: int) -> None:
    """Of a run smaller or larger than what is sought in it; of keys that come twice or more both entries, in order."""
    random = np.random.default_rng(held)
    keys = np.sort(np.concatenate((_hashes(random, held), np.full(3, 7, np.uint64))))
    wheres = np.arange(len(keys), dtype=np.uint64)
    runs.write(tmp_path / "run-1", [(keys, wheres)])
    wanted = np.unique(np.concatenate((random.choice(keys, min(held, sought)), _hashes(random, sought), keys[:1])))
    at, found = Run.open(tmp_path / "run-1", 1).find(Sieve(wanted))
    there = np.flatnonzero(np.isin(keys, wanted))
    assert sorted(found.tolist()) == there.tolist()
    assert np.array_equal(wanted[at], keys[found.astype(np.int64)])
    assert found[wanted[at] == 7].tolist() == [0, 1, 2]


def test_only_entries_of_files_that_there_are_stay() -> None:
    """Rows beside those with rows, marks beside those whose marks still count, wherever the numbers lie."""
    segments = np.array([1, 2, 5, 9, 10, 1 << 29, 3])
    keys = np.arange(7, dtype=np.uint64)
    for live, known in (([2, 9], [2, 5, 9]), ([], [5]), ([], []), ([1, 1 << 29], [1, 2, 1 << 29])):
        for kind, numbers in ((runs.ROW, live), (runs.MARK, known)):
            wheres = runs.where(kind, segments, np.zeros(7, np.int64))
            left, _ = runs.kept(keys, wheres, np.array(live, np.int64), np.array(known, np.int64))
            assert left.tolist() == np.flatnonzero(np.isin(segments, numbers)).tolist()


def _log(folder: Path, rows: int) -> Log:
    numbers = iter(range(1, 100))
    log = Log(folder, lambda: next(numbers), 10**18)
    made = np.zeros(rows, LAYOUT.dtype)
    made["id"], made["class"] = np.arange(1, rows + 1), np.arange(rows) % 1_000
    seal(made)
    log.append(made, LAYOUT, 0, 1 << 64)
    return log


@pytest.mark.parametrize("wanted", [1, FEW, FEW + 1, 200])
def test_rows_come_from_pages_read_alone_or_with_their_neighbours(tmp_path: Path, wanted: int) -> None:
    """Many of some pages, few of others, none of some, over more pages than one call reads."""
    random = np.random.default_rng(wanted)
    pages = 2 * PAGES + 3
    log = _log(tmp_path, pages * PAGE_ROWS)
    closed(log.store()[1])
    dense = [p for p in range(pages) if p not in (1, PAGES + 2)]
    places: Ints = np.concatenate(
        [p * PAGE_ROWS + np.sort(random.choice(PAGE_ROWS, wanted, replace=False)) for p in dense]
        + [np.array([PAGE_ROWS + 5, PAGE_ROWS + 6])]
    )
    places.sort()
    rows, sound = log.read(runs.where(runs.ROW, 1, places), LAYOUT)
    assert sound is None
    assert np.array_equal(rows["id"], places + 1)
    log.close()


def test_how_many_bytes_there_are_is_known_through_every_change(tmp_path: Path) -> None:
    """As rows come, files are replaced and expire, and after a start."""
    log = _log(tmp_path, 1_000)
    size = LAYOUT.dtype.itemsize
    assert log.bytes == 1_000 * size
    held, fds = log.store()
    closed(fds)
    again = Log(tmp_path, lambda: 50, 10**18)
    again.load(held)
    assert again.bytes == 1_000 * size
    rows, _ = again.whole(1)
    made = again.replace(again.segments[1], rows[:100], 0, 1 << 64)
    assert made is not None
    assert again.bytes == 100 * size
    again.expire(10)
    assert again.bytes == 0
    log.close()
    again.close()
