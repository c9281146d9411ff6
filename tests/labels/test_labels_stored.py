"""What a desk keeps on disk: over kills, corrupt files, and where there is too much of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from agent.errors import CorruptError
from agent.labels import index, log
from agent.labels.desk import WHOLE, Desk
from tests.labels.label_worlds import BOUNDS, NOW, SECOND, Said, again, batch, desk, joined, labels, settled, with_bytes


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MEMORY", 64)
    monkeypatch.setattr(log, "SEGMENT_ROWS", 100)
    monkeypatch.setattr(log, "BUFFER_ROWS", 8)


def test_what_was_written_after_the_checkpoint_is_written_again(tmp_path: Path) -> None:
    """Killed between the files and the checkpoint that names them: the journal brings the same once more, and nothing
    is lost, joined twice or left lying."""
    held = desk(tmp_path)
    held.predicted(batch(list(range(150))))
    held.labelled(labels([Said("yes", 3), Said("no", 200)]))
    held.settle()
    held.work_now()
    blob, _ = held.dump()
    held.written()

    def after(one: Desk) -> int:
        found = joined(one.predicted(batch(list(range(150, 400)))))
        one.labelled(labels([Said("yes", 3), Said("yes", 4), Said("yes", 300)]))
        found += joined(one.settle())
        one.work_now()
        return sum(found.values())

    assert after(held) == 3
    held.dump()  # written to its files, and never stored
    killed = Desk(held.model, tmp_path, BOUNDS)
    killed.load(blob)
    names = {path.name for path in tmp_path.iterdir()}
    assert after(killed) == 3
    assert killed.kept.dump() == held.kept.dump()
    assert settled(killed) == killed.kept.kinds["received"] == 5
    assert len(names) < len({path.name for path in tmp_path.iterdir()})


def test_files_that_are_replaced_stay_until_the_checkpoint_that_does_not_name_them(tmp_path: Path) -> None:
    """A kill right after a merge finds everything the last checkpoint names."""
    held = desk(tmp_path)
    held.predicted(batch(list(range(40))))
    blob, _ = held.dump()
    held.written()
    held.predicted(batch(list(range(40, 900))))
    held.work_now()
    copied = Desk(held.model, shutil.copytree(tmp_path, tmp_path.with_name("copy")), BOUNDS)
    copied.load(blob)
    copied.labelled(labels([Said("yes", n) for n in range(60)]))
    assert sum(joined(copied.settle()).values()) == 40
    assert copied.corrupt == 0


@pytest.mark.parametrize("which", ["run-*", "rows-*", "tail-*"])
def test_a_file_cut_short_costs_its_own_predictions(tmp_path: Path, which: str) -> None:
    """It is set aside and counted. Rows that are gone are not joined; an index is made anew from the rows, and misses
    none."""
    held = desk(tmp_path)
    held.predicted(batch(list(range(200))))
    held.work_now()
    held.predicted(batch(list(range(200, 230))))
    blob, _ = held.dump()
    held.close()
    path = sorted(tmp_path.glob(which), key=lambda p: p.stat().st_size)[-1]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = Desk(held.model, tmp_path, BOUNDS)
    found.load(blob)
    assert found.corrupt > 0
    assert path.with_suffix(".corrupt").exists()
    found.labelled(labels([Said("yes", n) for n in range(230)]))
    lost = found.lost
    assert (lost > 0) == (which == "rows-*")
    assert sum(joined(found.settle()).values()) == 230 - lost
    assert settled(found) == 230


@pytest.mark.parametrize("which", ["run-*", "rows-*"])
def test_a_flipped_bit_joins_nothing_wrong(tmp_path: Path, which: str) -> None:
    """Rows and runs are checked as they are read: a label meets its own prediction or none."""
    held = desk(tmp_path)
    held.predicted(batch(list(range(200))))
    held.work_now()
    held.log.store()
    for path in tmp_path.glob(which):
        raw = bytearray(path.read_bytes())
        for at in range(5, len(raw) - 200, 97):
            raw[at] ^= 0x10
        path.write_bytes(raw)
    held.labelled(labels([Said("yes", n) for n in range(200)]))
    pairs = held.settle()
    assert held.corrupt > 0
    for one in pairs:
        assert (one.scores[:, 0] == one.scores[:, 0]).all()
        assert one.latency is not None
        assert (np.abs(one.scores[:, 0] - one.latency % 100 / 100) < 1e-6).all()
    assert settled(held) == 200


def test_a_state_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    """Then the desk begins anew."""
    held = desk(tmp_path)
    held.predicted(batch([1]))
    blob, _ = held.dump()
    for bad in (b"", b"\xff\xff\xff\xff", blob[:-20], blob.replace(b'"format": 2', b'"format": 9'), b"\x02\0\0\0[]"):
        with pytest.raises(CorruptError):
            Desk(held.model, tmp_path, BOUNDS).load(bad)


def test_a_full_store_keeps_a_sample_that_tells_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels of predictions that are not kept are counted as such; the weights of the others make up for them."""
    monkeypatch.setattr(log, "SEGMENT_ROWS", 4_096)
    monkeypatch.setattr(index, "MEMORY", 2_048)
    held = desk(tmp_path, with_bytes(1 << 19))
    total = 40_000
    for start in range(0, total, 1_000):
        held.predicted(batch(list(range(start, start + 1_000)), now=NOW + start * SECOND // 1000))
        held.work_now()
        assert held.size < (1 << 19) + (1 << 18)
        if start == 20_000:
            held = again(held)
    assert held.limit < WHOLE // 2
    held.labelled(labels([Said("yes", n) for n in range(total)]))
    pairs = held.settle()
    weights = np.concatenate([one.weights for one in pairs])
    values = np.concatenate([one.latency for one in pairs if one.latency is not None])
    kinds = held.kept.kinds
    assert kinds["joined"] == len(weights)
    assert kinds["unsampled"] == total - len(weights)
    spread = 5 * np.sqrt((weights * (weights - 1)).sum())  # five standard errors of a sum over independent choices
    assert weights.sum() == pytest.approx(total, abs=spread)
    assert (weights * values).sum() / weights.sum() == pytest.approx((total - 1) / 2, rel=0.1)
    assert held.kept.coverage() == pytest.approx(1.0, abs=spread / total)


def test_labelled_rows_give_their_room_back_before_the_sample_is_halved(tmp_path: Path) -> None:
    """Only what waits needs to be kept: a mark is enough for the rest, and tells a repeated label still."""
    held = desk(tmp_path, with_bytes(1 << 16))
    for start in range(0, 1_500, 100):
        numbers = list(range(start, start + 100))
        held.predicted(batch(numbers))
        held.labelled(labels([Said("yes", n) for n in numbers]))
        held.settle()
        held.work_now()
    assert held.limit == WHOLE
    assert held.kept.kinds["joined"] == 1_500
    held.labelled(labels([Said("yes", n) for n in range(1_500)]))
    assert held.settle() == []
    assert held.kept.kinds["repeated"] == 1_500
