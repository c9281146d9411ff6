"""Worlds with a known truth: rows of a model's features, window by window, seeded.

A world is a list of groups of columns; a stream draws from it, all columns of a group in one call. σ is the standard
deviation of one row's value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache

import numpy as np

from agent.records import NULL, PRESENT, Batch, Columns, Floats, ModelKey, Numbers, Texts, Vectors

WINDOW_SECONDS = 3600
WINDOW_NS = WINDOW_SECONDS * 1_000_000_000
DAY, WEEK = 24, 168  # windows
MODEL = ModelKey("model", "1")
WHOLE_DICTIONARY = 256  # categories up to which every batch carries all of them, as senders do
RARE = 0.001  # share of a category
MERCHANTS = (0.1, *[0.7 / 39] * 39, *[0.2 / 500] * 500)  # shares of 40 that are frequent and of 500 that are rare
TAIL_DF = 5.0  # a t with so many degrees of freedom: kurtosis 9 instead of 3


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to the first column of every group that knows the kind.

    shift: σ; scale: factor of σ; missing: new rate; tails: t instead of normal, same mean and σ; share: of the target
    category; swell: share of the last category, lost by those that are as rare (under RARE); decorrelate: new
    correlation of the group, marginals kept; rotate: share of a vector's entries turned; volume: factor of the rows.
    """

    kind: str
    amount: float = 0.0


@dataclass(frozen=True, slots=True)
class Numeric:
    """`count` numbers. shape: normal, lognormal, exponential, discrete (Poisson, 0/1, tenths in turn).

    effect: σ of every window's own shift; memory: its autocorrelation; daily, weekly: amplitude of a sine, and drop of
    the weekend, in σ; correlation: of any two of the group, or with factors: the share of each one's variance that so
    many common factors carry, with loadings of either sign; missing: rate of nulls.
    """

    count: int
    name: str = "number"
    shape: str = "normal"
    effect: float = 0.0
    memory: float = 0.0
    daily: float = 0.0
    weekly: float = 0.0
    correlation: float = 0.0
    factors: int = 0
    missing: float = 0.0


@dataclass(frozen=True, slots=True)
class Category:
    """`count` texts. shares: of each category; empty: Zipf over `categories`."""

    count: int
    name: str = "text"
    categories: int = 0
    shares: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Embedding:
    """One vector of `size` entries: normal, with a mean and with falling variances, as embeddings have."""

    size: int
    name: str = "embedding"


@dataclass(frozen=True, slots=True)
class Bursty(Category):
    """Rare categories (under RARE) come in bursts: in every window each one's share is its own times a gamma variable
    of mean 1 and this coefficient of variation, their sum as ever."""

    variation: float = 0.0


Group = Numeric | Category | Embedding


@dataclass(frozen=True, slots=True)
class World:
    """rows of a window are Poisson; swing: amplitude of their daily sine; bursts: their coefficient of variation
    beyond that; even: as many rows in every window; segments: values of a segment key that has nothing to do with the
    features; latency: a lognormal one."""

    groups: tuple[Group, ...]
    swing: float = 0.0
    bursts: float = 0.0
    even: bool = False
    segments: int = 0
    latency: bool = False


@dataclass(slots=True)
class Drawn:
    """The columns of one window, while they are gathered."""

    numbers: dict[str, Numbers] = field(default_factory=dict)
    texts: dict[str, Texts] = field(default_factory=dict)
    vectors: dict[str, Vectors] = field(default_factory=dict)


class Stream:
    """One history of a world; `window` is called with rising indices (hours since a Monday, midnight)."""

    def __init__(self, world: World, seed: Sequence[int]) -> None:
        self._world = world
        self.random = np.random.default_rng(list(seed))
        self._state = {group.name: self.random.standard_normal(group.count)
                       for group in world.groups if isinstance(group, Numeric)}  # fmt: skip

    def window(self, index: int, rows: int, change: Change | None = None) -> Batch:
        """About `rows` rows."""
        count = self._rows(index, rows * change.amount if change and change.kind == "volume" else rows)
        drawn = Drawn()
        for group in self._world.groups:
            if isinstance(group, Numeric):
                self._numbers(group, drawn, (index, count), change)
            elif isinstance(group, Category):
                self._texts(group, drawn, count, change)
            else:
                values = embedding(self.random, group.size, count, change)
                drawn.vectors[group.name] = Vectors(values)
        segments = {"region": self._segment(count)} if self._world.segments else {}
        features = Columns(drawn.numbers, drawn.texts, {}, drawn.vectors)
        latency = self.random.lognormal(-4.0, 0.3, count) if self._world.latency else None
        arrived = index * WINDOW_NS + WINDOW_NS // 2
        return Batch(MODEL, count, arrived, features, Columns(), latency=latency, segments=segments)

    def _rows(self, index: int, rows: float) -> int:
        if self._world.even:
            return round(rows)
        rate = rows * (1.0 + self._world.swing * np.sin(2 * np.pi * index / DAY))
        if self._world.bursts:
            shape = self._world.bursts**-2
            rate *= self.random.gamma(shape, 1.0 / shape)
        return max(1, int(self.random.poisson(rate)))

    def _numbers(self, group: Numeric, drawn: Drawn, at: tuple[int, int], change: Change | None) -> None:
        index, rows = at
        values = self._values(group, rows, change)
        if group.effect or group.daily or group.weekly:
            values += self._level(group, index)[:, None]
        if change is not None and group.shape == "normal":
            values[0] = changed(self.random, values[0], change)
        if group.shape == "lognormal":
            np.exp(values, out=values)
        gone = self._gone(group, rows, change)
        for k in range(group.count):
            state = None if gone is None or not gone[k].any() else gone[k]
            drawn.numbers[f"{group.name}_{k:03d}"] = Numbers(values[k], state)

    def _values(self, group: Numeric, rows: int, change: Change | None) -> Floats:
        shape = (group.count, rows)
        if group.shape == "exponential":
            return self.random.standard_exponential(shape)
        if group.shape == "discrete":
            return _discrete(self.random, shape)
        values = self.random.standard_normal(shape)
        own = group.correlation
        if own and change is not None and change.kind == "decorrelate":
            own = change.amount
        if own:
            values *= np.sqrt(1.0 - own)
            values += np.sqrt(own) * self._common(group, rows)
        return values

    def _common(self, group: Numeric, rows: int) -> Floats:
        """What columns share, of variance 1 each: float64 (rows,), or (count, rows) where there are several factors."""
        if not group.factors:
            return self.random.standard_normal(rows)
        return _loadings(group.count, group.factors) @ self.random.standard_normal((group.factors, rows))

    def _level(self, group: Numeric, index: int) -> Floats:
        """float64 (count,): where the group stands in this window."""
        fresh = self.random.standard_normal(group.count)
        state = group.memory * self._state[group.name] + np.sqrt(1.0 - group.memory**2) * fresh
        self._state[group.name] = state
        phase = np.arange(group.count) / group.count
        level = group.effect * state + group.daily * np.sin(2 * np.pi * (index / DAY + phase))
        weekend = index % WEEK >= 5 * DAY
        return np.asarray(level - group.weekly * weekend, dtype=np.float64)

    def _gone(self, group: Numeric, rows: int, change: Change | None) -> np.ndarray | None:
        if not group.missing:
            return None
        rates = np.full((group.count, 1), group.missing)
        if change is not None and change.kind == "missing":
            rates[0] = change.amount
        return np.where(self.random.random((group.count, rows)) < rates, NULL, PRESENT).astype(np.uint8)

    def _texts(self, group: Category, drawn: Drawn, rows: int, change: Change | None) -> None:
        shares = group.shares or zipf(group.categories)
        for k in range(group.count):
            own = shares
            if k == 0 and change is not None and change.kind == "share":
                own = with_share(shares, change.amount)
            if k == 0 and change is not None and change.kind == "swell":
                own = with_swollen(shares, change.amount)
            if isinstance(group, Bursty):
                own = in_bursts(own, group.variation, self.random)
            found = np.searchsorted(_bounds(own), self.random.random(rows), side="right")
            drawn.texts[f"{group.name}_{k:03d}"] = _as_texts(np.minimum(found, len(own) - 1), len(own))

    def _segment(self, rows: int) -> Texts:
        names = tuple(f"region_{k}" for k in range(self._world.segments))
        return Texts(names, self.random.integers(0, len(names), rows).astype(np.int32))


def changed(random: np.random.Generator, values: Floats, change: Change) -> Floats:
    """A normal column after the change; kinds that are of another sort leave it as it is."""
    if change.kind == "shift":
        return values + change.amount
    if change.kind == "scale":
        return values * change.amount
    if change.kind == "tails":
        return np.asarray(random.standard_t(TAIL_DF, len(values)) / np.sqrt(TAIL_DF / (TAIL_DF - 2.0)))
    return values


def embedding(random: np.random.Generator, size: int, rows: int, change: Change | None) -> np.ndarray:
    """float32 (rows, size). rotate: the first entries are turned among themselves by a fixed random rotation."""
    rank = np.arange(1, size + 1)
    values = random.standard_normal((rows, size)) / np.sqrt(rank) + 1.0 / np.sqrt(rank)
    if change is not None and change.kind == "rotate":
        turned = max(2, round(change.amount * size))
        chosen = np.random.default_rng(7).permutation(size)[:turned]
        values[:, chosen] = values[:, chosen] @ _rotation(turned)
    return np.asarray(values, dtype=np.float32)


@cache
def _rotation(size: int) -> np.ndarray:
    found, upper = np.linalg.qr(np.random.default_rng(size).standard_normal((size, size)))
    return np.asarray(found * np.sign(np.diag(upper)))  # Haar: Mezzadri 2007


@cache
def _loadings(count: int, factors: int) -> np.ndarray:
    """float64 (count, factors): rows of length 1 in directions drawn once for all."""
    found = np.random.default_rng(factors).standard_normal((count, factors))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


@cache
def zipf(categories: int) -> tuple[float, ...]:
    """Shares falling as 1 / rank."""
    shares = 1.0 / np.arange(1, categories + 1)
    return tuple((shares / shares.sum()).tolist())


def with_share(shares: tuple[float, ...], share: float) -> tuple[float, ...]:
    """The first category at this share, the others giving or taking in proportion."""
    rest = (1.0 - share) / (1.0 - shares[0])
    return (share, *(s * rest for s in shares[1:]))


def with_swollen(shares: tuple[float, ...], share: float) -> tuple[float, ...]:
    """The last category at this share, the rare ones losing what it gains in proportion."""
    rare = sum(s for s in shares[:-1] if s < RARE)
    left = 1.0 - (share - shares[-1]) / rare
    return (*(s * left if s < RARE else s for s in shares[:-1]), share)


def in_bursts(shares: tuple[float, ...], variation: float, random: np.random.Generator) -> tuple[float, ...]:
    """Rare categories with shares of this window alone."""
    own = np.array(shares)
    rare = own < RARE
    drawn = own[rare] * random.gamma(variation**-2, variation**2, int(rare.sum()))
    own[rare] = drawn * own[rare].sum() / drawn.sum()
    return tuple(own.tolist())


@lru_cache(maxsize=64)
def _bounds(shares: tuple[float, ...]) -> np.ndarray:
    return np.cumsum(shares)


@cache
def _dictionary(size: int) -> tuple[str, ...]:
    return tuple(f"category_{k:05d}" for k in range(size))


def _as_texts(codes: np.ndarray, categories: int) -> Texts:
    names = _dictionary(categories)
    if categories <= WHOLE_DICTIONARY:
        return Texts(names, codes.astype(np.int32))
    there, own = np.unique(codes, return_inverse=True)
    return Texts([names[k] for k in there.tolist()], own.astype(np.int32))


def _discrete(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    values = np.empty(shape)
    values[0::3] = random.poisson(3.0, values[0::3].shape)
    values[1::3] = random.random(values[1::3].shape) < 0.1
    values[2::3] = np.round(random.standard_normal(values[2::3].shape), 1)
    return values
