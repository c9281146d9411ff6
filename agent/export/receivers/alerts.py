"""Everything that alerts need besides the log: rows for each receiver, a lane for each Alertmanager."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from agent.clock import Clock
from agent.config import Settings
from agent.export import spool
from agent.export.accounts import Tally
from agent.export.delivery import Chance
from agent.export.destination import Destination, Nowhere
from agent.export.receivers.alertmanager import Replica, replicas
from agent.export.receivers.configured import receivers
from agent.export.receivers.cooldown import Cooldown
from agent.export.receivers.receiver import PASS, TAKE, Receiver, Speaker
from agent.export.receivers.resending import Resending, Saying
from agent.export.spool import SpoolRow
from agent.records import Event
from agent.state import get

ALERT_EVENTS = "sidelight.alert"
"""Events of this name or below it are alerts."""
COOLDOWN_BLOB = "retrain"


def is_alert(event: Event) -> bool:
    return event.name == ALERT_EVENTS or event.name.startswith(f"{ALERT_EVENTS}.")

Way = Destination | Receiver | Replica | Nowhere


class Alerts:
    """Built in two steps, since the books want every signal first: then `tell`. `watch` gives it what fires."""

    def __init__(self, settings: Settings, resource: Resource) -> None:
        self._settings, self._speaker = settings, Speaker.of(resource)
        self._cooldown = Cooldown(settings.retrain_cooldown_seconds)
        found = receivers(settings, self._speaker, self._cooldown)
        self._receivers = [each for each in found.values() if isinstance(each, Receiver)]
        self._replicas = {each.signal: each for each in replicas(settings)}
        self._firing: Callable[[], Sequence[Event]] = tuple
        self._tallies: Mapping[str, Tally] = {}
        self.ways: dict[str, Way] = {**found, **self._replicas}
        self.resending: list[Resending] = []

    def tell(self, tallies: Mapping[str, Tally], clock: Clock, chance: Chance) -> None:
        """The books, and a lane for each Alertmanager."""
        self._tallies = tallies
        interval = self._settings.alertmanager_seconds
        saying = Saying(self._now, self._speaker, self._settings.runbook_url, interval)
        self.resending = [
            Resending(replica, saying, tallies[signal], clock, chance) for signal, replica in self._replicas.items()
        ]

    def watch(self, firing: Callable[[], Sequence[Event]]) -> None:
        self._firing = firing

    def _now(self) -> Sequence[Event]:
        return self._firing()

    def recall(self, db: sqlite3.Connection) -> None:
        """Loads what was triggered in earlier lives. Raises CorruptError, and then begins anew."""
        packed = get(db, COOLDOWN_BLOB)
        if packed is not None:
            self._cooldown.unpack(packed)

    def rows(self, event: Event, now_ns: int) -> list[SpoolRow]:
        """A row for each receiver that this event is for; what is held back is counted."""
        if not is_alert(event):
            return []
        for lane in self.resending:
            lane.wake()  # it looks once the alert is in the book
        rows = []
        for receiver in self._receivers:
            reason = receiver.when(event, now_ns)
            if reason == TAKE:
                note = (COOLDOWN_BLOB, self._cooldown.pack()) if receiver.signal == spool.RETRAIN else None
                key, body = f"{event.key}/{receiver.signal}", receiver.body(event)
                rows.append(SpoolRow(key, receiver.signal, 1, now_ns, body, note))
            elif reason != PASS:
                self._tallies[receiver.signal].withhold(reason)
        return rows


def way_shown(way: Way) -> str:
    """Where a signal goes, without anything secret; or why nowhere."""
    return way.reason if isinstance(way, Nowhere) else way.shown
