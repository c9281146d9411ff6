"""Which versions are compared where a model has more than are held: the champion, and of the others the newest.

New is what was first seen last: whom a newer one pushed out stays older than it, so what comes of it pushes out nobody,
and what is compared goes on being compared.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from itertools import chain

from agent.records import ModelKey, Role
from agent.shadow.comparing import State, Version

VERSIONS_MAX = 4
HOUR_NS = 3_600_000_000_000
SILENT_NS = 26 * HOUR_NS  # then a version makes room for an older one: a shadow that answers once a night does not
SILENT_WINDOWS = 2  # at least
TRAFFIC_AHEAD = 1.2  # times the champion's: even halves change no champion
log = logging.getLogger("sidelight.shadow")


def version_of(state: State, key: ModelKey, index: int, window_ns: int) -> Version:
    """The version of this key; a new one, too. index: the window it is met in."""
    found = next((one for one in chain(state.versions, state.left_out) if one.key == key), None)
    if found is None:
        found = Version(key, state.places, compared=False)
        state.places += 1
        state.left_out.append(found)
        choose(state, index, window_ns)
        if not found.compared:
            _say(state, found)
    return found


def crown(state: State) -> None:
    """Of each tenant's primaries, compared or not, the one with most traffic."""
    before, state.champions = state.champions, {}
    primaries = [one for one in chain(state.versions, state.left_out) if one.key.role is Role.PRIMARY]
    for tenant in sorted({one.key.tenant for one in primaries}):
        own = [one for one in primaries if one.key.tenant == tenant]
        most, now = max(own, key=lambda one: (one.traffic, -one.place)), before.get(tenant)
        stays = now is not None and now in own and most.traffic <= TRAFFIC_AHEAD * now.traffic
        state.champions[tenant] = now if stays and now is not None else most


def choose(state: State, index: int, window_ns: int) -> None:
    """Sees to it that those are compared who should be; of whom this leaves out, it is said once."""
    taken = _taken(state, index - max(SILENT_WINDOWS, math.ceil(SILENT_NS / window_ns)))
    leave = [one for one in state.versions if one not in taken]
    enter = [one for one in state.left_out if one in taken]
    for version in leave:
        state.drop(version)
    for version in enter:
        version.compared = True
    state.versions = sorted([*state.versions, *enter], key=lambda one: one.place)
    state.left_out = [one for one in state.left_out if not one.compared]
    for one in leave:
        if one.in_use:  # without its sums: should it come back, it begins anew
            out = Version(one.key, one.place, one.rows, one.traffic, one.seen, compared=False)
            state.left_out.append(out)
            _say(state, out)
    state.champions = {tenant: champion for tenant, champion in state.champions.items() if champion.compared}


def _taken(state: State, silent_until: int) -> list[Version]:
    """Challengers, newest first, each with its champion; then whoever has nobody to be compared with. Those gone come
    last."""

    def gone(one: Version) -> bool:
        return not one.in_use or 0 <= one.seen < silent_until

    known = [*state.versions, *state.left_out]
    champions = {one.key.tenant: one for one in _first_primaries(known)} | state.champions
    challengers = [one for one in known if champions.get(one.key.tenant, one) is not one]
    taken: list[Version] = []
    for challenger in sorted(challengers, key=lambda one: (gone(one), -one.place)):
        pair = (champions[challenger.key.tenant], challenger)
        more = [one for one in pair if one not in taken]
        if len(taken) + len(more) <= VERSIONS_MAX:
            taken += more
    rest = sorted((one for one in known if one not in taken), key=lambda one: (gone(one), not one.compared, -one.place))
    return [*taken, *rest[: VERSIONS_MAX - len(taken)]]


def _first_primaries(known: Sequence[Version]) -> list[Version]:
    """Oldest last."""
    return sorted((one for one in known if one.key.role is Role.PRIMARY), key=lambda one: -one.place)


def _say(state: State, version: Version) -> None:
    if version not in state.missed():
        return
    compared = [one.key.version for one in state.versions]
    log.warning(
        "version_not_compared model=%r version=%r compared=%s most=%d",
        version.key.name, version.key.version, compared, VERSIONS_MAX,
    )  # fmt: skip
