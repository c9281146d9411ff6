"""Who is watched, and by what: series, their references, judges and latency baselines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from agent.bins import Layout
from agent.config import Settings
from agent.counted_segments import Budget
from agent.errors import SidelightError
from agent.evaluate import Judge
from agent.ledger import Dial, Ledger
from agent.performance import latency
from agent.performance.latency import LatencyBaseline
from agent.records import Closed, Finding, ModelKey
from agent.reference import locate
from agent.reference.learn import Learner, blank
from agent.reference.profile import Reference
from agent.version import VERSION
from agent.volume.traffic import Alphas, Beside, Traffic
from agent.windows import Series

DEFAULT_WINDOW_SECONDS = 3600.0
LOOK_SECONDS = 15.0  # how long counting waits for a reference to be read
AGAIN_SECONDS = 60.0  # between two tries for a reference that could not be read
UNUSABLE = "unusable: "
NEVER, RESTS = -1, 1 << 62  # in place of a window's index
SWITCH_WINDOWS = 2  # after a version is back, the others may still send a little
log = logging.getLogger("sidelight.watching")


@dataclass(slots=True)
class Watch:
    """One series and what watches it.

    findings: of the newest closed window; tried_ns: when a reference was last sought; traffic: its past and how much.
    back_in: the window in which it came back after another version had taken over; NEVER, or RESTS while it does.
    versions: of the model, that are in use and share its dial.
    """

    series: Series
    judge: Judge | None = None
    baseline: LatencyBaseline | None = None
    findings: tuple[Finding, ...] = ()
    retired: bool = False
    tried_ns: int = 0
    back_in: int = NEVER
    versions: int = 1
    traffic: Traffic = field(init=False)

    def __post_init__(self) -> None:
        self.traffic = Traffic.of(self.series.window_ns)

    @property
    def key(self) -> ModelKey:
        return self.series.key

    def judge_latency(self, settings: Settings, index: int) -> list[Finding]:
        """The service's own past is its reference: no training data knows how fast the server is."""
        recent = [closed.latency for closed in self.series.recent]
        if self.baseline is None and not recent[-1].any():
            return []  # a sender that never gave a latency
        alpha = self._alpha(settings, "latency")
        if settings.latency_objective_seconds:
            alpha /= 2  # an objective is a second test of the same window
        baseline = self.baseline or LatencyBaseline()
        finding = latency.judge(recent, baseline, alpha, index)
        objective = latency.judge_objective(recent, settings.latency_objective_seconds, alpha, index)
        self.baseline = baseline if finding.alarms else baseline.learn(recent[-1])
        return [finding] if objective is None else [finding, objective]

    def judge_traffic(self, settings: Settings, closed: Closed, others: Sequence[Watch]) -> list[Finding]:
        """How much came, and whether it came before; empty windows since the last one are learned from first."""
        alphas, series, event_time = self._alphas(settings), self.series, settings.time == "event"
        rested = self.back_in == RESTS  # by event time: by arrival `wakes` has seen it
        if event_time and (self.traffic.volume.past.last < 0 or rested):
            closed = replace(closed, covered_seconds=0.0)  # history may begin in the midst of a window
        if rested:
            self.back_in = closed.index
        whole = (lambda _: 0.0 if rested else series.window_ns / 1e9) if event_time else series.covered_seconds
        for _ in self.traffic.silent(closed.index, whole, alphas):
            pass  # by event time silence is over before it is seen; by arrival a tick has said it
        return self.traffic.close(closed, alphas, self._beside(closed, others))

    def judge_silence(self, settings: Settings, now_ns: int) -> list[Finding]:
        """What to say of windows that are over and had no record, by arrival time. Nothing of a version that rests."""
        series = self.series
        if self.retired or self.back_in == RESTS or not series.recent:
            return []
        alphas = self._alphas(settings)
        return list(self.traffic.silent(now_ns // series.window_ns, series.covered_seconds, alphas))

    def wakes(self, arrived_ns: int) -> None:
        """Records come again, by arrival time, after another version had taken over: until now nobody looked for any,
        and of the window in which they began none is usual."""
        if self.back_in == RESTS:
            self.back_in = arrived_ns // self.series.window_ns
            self.series.lost(self.series.newest_ns, (self.back_in + 1) * self.series.window_ns)

    def _alpha(self, settings: Settings, check: str) -> float:
        """What one test of the whole model's window may use."""
        dial = Dial(settings.false_alarms_per_day, settings.replicas, self.versions)
        return Ledger.of(dial, Layout(()), self.series.window_ns / 1e9).alpha(check, 0)

    def _alphas(self, settings: Settings) -> Alphas:
        return Alphas(self._alpha(settings, "volume"), self._alpha(settings, "duplicates"))

    def _beside(self, closed: Closed, others: Sequence[Watch]) -> Beside:
        """The model's other versions in this window."""
        rows, usual, rested = 0.0, 0.0, []
        for other in others:
            series, same = other.series, replace(other.key, version=self.key.version) == self.key
            if not same or other.retired or series.window_ns != self.series.window_ns:
                continue
            held = series.open.get(closed.index) or next((c for c in series.recent if c.index == closed.index), None)
            rows += held.rows if held is not None else 0
            expected = other.traffic.volume.expected_rows(closed.index, closed.covered_seconds)
            if other.back_in != NEVER and closed.index - other.back_in <= SWITCH_WINDOWS:
                rested.append(expected)
            else:
                usual += expected
        return Beside(rows, usual, tuple(rested))


class Watching:
    """All watches by model version. Owned by the pipeline."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._budget = Budget(settings.cells_max)
        self._all: dict[ModelKey, Watch] = {}
        self.retires: Callable[[ModelKey], None] = lambda _: None  # told of every version that retires
        self.forgets: Callable[[ModelKey], None] = lambda _: None  # and of every one that is forgotten

    def __iter__(self) -> Iterator[Watch]:
        """The oldest first: in the same order after a restart, for one version's close may end another's alerts."""
        return iter(sorted(self._all.values(), key=lambda watch: (watch.series.started_ns, watch.key)))

    def __len__(self) -> int:
        return len(self._all)

    def get(self, key: ModelKey) -> Watch | None:
        return self._all.get(key)

    def add(self, watch: Watch) -> None:
        self._all[watch.key] = watch

    def others(self, watch: Watch) -> list[Watch]:
        """The other versions of the same model."""
        return [other for other in self if other.key.name == watch.key.name and other is not watch]

    def window_ns(self, key: ModelKey) -> int:
        """The length of this model's windows, as far as known."""
        watch = self._all.get(key)
        if watch is not None:
            return watch.series.window_ns
        return int((self._settings.window_seconds or DEFAULT_WINDOW_SECONDS) * 1e9)

    async def begin(self, key: ModelKey, now_ns: int) -> Watch:
        """Starts watching a version. A reference that does not come in time is sought again later."""
        reference, note = await self._look(key)
        watch = Watch(self.make(key, reference, note), tried_ns=now_ns)
        watch.series.started_ns = watch.series.bins_since_ns = now_ns
        self.add(watch)
        for one in (watch, *self.others(watch)):  # the dial is the model's: versions that live side by side share it
            if not one.retired:
                await self.prepare(one)
        log.info("model_seen model=%r version=%r reference=%s", key.name, key.version, note)
        return watch

    async def look_again(self, watch: Watch, now_ns: int) -> None:
        """A given reference that could not be read: tried again now and then, while the agent learns one."""
        series = watch.series
        waiting = series.learner is not None and series.reference_note.startswith(UNUSABLE)
        if not waiting or now_ns - watch.tried_ns < AGAIN_SECONDS * 1e9:
            return
        watch.tried_ns = now_ns
        reference, note = await self._look(watch.key)
        series.reference_note = note
        if reference is not None:
            series.adopt(reference, note)
            await self.prepare(watch)

    async def prepare(self, watch: Watch) -> None:
        """Makes the judge ready, in a thread."""
        reference = watch.series.reference
        watch.versions = 1 + sum(not other.retired for other in self.others(watch))
        if reference is not None:
            dial = Dial(self._settings.false_alarms_per_day, self._settings.replicas, watch.versions)
            rule, seconds = self._settings.drift_rule, watch.series.window_ns / 1e9
            watch.judge = await asyncio.to_thread(Judge, reference, dial, seconds, rule)

    async def learned(self, watch: Watch) -> None:
        """Adopts the reference that was learned from traffic, once there is one."""
        learner = watch.series.learner
        if learner is not None and learner.ready is not None:
            reference = learner.ready
            watch.series.adopt(reference, reference.origin)
            await self.prepare(watch)
            log.info(
                "reference_learned model=%r version=%r hash=%s", watch.key.name, watch.key.version, reference.hash_text
            )

    def retire(self, now_ns: int) -> list[Watch]:
        """Versions silent for long give back their memory; these are returned."""
        silent = [
            watch
            for watch in self._all.values()
            if not watch.retired and 0 < watch.series.last_seen_ns < now_ns - self._settings.retire_seconds * 1e9
        ]
        for watch in silent:
            watch.series.retire()
            watch.judge, watch.findings, watch.retired = None, (), True
            self.retires(watch.key)
            log.info("model_retired model=%r version=%r", watch.key.name, watch.key.version)
        return silent

    def forget(self) -> list[ModelKey]:
        """Of the retired, only as many are remembered as may be watched; the others' keys are returned."""
        retired = sorted((w for w in self._all.values() if w.retired), key=lambda w: w.series.last_seen_ns)
        gone = [watch.key for watch in retired[: max(0, len(retired) - self._settings.models_max)]]
        for key in gone:
            del self._all[key]
            self.forgets(key)
        return gone

    def make(self, key: ModelKey, reference: Reference | None, note: str) -> Series:
        """An empty series; with a learner where there is no reference."""
        own = reference.layout.window_seconds if reference else 0
        seconds = self._settings.window_seconds or own or DEFAULT_WINDOW_SECONDS
        learner = None
        if reference is None:
            head = blank(key.name, key.version, seconds, made_by=f"sidelight-agent {VERSION}")
            learner = Learner(head, self._settings.learn_rows, self._settings.learn_windows, self._settings.segments)
        series = Series(key, int(seconds * 1e9), reference, learner, self._settings.segments, budget=self._budget)
        series.reference_note = note
        return series

    def choose(self, key: ModelKey) -> tuple[Reference | None, str]:
        """The reference for this version, and a word on where it is from. Blocking: files and URLs are read."""
        location = self._settings.reference
        if location:
            try:
                found = locate.find(location, key.name, key.version) or locate.newest(location, key.name)
            except (SidelightError, OSError) as error:
                log.warning("reference_unusable model=%r version=%r error=%s", key.name, key.version, error)
                return None, f"{UNUSABLE}{error}"
            if found is not None:
                return found, "given" if found.version == key.version else f"borrowed from version {found.version}"
        for other in self:
            if other.key.name == key.name and other.series.reference is not None:
                return other.series.reference, f"borrowed from version {other.key.version}"
        return None, "none given: learning from traffic"

    async def _look(self, key: ModelKey) -> tuple[Reference | None, str]:
        try:
            return await asyncio.wait_for(asyncio.to_thread(self.choose, key), LOOK_SECONDS)
        except TimeoutError:
            log.warning(
                "reference_unusable model=%r version=%r error=no answer in %g s", key.name, key.version, LOOK_SECONDS
            )
            return None, f"{UNUSABLE}no answer within {LOOK_SECONDS:g} s"
