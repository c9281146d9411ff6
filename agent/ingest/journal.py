"""The journal: what was acknowledged, on disk before the acknowledgement.

Segment files `journal-OFFSET.log` of frames (`frames.py`). A write reaches the kernel before the answer leaves, so a
killed process loses nothing; `sync` bounds what a dead host costs. A frame that was torn by a crash was never
acknowledged and is cut off at the next start. A segment nobody needs any more is written over while traffic is heavy:
new pages and blocks cost more than what is written into them (docs/decisions/0105-the-journal-writes-over-itself.md).
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.ingest import frames
from agent.state import set_aside
from agent.wire import state_pb2 as state

SEGMENT_BYTES = 8 << 20
SPARE_SHARE = 4  # of the journal's bound, what segments kept to be written over may hold
log = logging.getLogger("sidelight.journal")


@dataclass(frozen=True, slots=True)
class Statistics:
    """bytes on disk now, over all segments; frames appended since start; failures: appends that reached no disk."""

    bytes: int
    frames: int
    failures: int
    corrupt_segments: int


@dataclass(slots=True)
class _Segment:
    """used: bytes of its frames; length: of the file, which may hold older frames behind them."""

    path: Path
    used: int
    length: int


class Journal:
    """One writer. `offset` is the last frame's; frames count from 1."""

    def __init__(self, folder: Path, bytes_max: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder, self._bytes_max, self._segment_bytes = folder, bytes_max, segment_bytes
        self._file = -1
        self._segments: list[_Segment] = []  # oldest first; the last one is written to
        self._spares: list[_Segment] = []  # to be written over
        self._dirty = self._moved = False
        self._rolled: list[int] = []  # older segments' files, to be synced and closed
        self._frames = self._failures = self._corrupt = 0
        self._appended = 0  # bytes since the last cut
        self.offset = 0

    def begins(self) -> int:
        """The offset that its oldest segment begins with, whether or not a frame is in it. 0: there is none."""
        return min(map(_first, self._folder.glob("journal-*.log")), default=0)

    def open(self, after: int) -> Iterator[frames.Frame]:
        """Reads every whole frame with an offset above `after`, then starts a new segment. Exhaust it before
        appending. An offset that was given once is not given again, though its frame, and `after`, be lost."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in self._folder.glob("spare-*.log"):
            path.unlink(missing_ok=True)
        self.offset = after
        for path in sorted(self._folder.glob("journal-*.log")):
            for head, payload in self._read(path):
                if head.offset <= self.offset:
                    continue
                if head.offset != self.offset + 1:
                    log.warning("journal_gap expected=%d found=%d", self.offset + 1, head.offset)
                self.offset = head.offset
                yield head, payload
            self.offset = max(self.offset, _first(path) - 1)
            if path.exists():
                size = path.stat().st_size
                self._segments.append(_Segment(path, size, size))
        self._roll()

    def append(self, head: state.FrameHead, payload: bytes) -> bool:
        """Gives the frame its offset and writes it. False when it could not be written: the frame lives in memory
        only."""
        segment = self._segments[-1] if self._segments else None
        if segment is None or segment.used >= self._segment_bytes:
            segment = self._roll()
        self.offset += 1
        head.offset = self.offset
        parts = frames.sealed(head, payload)
        size = sum(map(len, parts))
        if segment is None or not self._has_room(segment.used + size - segment.length):
            self._failures += 1
            return False
        try:
            if os.pwritev(self._file, parts, segment.used) != size:
                raise OSError(errno.ENOSPC, "short write")
        except OSError as error:
            self._failures += 1
            if self._failures == 1 or self._failures % 10_000 == 0:
                log.error("journal_write_failed error=%s failures=%d", error, self._failures)
            self._cut_torn(segment)
            return False
        segment.length = max(segment.length, segment.used + size)
        segment.used += size - len(frames.END)  # the next frame takes its place
        self._appended += size
        self._frames += 1
        self._dirty = True
        return True

    def cut(self, offset: int) -> None:
        """Lets go of the segments that hold nothing above `offset`: a checkpoint carries it.

        As much as was written since the last cut is kept to be written over, and nothing while that is little: what
        was sent is not kept on disk for longer than traffic takes to fill a segment.
        """
        spare = min(self._appended, self._bytes_max // SPARE_SHARE) if self._appended >= self._segment_bytes else 0
        self._appended = 0
        while len(self._segments) > 1 and _first(self._segments[1].path) <= offset + 1:
            self._spares.append(self._segments.pop(0))
        if self._segments and self._segments[-1].used and offset >= self.offset:
            self._shed(spare)
            if self._roll() is not None:
                self._spares.append(self._segments.pop(-2))
        self._shed(spare)
        if not spare and self._segments and self._segments[-1].length > self._segments[-1].used + len(frames.END):
            self._cut_behind(self._segments[-1])

    def sync(self) -> None:
        """Forces what was written to the disk itself. Blocking: call it from a thread."""
        waiting, self._rolled = self._rolled, []
        if self._dirty and self._file >= 0:
            self._dirty = False
            waiting.append(os.dup(self._file))
        if self._moved:  # a segment's new name is needed as much as what is in it
            self._moved = False
            waiting.append(os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC))
        failed = None
        for file in waiting:
            try:
                os.fdatasync(file)
            except OSError as error:
                failed, self._dirty, self._moved = error, True, True
            finally:
                os.close(file)
        if failed is not None:
            raise failed

    def statistics(self) -> Statistics:
        return Statistics(self._on_disk(), self._frames, self._failures, self._corrupt)

    def close(self) -> None:
        self.sync()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _on_disk(self) -> int:
        return sum([segment.length for segment in self._segments]) + sum([spare.length for spare in self._spares])

    def _has_room(self, growth: int) -> bool:
        if self._on_disk() + growth <= self._bytes_max:
            return True
        if self._spares:
            self._shed(0)
        return self._on_disk() + growth <= self._bytes_max

    def _roll(self) -> _Segment | None:
        """Begins a segment, in a spare file where there is one."""
        path = self._folder / f"journal-{self.offset + 1:020d}.log"
        try:
            length = self._recycle(path) if self._spares else 0
            # Of this name there is none, or one without a whole frame.
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (0 if length else os.O_TRUNC)
            file = os.open(path, flags, 0o600)
        except OSError as error:
            log.error("journal_open_failed error=%s", error)
            return None
        if self._file >= 0:
            self._rolled.append(self._file)
        self._file, self._moved = file, True
        self._segments = [segment for segment in self._segments if segment.path != path]
        self._segments.append(_Segment(path, 0, length))
        return self._segments[-1]

    def _recycle(self, path: Path) -> int:
        """Gives a spare file this name, and says in it that it holds nothing. Returns its length; 0: there is none."""
        spare = self._spares.pop(0)
        try:
            file = os.open(spare.path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.pwrite(file, frames.END, 0)
            finally:
                os.close(file)
            spare.path.rename(path)
        except OSError as error:
            log.warning("journal_spare_unusable error=%s", error)
            spare.path.unlink(missing_ok=True)
            return 0
        return spare.length

    def _shed(self, bytes_max: int) -> None:
        """Deletes spare files until they hold no more than that. Those kept lose their name: a start reads them not."""
        held = sum(spare.length for spare in self._spares)
        while held > bytes_max:
            spare = self._spares.pop()
            held -= spare.length
            spare.path.unlink(missing_ok=True)
        for spare in self._spares:
            if spare.path.name.startswith("journal-"):
                spare.path = spare.path.rename(spare.path.with_name(spare.path.name.replace("journal-", "spare-")))

    def _cut_torn(self, segment: _Segment) -> None:
        try:
            os.ftruncate(self._file, segment.used)
            segment.length = segment.used
        except OSError as error:
            log.error("journal_truncate_failed error=%s", error)
            segment.used = self._segment_bytes  # the next frame begins a segment of its own, not behind torn bytes

    def _cut_behind(self, segment: _Segment) -> None:
        """Cuts off older frames behind the newest."""
        try:
            os.ftruncate(self._file, segment.used + len(frames.END))
            segment.length = segment.used + len(frames.END)
        except OSError as error:
            log.warning("journal_truncate_failed error=%s", error)

    def _read(self, path: Path) -> Iterator[frames.Frame]:
        """Whole frames of one segment. What follows a broken frame is set aside, or cut off where nothing follows
        it."""
        size = path.stat().st_size
        at, first = 0, _first(path)
        with path.open("rb") as file:
            while at < size and file.read(len(frames.END)) != frames.END:
                file.seek(at)
                frame = frames.read(file, size - at)
                if frame is None or frame[0].offset < first:  # older: END was lost with what came before it
                    self._mend(path, at, size)
                    return
                yield frame
                at += frames.size_of(frame)
                file.seek(at)

    def _mend(self, path: Path, at: int, size: int) -> None:
        self._corrupt += 1
        log.warning("journal_cut path=%s kept_bytes=%d lost_bytes=%d", path.name, at, size - at)
        try:
            damaged = path.with_name("journal.damaged")
            with path.open("rb") as source, damaged.open("wb") as kept:
                os.fchmod(kept.fileno(), 0o600)
                source.seek(at)
                shutil.copyfileobj(source, kept)
            set_aside(damaged)
        except OSError as error:  # a full disk must not keep the agent from starting
            log.error("journal_set_aside_failed error=%s", error)
        if at:
            os.truncate(path, at)  # in place: killed here, the next start finds the same whole frames
        else:
            path.unlink()


def _first(path: Path) -> int:
    return int(path.stem.removeprefix("journal-"))
