"""A disk that takes nothing for a while: labels are joined on, nothing is left behind, and all is stored afterwards."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from agent.config import Settings
from agent.labels import desk as desk_module
from agent.labels import index, log
from agent.labels.desk import Desk
from agent.labels.desks import Desks
from tests.labels.label_worlds import HOUR, NAME, NOW, Said, batch, desk, joined, labels, settled


class FullDisk:
    """Takes nothing while it is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full, self._pwrite = False, os.pwrite
        monkeypatch.setattr(os, "pwrite", self)

    def __call__(self, fd: int, data: Any, at: int) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._pwrite(fd, data, at)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MEMORY", 64)
    monkeypatch.setattr(log, "SEGMENT_ROWS", 100)
    monkeypatch.setattr(log, "BUFFER_ROWS", 8)


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_labels_are_joined_while_the_disk_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written is looked up where it waits; the checkpoint fails, and the next one holds all of it."""
    disk, held = FullDisk(monkeypatch), desk(tmp_path)
    held.predicted(batch(list(range(50))))
    disk.full = True
    held.predicted(batch(list(range(50, 400))))
    held.labelled(labels([Said("yes", n) for n in range(0, 400, 2)]))
    assert sum(joined(held.settle()).values()) == 200
    files = _open_files()
    for tries in range(20):
        with pytest.raises(OSError, match="No space"):
            held.dump()
        files = files if tries else _open_files()
        with pytest.raises(OSError, match="No space"):
            held.work_now()
    assert _open_files() == files
    assert list(tmp_path.glob("run-*")) == []
    disk.full = False
    held.work_now()
    blob, fds = held.dump()
    for fd in fds:
        os.close(fd)
    found = Desk(held.model, tmp_path, held.bounds)
    found.load(blob)
    found.labelled(labels([Said("yes", n) for n in range(400)]))
    assert sum(joined(found.settle()).values()) == 200
    assert found.kept.kinds["repeated"] == 200
    assert settled(found) == 600
    held.close()
    found.close()


def test_memory_stays_bounded_while_the_disk_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while predictions are no longer kept, which is counted; labels of those that were are joined."""
    monkeypatch.setattr(log, "PENDING_MAX", 10_000)
    disk, held = FullDisk(monkeypatch), desk(tmp_path)
    disk.full = True
    for start in range(0, 5_000, 100):
        held.predicted(batch(list(range(start, start + 100))))
    kept = held.log.rows
    assert 0 < held.log.bytes < 10_000 + 100 * held.tables.layout.dtype.itemsize + 1
    assert held.kept.kinds["unkept"] == 5_000 - kept
    held.labelled(labels([Said("yes", n) for n in range(5_000)]))
    assert sum(joined(held.settle()).values()) == kept


def _desks(folder: Path) -> Desks:
    return Desks(Settings(state_dir=str(folder), collectors=()), folder / "labels")


def test_background_work_rests_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again after seconds, not at once; nothing is raised to whoever counts."""
    disk, desks = FullDisk(monkeypatch), _desks(tmp_path)
    desks.predicted(batch(list(range(200))), HOUR)
    disk.full = True
    asyncio.run(desks.work())
    disk.full = False
    asyncio.run(desks.work())
    (held,) = desks
    assert isinstance(held, Desk)
    assert held.index.runs == []
    assert held.index.failing
    desks.close()


def test_a_model_forgotten_under_its_background_work_is_closed_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread reads files: they are closed and deleted when it is done, and none is left."""
    desks, started, go = _desks(tmp_path), threading.Event(), threading.Event()
    desks.predicted(batch(list(range(200))), HOUR)
    job = Desk.job

    def slow(self: Desk) -> Any:
        found = job(self)

        def work() -> Any:
            started.set()
            assert go.wait(60)
            assert found is not None
            return found()

        return work

    monkeypatch.setattr(desk_module.Desk, "job", slow)

    async def forget() -> None:
        behind = asyncio.create_task(desks.work())
        await asyncio.to_thread(started.wait, 60)
        desks.keep(set())
        assert len(list(desks)) == 1
        go.set()
        await behind

    files = _open_files()
    asyncio.run(forget())
    assert list(desks) == []
    assert list((tmp_path / "labels").iterdir()) == []
    assert _open_files() <= files
    _, gone, _ = desks.collect()
    assert len(gone) == 1


def test_what_is_looked_up_in_does_not_change_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of rows written anew under a look-up would take the rows away that were just found."""
    desks, started, go = _desks(tmp_path), threading.Event(), threading.Event()
    desks.predicted(batch(list(range(200))), HOUR)
    desks.labelled(labels([Said("yes", 3)]), HOUR)
    (held,) = desks
    assert isinstance(held, Desk)
    settle, order = Desk.settle, list[str]()

    def slow(self: Desk) -> Any:
        started.set()
        assert go.wait(60)
        found = settle(self)
        order.append("settled")
        return found

    replace_ = index.Index._replace

    def said(self: index.Index, *given: Any) -> None:
        order.append("replaced")
        replace_(self, *given)

    monkeypatch.setattr(desk_module.Desk, "settle", slow)
    monkeypatch.setattr(index.Index, "_replace", said)

    async def both() -> None:
        behind = asyncio.create_task(desks.work())
        settling = asyncio.create_task(desks.settle(held))
        await asyncio.to_thread(started.wait, 60)
        await asyncio.sleep(0.2)
        go.set()
        await asyncio.gather(behind, settling)

    asyncio.run(both())
    assert order == ["settled", "replaced"]
    assert held.kept.kinds["joined"] == 1
    desks.close()


def test_switched_off_it_gives_its_room_back(tmp_path: Path) -> None:
    """With SIDELIGHT_LABEL_SECONDS=0 what waited is deleted, file and state, once a checkpoint does not name it."""
    desks = _desks(tmp_path)
    desks.predicted(batch(list(range(200)), now=NOW), HOUR)
    puts, _, sync = desks.collect()
    sync()
    blobs = dict(puts)
    desks.close()
    off = Desks(Settings(state_dir=str(tmp_path), collectors=(), label_seconds=0), tmp_path / "labels")
    off.load(blobs.get, {(NAME, ""): HOUR})
    _, gone, _ = off.collect()
    assert set(gone) == set(blobs)
    assert list((tmp_path / "labels").iterdir()) != []
    off.written()
    assert not (tmp_path / "labels").exists()
