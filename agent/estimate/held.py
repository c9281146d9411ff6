"""Rows of the reference that are held until all have come: an even sample, the same one in every build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.records import Ints
from agent.reference.survey import row_hashes

PIECES_MAX = 256


class HeldRows:
    """At most `bound` rows, chosen by the hash of their number: when too many are held, every second one goes."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self._pieces: list[tuple[np.ndarray, dict[str, npt.NDArray[Any]]]] = []
        self._held, self._shift = 0, 0
        self.rows = 0  # that came

    def add(self, numbers: Ints, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """numbers: rising, each row's number in the data; columns: rows in the last axis, the same names each time."""
        if not len(numbers):
            return
        self.rows += len(numbers)
        first = int(numbers[0])
        hashes = row_hashes(first, int(numbers[-1]) - first + 1)[numbers - first]
        self._take(hashes, columns)
        while self._held > self.bound:
            self._shift += 1
            pieces, self._pieces, self._held = self._pieces, [], 0
            for own, held in pieces:
                self._take(own, held)
        if len(self._pieces) > PIECES_MAX:
            self._pieces = [self._joined()]

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """By name, the rows held, in order; {} where none came."""
        return self._joined()[1] if self._pieces else {}

    def _take(self, hashes: np.ndarray, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        below = hashes >> np.uint64(64 - self._shift) == 0 if self._shift else np.ones(len(hashes), dtype=bool)
        kept = np.flatnonzero(below)
        self._pieces.append((hashes[kept], {name: column[..., kept] for name, column in columns.items()}))
        self._held += len(kept)

    def _joined(self) -> tuple[np.ndarray, dict[str, npt.NDArray[Any]]]:
        hashes = np.concatenate([own for own, _ in self._pieces])
        names = self._pieces[0][1]
        return hashes, {name: np.concatenate([held[name] for _, held in self._pieces], axis=-1) for name in names}
