"""What one checkpoint writes: only what changed since the last one that reached the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field

import xxhash

from agent.checkpoint.meta import closed_key, model_id, series_id, shared_id
from agent.checkpoint.series import dump
from agent.checkpoint.windows import dump_closed
from agent.counting.windows import Series
from agent.followers import Followers
from agent.records import Closed, ModelKey
from agent.reference import file as reference_file
from agent.state import delete, keys, put
from agent.volume.duplicates import Repeats
from agent.volume.traffic import Traffic


@dataclass(slots=True)
class Plan:
    """One checkpoint's writing. kept: by series, the closed windows that stay; gone: series that are forgotten.
    models, shared: whose traffic is still known, who is still followed as a whole; None: all."""

    puts: list[tuple[str, bytes]] = field(default_factory=list)
    models: set[str] | None = None
    shared: set[str] | None = None
    kept: dict[str, set[str]] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.puts or self.kept or self.gone)

    def write(self, db: sqlite3.Connection) -> None:
        """In the caller's transaction. What is to be deleted is read off the store itself: nothing is left behind."""
        for name in self.gone:
            several = [*keys(db, f"closed/{name}/"), *keys(db, f"follower/{name}/")]
            for key in (f"series/{name}", f"reference/{name}", f"repeats/{name}", *several):
                delete(db, key)
        if self.models is not None:
            for key in keys(db, "traffic/"):
                if key not in self.models:
                    delete(db, key)
        if self.shared is not None:
            for key in keys(db, "follower/all-"):
                if key.rpartition("/")[0] + "/" not in self.shared:
                    delete(db, key)
        for name, kept in self.kept.items():
            for key in keys(db, f"closed/{name}/"):
                if key not in kept:
                    delete(db, key)
        for key, body in self.puts:
            put(db, key, body)


class Checkpoint:
    """Turns what changed into blobs. Remembers what it wrote, so that only changes are written again."""

    def __init__(self) -> None:
        self._revisions: dict[str, int] = {}
        self._closed: dict[str, dict[int, int]] = {}  # series -> window -> checksum of what was written
        self._references: dict[str, int] = {}
        self._traffic: dict[str, int] = {}  # key of a model's traffic, or of a series' repeats -> revision
        self._followers: dict[str, dict[str, int]] = {}  # key of a series' followers -> name -> checksum
        self._gone: set[str] = set()

    def gone(self, name: str) -> None:
        """A series was forgotten: its blobs are deleted."""
        self._gone.add(name)
        for known in (self._revisions, self._closed, self._references):
            known.pop(name, None)
        for other in (f"repeats/{name}", f"follower/{name}/"):
            self._traffic.pop(other, None)
            self._followers.pop(other, None)

    def failed(self) -> None:
        """The last plan did not reach the store: everything is written again."""
        self._revisions.clear()
        self._references.clear()
        self._closed.clear()
        self._traffic.clear()
        self._followers.clear()

    def written(self, plan: Plan) -> None:
        """The plan is in the store."""
        self._gone -= set(plan.gone)

    def collect(self, one: Series, plan: Plan) -> None:
        """Adds a series to the plan. Cheap where nothing changed."""
        name = series_id(one.key)
        self._gone.discard(name)  # it is back before it was deleted
        if self._revisions.get(name) == one.revision:
            return
        self._revisions[name] = one.revision
        plan.puts.append((f"series/{name}", dump(one)))
        if one.reference is not None and self._references.get(name) != one.reference.hash:
            self._references[name] = one.reference.hash
            plan.puts.append((f"reference/{name}", reference_file.encode(one.reference)))
        before = self._closed.get(name, {})
        now = {closed.index: _changeable(closed) for closed in one.recent}
        plan.kept[name] = {closed_key(name, index) for index in now}
        plan.puts += [
            (closed_key(name, c.index), dump_closed(c)) for c in one.recent if before.get(c.index) != now[c.index]
        ]
        self._closed[name] = now

    def collect_repeats(self, key: ModelKey, repeats: Repeats, plan: Plan) -> None:
        """Adds what came twice to a series, where it changed."""
        self._collect(f"repeats/{series_id(key)}", repeats, plan)

    def collect_followers(self, key: ModelKey, followers: Followers, plan: Plan) -> None:
        """Adds what follows a series, where it changed."""
        self._collect_followers(f"follower/{series_id(key)}/", followers, plan)

    def collect_shared(self, known: Mapping[str, Followers], plan: Plan) -> None:
        """Adds what follows the models as wholes; that of others is deleted."""
        named = {f"follower/{shared_id(model)}/": followers for model, followers in known.items()}
        plan.shared = set(named)
        for name, followers in named.items():
            self._collect_followers(name, followers, plan)

    def _collect_followers(self, name: str, followers: Followers, plan: Plan) -> None:
        if self._traffic.get(name) == followers.revision:
            return
        self._traffic[name] = followers.revision
        blobs, before = followers.dump(), self._followers.get(name, {})
        now = {kind: xxhash.xxh3_64_intdigest(blob) for kind, blob in blobs.items()}
        # A prediction changes the revision of all, and the state of few.
        plan.puts += [(f"{name}{kind}", blob) for kind, blob in blobs.items() if before.get(kind) != now[kind]]
        self._followers[name] = {**before, **now}

    def collect_traffic(self, known: Mapping[tuple[ModelKey, int], Traffic], plan: Plan) -> None:
        """Adds what is known of the models' traffic, where it changed; that of others is deleted."""
        named = {f"traffic/{model_id(*whole)}": traffic for whole, traffic in known.items()}
        plan.models = set(named)
        for name, traffic in named.items():
            self._collect(name, traffic, plan)

    def _collect(self, name: str, changed: Repeats | Traffic, plan: Plan) -> None:
        if self._traffic.get(name) != changed.revision:
            self._traffic[name] = changed.revision
            plan.puts.append((name, changed.to_bytes()))

    def forgotten(self, plan: Plan) -> None:
        """Adds the series that are gone."""
        plan.gone += self._gone


def _changeable(closed: Closed) -> int:
    """Checksum of what may yet change in a closed window: cells that are forgotten, segments that are let go."""
    digest = xxhash.xxh3_64(closed.counts.tobytes())
    for name, counts in closed.segments.items():
        digest.update(name.encode())
        digest.update(counts.tobytes())
    return digest.intdigest()
