"""The labelled reference's errors, block by block: made by `sidelight reference build --label`, read by the agent."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.concept.baseline import BLOCKS_MIN, LABELS_MIN
from agent.concept.bets import row_width, usual_row, width_of
from agent.concept.expected import BINS, joint, scored_of
from agent.concept.gathered import SEGMENTS_MAX
from agent.concept.losses import Kind, Scale, kind_of, place, scale_of
from agent.errors import CorruptError
from agent.records import Floats
from agent.reference.labelled import LabelledRows, Settled
from agent.reference.profile import Reference

KEY = "concept"
FORMAT = 2  # 1 had no scores
BLOCKS_KEPT = 512  # the newest; more would say no more of how windows differ
BYTES_MAX = 64 << 20  # unpacked; 512 blocks of 33 series are 1 MB


@dataclass(frozen=True)
class Section:
    """series: "" the whole, or "key=value" -> float64 (blocks, width), as `usual_row` makes them, or only the errors'
    part. bins: of binary models with scores, float64 (BINS, 2), all labels without and with the outcome."""

    scale: Scale
    series: dict[str, Floats]
    bins: dict[str, Floats] = field(default_factory=dict)

    def blocks_of(self, name: str) -> Floats | None:
        """None where there are too few to judge by: then the service's own first windows have to do."""
        found = self.series.get(name)
        if found is None or len(found) < BLOCKS_MIN or found[:, 0].sum() < LABELS_MIN:
            return None
        return found

    def bins_of(self, name: str) -> Floats | None:
        """None where nothing was scored, or the blocks are too few."""
        found = self.bins.get(name)
        return found if found is not None and found.any() and self.blocks_of(name) is not None else None

    def to_bytes(self) -> bytes:
        """A line of JSON, then all blocks as packed little endian float64."""
        series = [[name, len(blocks)] for name, blocks in self.series.items()]
        head = {"format": FORMAT, "kind": self.scale.kind, "cap": self.scale.cap, "series": series,
                "bins": list(self.bins)}  # fmt: skip
        arrays = [np.concatenate(list(self.series.values())).ravel(), *(bins.ravel() for bins in self.bins.values())]
        body = np.concatenate(arrays).astype("<f8").tobytes()
        return json.dumps(head, sort_keys=True).encode() + b"\n" + zlib.compress(body, 6)

    @classmethod
    def from_bytes(cls, body: bytes) -> Section:
        """Raises CorruptError."""
        try:
            head, _, packed = body.partition(b"\n")
            held: Any = json.loads(head)
            if held["format"] != FORMAT:
                raise CorruptError(f"section {KEY}: format {held['format']}, expected {FORMAT}")
            scale = Scale(Kind(held["kind"]), float(held["cap"]))
            unpacked = zlib.decompressobj().decompress(packed, BYTES_MAX)
            values, scored = np.frombuffer(unpacked, "<f8").astype(np.float64), [str(name) for name in held["bins"]]
            cut = len(values) - 2 * BINS * len(scored)
            if cut < 0 or not np.isfinite(values).all() or (values < 0).any():
                raise CorruptError(f"section {KEY}: blocks that nobody counted")
            blocks = values[:cut].reshape(-1, row_width(scale.kind))
            names, sizes = [str(name) for name, _ in held["series"]], [int(size) for _, size in held["series"]]
            if sum(sizes) != len(blocks) or min(sizes) < 0:
                raise CorruptError(f"section {KEY}: blocks that nobody counted")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error) as error:
            raise CorruptError(f"section {KEY}: {type(error).__name__}") from error
        bins = dict(zip(scored, values[cut:].reshape(-1, BINS, 2), strict=True))
        return cls(scale, dict(zip(names, np.split(blocks, np.cumsum(sizes)[:-1]), strict=True)), bins)

    @classmethod
    def of(cls, reference: Reference | None, kind: Kind | None) -> Section | None:
        """The reference's, where it has one of this kind with enough blocks. Raises CorruptError."""
        body = None if reference is None else reference.section(KEY)
        found = None if body is None else cls.from_bytes(body)
        return found if found is not None and found.scale.kind is kind and found.blocks_of("") is not None else None


@dataclass
class Errors:
    """The builder of the section. Memory: 3.2 kB a block and series of a regression, 32 bytes of a classifier,
    1.6 kB of a binary one."""

    settled: Settled
    key: str = KEY
    _counts: dict[str, dict[int, Floats]] = field(default_factory=dict)
    _kind: Kind | None = None
    _why: str = "no row had a prediction and a label"

    def add(self, rows: LabelledRows) -> None:
        pairs = rows.pairs
        self._kind, why = kind_of(self.settled.task, self.settled.positive, pairs)
        if self._kind is None:
            self._why = why
            return
        cells = place(pairs, self._kind, self.settled.positive, float("nan"))
        if self._kind is Kind.BINARY:
            cells = joint(pairs, cells, self.settled.positive)
        self._count("", rows, cells, cells >= 0)
        for key, codes in pairs.segments.items():
            for code in np.unique(codes[codes >= 0]).tolist():
                name = f"{key}={pairs.names[code]}"
                if name in self._counts or len(self._counts) <= SEGMENTS_MAX:
                    self._count(name, rows, cells, (cells >= 0) & (codes == code))

    def finish(self) -> bytes:
        whole = self._counts.get("")
        if self._kind is None or not whole:
            return b""
        scale = scale_of(self._kind, np.sum(list(whole.values()), axis=0))
        series, bins = {}, {}
        for name, blocks in self._counts.items():
            counts = np.array([blocks[at] for at in sorted(blocks)[-BLOCKS_KEPT:]])
            series[name] = usual_row(counts, scale)
            if self._kind is Kind.BINARY:
                bins[name] = scored_of(counts).sum(axis=0)
        section = Section(scale, series, bins)
        if section.blocks_of("") is None:
            self._why = f"{BLOCKS_MIN} windows and {LABELS_MIN} labels are needed, there are {len(series[''])}"
        else:
            self._why = ""
        return section.to_bytes()

    def notes(self) -> Sequence[str]:
        said = f"concept drift will be judged by the service's first labelled windows: {self._why}"
        return [said] if self._why else []

    def _count(self, name: str, rows: LabelledRows, cells: np.ndarray, chosen: np.ndarray) -> None:
        if not chosen.any():
            return
        assert self._kind is not None  # noqa: S101 - asked before
        width, held = width_of(self._kind), self._counts.setdefault(name, {})
        at, inverse = np.unique(rows.position[chosen], return_inverse=True)
        sums = np.bincount(inverse * width + cells[chosen], minlength=len(at) * width).reshape(-1, width)
        for k, block in enumerate(at.tolist()):
            held[block] = held.get(block, np.zeros(width)) + sums[k]
