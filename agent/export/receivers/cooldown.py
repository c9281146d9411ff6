"""A trigger fires once a cause, and after it not again for the same model for a while."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.errors import CorruptError
from agent.export.receivers.receiver import PASS, TAKE
from agent.records import Event

CURABLE = "sidelight.alert.retrain"
UPDATED = ".updated"
COOLING = "cooldown"
MODELS_MAX = 1_000


@dataclass(slots=True)
class Cooldown:
    """When each model was last triggered for (wall clock, ns). seconds: how long that holds."""

    seconds: float
    last: dict[str, int] = field(default_factory=dict)

    def when(self, event: Event, now_ns: int) -> str:
        """TAKE, and it counts as triggered; PASS: no cause for it; else why not now.

        What joins an alert later is a cause only if nothing was triggered since that alert began. The distance counts,
        not the order: a clock set back must not lengthen the pause without bound.
        """
        if not event.attributes.get(CURABLE):
            return PASS
        model, cooling = self._model(event.attributes), self.seconds * 1e9
        last = self.last.get(model)
        began = int(event.attributes.get("sidelight.alert.start_unix_nano", 0))
        if last is not None and event.name.endswith(UPDATED) and began <= last:
            return PASS
        if last is not None and abs(now_ns - last) < cooling:
            return COOLING
        newest = sorted(((at, name) for name, at in self.last.items() if name != model), reverse=True)[:MODELS_MAX]
        self.last = {name: at for at, name in newest} | {model: now_ns}
        return TAKE

    def pack(self) -> bytes:
        return json.dumps(self.last, sort_keys=True).encode()

    def unpack(self, packed: bytes) -> None:
        """Raises CorruptError for what `pack` did not write."""
        try:
            self.last = {str(model): int(at) for model, at in json.loads(packed).items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise CorruptError(f"cool-downs: {type(error).__name__}") from error

    @staticmethod
    def _model(attributes: Mapping[str, object]) -> str:
        """Its versions share one training."""
        return f"{attributes.get('sidelight.tenant', '')}/{attributes.get('sidelight.model.name', '')}"
