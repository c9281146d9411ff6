"""Messages of columns that are built alike: senders repeat themselves, byte for byte but for the values.

How such a message is built is learned from one that was read and kept whole (`moulding.py`). A later one with the same
bytes between its values needs no parsing and no doubt but its codes'; its values become arrays when it is counted,
with those that waited beside it (`casts.py`). What is of no known mould is read as ever, with the same result.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from google.protobuf.message import DecodeError

from agent.ingest.mould import Family, Mould
from agent.ingest.moulding import OtherwiseError, columns_of, mould_of
from agent.records import Batch
from agent.wire import twin_pb2

ROWS_MIN = 16  # of a message; fewer are not worth a mould
BYTES_MAX = 2 << 20  # that all moulds may occupy; beyond, they are learned anew
MOULDS_MAX = 8  # of messages of one size; the oldest is forgotten first
SIZES_MAX = 512  # of messages that came lately
# Learning a mould costs what reading a message does: messages of known moulds earn it, all others a little.
CREDIT_MAX, CREDIT_FOUND, CREDIT_READ = 64.0, 0.25, 1 / 64


class Found(NamedTuple):
    """request: the message's, without what its columns hold; columns: that, as it came."""

    request: twin_pb2.Request
    mould: Mould
    columns: memoryview


class Moulds:
    """Those known of all senders."""

    def __init__(self) -> None:
        self._known: dict[int, list[Mould]] = {}  # by size, the newest first
        self._families: dict[Family, Family] = {}
        self._came: set[int] = set()  # sizes
        self.held_bytes, self._credit = 0, CREDIT_MAX

    def find(self, raw: bytes) -> Found | None:
        """None where the message is of no known mould, or has a code that its dictionary has not."""
        if not self._known:
            return None
        try:
            at, begin, end = columns_of(raw)
            mould = next((one for one in self._known.get(end - begin, ()) if one.fits(raw, begin)), None)
            if mould is None:
                return None
            request = twin_pb2.Request.FromString(raw[:at] + raw[end:])
        except (OtherwiseError, DecodeError):
            return None
        if request.WhichOneof("body") is not None:  # which of the two holds is not for here
            return None
        request.columns.rows = mould.rows
        self._credit = min(self._credit + CREDIT_FOUND, CREDIT_MAX)
        return Found(request, mould, memoryview(raw)[begin:end])

    def learn(self, raw: bytes, batch: Batch) -> None:
        """From a message that was read as this batch, none of its records refused."""
        self._credit = min(self._credit + CREDIT_READ, CREDIT_MAX)
        if batch.rows < ROWS_MIN or self._credit < 1.0 or not self._again(len(raw)):
            return
        self._credit -= 1.0
        try:
            self._keep(mould_of(raw, batch))
        except OtherwiseError:
            return

    def _again(self, size: int) -> bool:
        """Whether one of about this size came lately: the first may be the last. What stands beside the columns is
        of about the same size in all of a sender's messages."""
        if size in self._came:
            return True
        if len(self._came) >= SIZES_MAX:
            self._came.clear()
        self._came.add(size)
        return False

    def _keep(self, mould: Mould) -> None:
        self.held_bytes += mould.held_bytes
        if self.held_bytes > BYTES_MAX:
            self._known.clear()
            self._families.clear()
            self.held_bytes = 0
            return
        family = self._families.setdefault(mould.family, mould.family)
        pairs = zip(family.texts, mould.dictionaries, strict=True)
        dictionaries = tuple([own if shared is None else shared for (_, shared), own in pairs])
        mould = replace(mould, family=family, dictionaries=dictionaries)
        same = self._known.setdefault(mould.size, [])
        same.insert(0, mould)
        if len(same) > MOULDS_MAX:
            self.held_bytes -= same.pop().held_bytes
