"""The journal: what was acknowledged, on disk before the acknowledgement.

Segment files `journal-OFFSET.log` of frames:

    magic u32 | head length u32 | payload length u32 | xxh3-64 of head and payload | head (state.FrameHead) | payload

A write reaches the kernel before the answer leaves, so a killed process loses nothing; `sync` bounds what a dead host
costs. A frame that was torn by a crash was never acknowledged and is cut off at the next start.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import xxhash
from google.protobuf.message import DecodeError

from agent.state import set_aside
from agent.wire import state_pb2 as state

MAGIC = 0x5349444C
PREFIX = struct.Struct("<IIIQ")
SEGMENT_BYTES = 8 << 20
FRAME_BYTES_MAX = 80 << 20
log = logging.getLogger("sidelight.journal")


@dataclass(frozen=True, slots=True)
class Statistics:
    """bytes on disk now, over all segments; frames appended since start; failures: appends that reached no disk."""

    bytes: int
    frames: int
    failures: int
    corrupt_segments: int


class Journal:
    """One writer. `offset` is the last frame's; frames count from 1."""

    def __init__(self, folder: Path, bytes_max: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder, self._bytes_max, self._segment_bytes = folder, bytes_max, segment_bytes
        self._file = -1
        self._sizes: dict[Path, int] = {}  # segments, oldest first
        self._dirty = False
        self._rolled: list[int] = []  # older segments' files, to be synced and closed
        self._frames = self._failures = self._corrupt = 0
        self.offset = 0

    def open(self, after: int) -> Iterator[tuple[state.FrameHead, bytes]]:
        """Reads every whole frame with an offset above `after`, then starts a new segment. Exhaust it before
        appending."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.offset = after
        for path in sorted(self._folder.glob("journal-*.log")):
            for head, payload in self._read(path):
                if head.offset <= self.offset:
                    continue
                if head.offset != self.offset + 1:
                    log.warning("journal_gap expected=%d found=%d", self.offset + 1, head.offset)
                self.offset = head.offset
                yield head, payload
            if path.exists():
                self._sizes[path] = path.stat().st_size
        self._roll()

    def append(self, head: state.FrameHead, payload: bytes) -> bool:
        """Gives the frame its offset and writes it. False when it could not be written: the frame lives in memory
        only."""
        path = next(reversed(self._sizes), None)
        if path is None or self._sizes[path] >= self._segment_bytes:
            path = self._roll()
        self.offset += 1
        head.offset = self.offset
        packed = head.SerializeToString()
        size = PREFIX.size + len(packed) + len(payload)
        if path is None or sum(self._sizes.values()) + size > self._bytes_max:
            self._failures += 1
            return False
        digest = xxhash.xxh3_64(packed)
        digest.update(payload)
        prefix = PREFIX.pack(MAGIC, len(packed), len(payload), digest.intdigest())
        try:
            written = os.writev(self._file, (prefix, packed, payload))
            if written != size:
                raise OSError(errno.ENOSPC, "short write")
        except OSError as error:
            self._failures += 1
            if self._failures == 1 or self._failures % 10_000 == 0:
                log.error("journal_write_failed error=%s failures=%d", error, self._failures)
            self._cut_torn(path)
            return False
        self._sizes[path] += size
        self._frames += 1
        self._dirty = True
        return True

    def cut(self, offset: int) -> None:
        """Deletes the segments that hold nothing above `offset`: a checkpoint carries it."""
        paths = list(self._sizes)
        for path, following in pairwise(paths):
            if _first(following) <= offset + 1:
                path.unlink(missing_ok=True)
                del self._sizes[path]
        if paths and self._sizes.get(paths[-1], 0) and offset >= self.offset:
            fresh = self._roll()
            if fresh is not None and fresh != paths[-1]:
                paths[-1].unlink(missing_ok=True)
                self._sizes.pop(paths[-1], None)

    def sync(self) -> None:
        """Forces what was written to the disk itself. Blocking: call it from a thread."""
        waiting, self._rolled = self._rolled, []
        if self._dirty and self._file >= 0:
            self._dirty = False
            waiting.append(os.dup(self._file))
        failed = None
        for file in waiting:
            try:
                os.fdatasync(file)
            except OSError as error:
                failed, self._dirty = error, True
            finally:
                os.close(file)
        if failed is not None:
            raise failed

    def statistics(self) -> Statistics:
        return Statistics(sum(self._sizes.values()), self._frames, self._failures, self._corrupt)

    def close(self) -> None:
        self.sync()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _roll(self) -> Path | None:
        path = self._folder / f"journal-{self.offset + 1:020d}.log"
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            log.error("journal_open_failed error=%s", error)
            return None
        if self._file >= 0:
            self._rolled.append(self._file)
        self._file = file
        self._sizes[path] = os.fstat(file).st_size
        return path

    def _cut_torn(self, path: Path) -> None:
        try:
            os.ftruncate(self._file, self._sizes[path])
        except OSError as error:
            log.error("journal_truncate_failed error=%s", error)
            self._sizes[path] = self._segment_bytes  # the next frame begins a segment of its own, not behind torn bytes

    def _read(self, path: Path) -> Iterator[tuple[state.FrameHead, bytes]]:
        """Whole frames of one segment. What follows a broken frame is set aside, or cut off where nothing follows
        it."""
        size = path.stat().st_size
        at = 0
        with path.open("rb") as file:
            while at < size:
                frame = _frame(file.read(PREFIX.size), file, size - at)
                if frame is None:
                    break
                yield frame
                at += PREFIX.size + frame[0].ByteSize() + len(frame[1])
                file.seek(at)
        if at < size:
            self._mend(path, at, size)

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


def _frame(prefix: bytes, file: BinaryIO, room: int) -> tuple[state.FrameHead, bytes] | None:
    """The next frame, or None where the bytes are not one."""
    if len(prefix) < PREFIX.size:
        return None
    magic, head_size, payload_size, digest = PREFIX.unpack(prefix)
    if magic != MAGIC or head_size + payload_size > min(FRAME_BYTES_MAX, room):
        return None
    packed, payload = file.read(head_size), file.read(payload_size)
    found = xxhash.xxh3_64(packed)
    found.update(payload)
    if len(packed) != head_size or len(payload) != payload_size or found.intdigest() != digest:
        return None
    try:
        head = state.FrameHead.FromString(packed)
    except DecodeError:
        return None
    return (head, payload) if head.ByteSize() == head_size else None


def _first(path: Path) -> int:
    return int(path.stem.removeprefix("journal-"))
