"""The journal: what was acknowledged is read back, whatever a crash, a full disk or a bad disk made of the files."""

from __future__ import annotations

import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.ingest.frames import END
from agent.ingest.journal import Journal
from agent.wire import state_pb2 as state

ROOT = Path(__file__).parent.parent.parent
Frames = list[tuple[int, bytes]]


def _read(folder: Path, after: int = 0) -> Frames:
    journal = Journal(folder, 1 << 30)
    found = [(head.offset, payload) for head, payload in journal.open(after)]
    journal.close()
    return found


def _write(folder: Path, payloads: list[bytes], segment_bytes: int = 1 << 20) -> Frames:
    journal = Journal(folder, 1 << 30, segment_bytes)
    list(journal.open(0))
    written = []
    for payload in payloads:
        head = state.FrameHead(arrived_unix_nano=7, verdict=payload[:3], response=b"answer")
        assert journal.append(head, payload)
        written.append((head.offset, payload))
    journal.close()
    return written


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=30), st.integers(1, 600), st.integers(0, 35))
def test_what_was_appended_is_read(payloads: list[bytes], segment_bytes: int, after: int) -> None:
    """Law: over any number of segments every frame above `after` comes back, whole and in order."""
    with _folder() as folder:
        written = _write(folder, payloads, segment_bytes)
        assert _read(folder, after) == [frame for frame in written if frame[0] > after]


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="journal-") as name:
        yield Path(name)


def test_a_tail_torn_at_any_byte_costs_the_last_frame_alone(tmp_path: Path) -> None:
    """A killed writer leaves part of a frame, which was never acknowledged; writing goes on after what was whole. Where
    only the mark behind the last frame is torn, nothing is lost."""
    written = _write(tmp_path / "whole", [b"one", b"two", b"three"])
    (segment,) = (tmp_path / "whole").glob("journal-*.log")
    data = segment.read_bytes()
    (one,) = (tmp_path / "whole").glob("journal-*.log")
    _write(tmp_path / "two", [b"one", b"two"])
    end_of_two = next((tmp_path / "two").glob("journal-*.log")).stat().st_size
    for size in range(end_of_two, len(data)):
        folder = tmp_path / f"{size}"
        folder.mkdir()
        (folder / one.name).write_bytes(data[:size])
        journal = Journal(folder, 1 << 30)
        whole = [p for _, p in written[: 3 if size >= len(data) - len(END) else 2]]
        assert [p for _, p in journal.open(0)] == whole
        assert journal.append(state.FrameHead(), b"after")
        journal.close()
        assert [p for _, p in _read(folder)] == [*whole, b"after"]


def test_broken_bytes_anywhere_cost_what_follows_in_their_segment(tmp_path: Path) -> None:
    """3,000 corruptions: never an exception; frames before the damage survive, and all of the other segments."""
    payloads = [b"%d" % i * (i % 7 + 1) for i in range(24)]
    written = _write(tmp_path / "good", payloads, segment_bytes=300)
    names = sorted(p.name for p in (tmp_path / "good").glob("journal-*.log"))
    bodies = {name: (tmp_path / "good" / name).read_bytes() for name in names}
    names = [name for name in names if bodies[name]]
    first = {name: int(name[8:-4]) for name in names}
    assert len(names) >= 4
    r = random.Random(5)
    folder = tmp_path / "bad"
    for _ in range(3000):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        target = r.choice(names)
        body = bytearray(bodies[target])
        at = r.randrange(len(body))
        kind = r.randrange(4)
        if kind == 0:
            body[at] ^= 1 << r.randrange(8)
        elif kind == 1:
            body[at:] = r.randbytes(r.randint(0, 40))
        elif kind == 2:
            body[at : at + 8] = bytes(8)
        else:
            body[at:at] = r.randbytes(r.randint(1, 30))
        for name in names:
            (folder / name).write_bytes(bytes(body) if name == target else bodies[name])
        found = _read(folder)
        assert set(found) <= set(written), "a frame nobody wrote"
        elsewhere = [f for f in written if not _within(f[0], target, names, first)]
        assert [f for f in found if not _within(f[0], target, names, first)] == elsewhere
        assert found == _read(folder), "the second start finds what the first one did"


def _within(offset: int, target: str, names: list[str], first: dict[str, int]) -> bool:
    at = names.index(target)
    upper = first[names[at + 1]] if at + 1 < len(names) else 1 << 60
    return first[target] <= offset < upper


def test_frames_before_the_damage_survive(tmp_path: Path) -> None:
    """Each frame's bytes broken in turn: exactly those before it in its segment are kept, what follows is set aside."""
    for broken in range(5):
        folder = tmp_path / f"{broken}"
        written = _write(folder, [b"%d" % i * 50 for i in range(5)])
        (segment,) = folder.glob("journal-*.log")
        body = bytearray(segment.read_bytes())
        body[body.index(b"%d" % broken * 50) + 3] ^= 0x10
        segment.write_bytes(body)
        assert _read(folder) == written[:broken]
        (aside,) = folder.glob("*.corrupt-*")
        assert aside.stat().st_mode & 0o777 == 0o600


def test_what_is_set_aside_is_bounded(tmp_path: Path) -> None:
    """Crash after crash: no more than three damaged parts are kept."""
    _write(tmp_path, [b"x"])
    for _ in range(8):
        newest = max(tmp_path.glob("journal-*.log"))
        with newest.open("ab") as out:
            out.write(b"torn")
        _read(tmp_path)
    assert len(list(tmp_path.glob("*.corrupt-*"))) == 3


def test_a_cut_keeps_what_is_needed(tmp_path: Path) -> None:
    """After `cut(n)` every frame above n is still read, and what lies wholly below is gone from the disk."""
    journal = Journal(tmp_path, 1 << 30, segment_bytes=200)
    list(journal.open(0))
    for i in range(40):
        journal.append(state.FrameHead(), b"%02d" % i * 20)
        if i % 5 == 4:
            before = journal.statistics().bytes
            journal.cut(i - 2)
            assert journal.statistics().bytes <= before
            kept = [offset for offset, _ in _peek(tmp_path)]
            assert kept[-3:] == [i - 1, i, i + 1]
    journal.cut(journal.offset)
    assert journal.statistics().bytes == 0
    journal.append(state.FrameHead(), b"next")
    journal.close()
    assert _read(tmp_path, 40) == [(41, b"next")]


def test_no_offset_is_given_twice(tmp_path: Path) -> None:
    """Everything was cut, and whoever knew how far it had come has forgotten it: the names of the files tell."""
    _write(tmp_path, [b"a", b"b", b"c"])
    journal = Journal(tmp_path, 1 << 30)
    list(journal.open(0))
    journal.cut(3)
    journal.close()
    assert Journal(tmp_path, 1 << 30).begins() == 4
    assert _write(tmp_path, [b"d"]) == [(4, b"d")]
    assert _read(tmp_path) == [(4, b"d")]


def _peek(folder: Path) -> Frames:
    with _folder() as copy:
        shutil.copytree(folder, copy / "c")
        return _read(copy / "c")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.binary(min_size=1, max_size=90), st.integers(0, 12)), max_size=60), st.randoms())
def test_segments_written_over_give_no_old_frame_back(steps: list[bytes | int], r: random.Random) -> None:
    """Law: killed after any appends (bytes) and cuts (so many frames back), also in the midst of a write, the next
    start reads every frame that was appended since the last cut and nothing twice, in order."""
    with _folder() as folder:
        journal = Journal(folder, 1 << 30, segment_bytes=100)
        list(journal.open(0))
        written: Frames = []
        covered = 0
        for step in steps:
            if isinstance(step, bytes):
                head = state.FrameHead()
                assert journal.append(head, step)
                written.append((head.offset, step))
            else:
                covered = max(covered, journal.offset - step)
                journal.cut(covered)
        expected = [frame for frame in written if frame[0] > covered]
        found = _peek(folder)
        assert [frame for frame in found if frame[0] > covered] == expected
        assert found == [frame for frame in written if frame[0] >= found[0][0]] if found else not expected
        newest = max(folder.glob("journal-*.log"))
        body = newest.read_bytes()
        at = body.rindex(END) if END in body else 0
        torn = bytes(r.randrange(256) for _ in range(r.randrange(1, 40)))
        newest.write_bytes(body[:at] + torn + body[at + len(torn) :])
        assert [frame for frame in _read(folder) if frame[0] > covered] == expected


def test_heavy_traffic_writes_over_its_own_files(tmp_path: Path) -> None:
    """Between checkpoints as much is kept as was written, the same files again; what was sent does not outlive it."""
    journal = Journal(tmp_path, 1 << 20, segment_bytes=1_000)
    list(journal.open(0))
    files: list[set[int]] = []
    for _ in range(6):
        for i in range(40):
            assert journal.append(state.FrameHead(), b"secret%02d" % i * 10)
        files.append({path.stat().st_ino for path in tmp_path.iterdir()})
        assert journal.statistics().bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
        journal.cut(journal.offset - 1)
    assert files[-1] == files[-2] == files[-3]
    journal.append(state.FrameHead(), b"little")
    journal.cut(journal.offset - 1)
    journal.cut(journal.offset)
    assert b"secret" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert journal.statistics().bytes == 0
    journal.close()


def test_a_full_journal_takes_nothing_until_it_is_cut(tmp_path: Path) -> None:
    """Its bound is bytes on disk: beyond it an append says so, and is fine again after a checkpoint."""
    journal = Journal(tmp_path, 400)
    list(journal.open(0))
    said = [journal.append(state.FrameHead(), b"x" * 100) for _ in range(6)]
    assert said[0]
    assert not said[-1]
    assert journal.statistics().bytes <= 400
    assert journal.statistics().failures == said.count(False)
    journal.cut(journal.offset)
    assert journal.append(state.FrameHead(), b"x" * 100)
    journal.close()
    assert [offset for offset, _ in _read(tmp_path, 6)] == [7]


FULL = """
import resource, sys
from pathlib import Path
from agent.ingest.journal import Journal
from agent.wire import state_pb2 as state
journal = Journal(Path(sys.argv[1]), 1 << 30)
list(journal.open(0))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
print([journal.append(state.FrameHead(), b"x" * 300) for _ in range(6)].count(True))
journal.close()
"""


def test_a_full_disk_is_said_and_costs_nothing_that_was_whole(tmp_path: Path) -> None:
    """A write cut short is undone: the append says False, and the next start reads the frames before it."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 3
    assert [offset for offset, _ in _read(tmp_path)] == [1, 2, 3]
    assert not list(tmp_path.glob("*.corrupt-*"))


TORN = """
import resource, sys
from pathlib import Path
from agent.ingest.journal import Journal
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
journal = Journal(Path(sys.argv[1]), 1 << 30)
print(len(list(journal.open(0))))
"""


def test_a_torn_journal_on_a_full_disk_still_starts(tmp_path: Path) -> None:
    """Nothing can be written, not even what should be set aside: the whole frames are read all the same."""
    _write(tmp_path, [b"x" * 50] * 3)
    newest = max(tmp_path.glob("journal-*.log"))
    with newest.open("ab") as out:
        out.write(b"torn" * 9)
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", TORN, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) == 3


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_FSIZE)[0] == 0, reason="no file may be written here")
def test_files_are_for_the_agent_alone(tmp_path: Path) -> None:
    """Raw values lie in it: 0600."""
    _write(tmp_path, [b"secret"])
    assert {p.stat().st_mode & 0o777 for p in tmp_path.glob("journal-*.log")} == {0o600}
