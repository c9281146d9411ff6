"""Who is watched, and by what: series, their references, judges and latency baselines."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from agent import latency
from agent.bins import Layout
from agent.config import Settings
from agent.counting.segments import Budget
from agent.counting.windows import Series
from agent.errors import ConfigurationError, SidelightError, UnusableReferenceError
from agent.estimate import SECTIONS as ESTIMATED_FROM
from agent.evaluate import Judge
from agent.followers import Followers
from agent.following import About
from agent.latency import LatencyBaseline
from agent.ledger import RUNNING, Dial, Ledger
from agent.records import Batch, Closed, Finding, ModelKey, Task
from agent.reference import locate
from agent.reference.applied import applied
from agent.reference.learn import Learner, blank
from agent.reference.profile import Reference
from agent.reference.schemas import Schemas
from agent.version import VERSION
from agent.volume.duplicates import Repeats
from agent.volume.past import Counted
from agent.volume.traffic import Traffic, explained

DEFAULT_WINDOW_SECONDS = 3600.0
LOOK_SECONDS = 15.0  # how long counting waits for a reference to be read
AGAIN_SECONDS = 60.0  # between two tries for a reference that could not be read
UNUSABLE = "unusable: "
NOT_APPLIED = "; of the schema not applied: "
LABELLED = ("performance", "concept_drift")  # checks that need truths
ESTIMATED = ("estimated_performance",)  # what needs a reference that was built with truths
FAIRNESS = ("fairness",)
log = logging.getLogger("sidelight.watching")


@dataclass(slots=True)
class Watch:
    """One series and what watches it.

    findings: of the newest closed window; followers: of its predictions and labels; shared: of those of all versions;
    tried_ns: when a reference was last sought. repeats: what came twice.
    rests: another version took over. traffic: of the model, shared by its versions.
    versions: of the model, that are in use and share its dial.
    """

    series: Series
    judge: Judge | None = None
    baseline: LatencyBaseline | None = None
    findings: tuple[Finding, ...] = ()
    retired: bool = False
    tried_ns: int = 0
    rests: bool = False
    versions: int = 1
    repeats: Repeats = field(default_factory=Repeats)
    followers: Followers = field(default_factory=Followers)
    shared: Followers = field(default_factory=Followers.shared)
    traffic: Traffic = field(init=False)
    _slow: tuple[LatencyBaseline | None, float] = field(default=(None, math.inf), repr=False)

    def __post_init__(self) -> None:
        self.traffic = Traffic.of(self.series.window_ns)
        self.series.told = self._predicted

    @property
    def key(self) -> ModelKey:
        return self.series.key

    def slow_seconds(self, settings: Settings) -> float:
        """Above this a prediction is slow: the objective, or else the p99 that is usual; infinity: not known."""
        if settings.latency_objective_seconds:
            return settings.latency_objective_seconds
        if self._slow[0] is not self.baseline:
            usual = self.baseline is not None and self.baseline.ready
            self._slow = (self.baseline, latency.usual_p99(self.baseline) if usual and self.baseline else math.inf)
        return self._slow[1]

    def _predicted(self, batch: Batch, index: int) -> None:
        self.followers.predicted(batch, index)
        self.shared.predicted(batch, index)

    @property
    def labelled(self) -> bool:
        """Whether truths were ever sent for this version: what is judged by them then has its share of the dial."""
        return self.series.counters["labels"] > 0 or self.series.counters["joined"] > 0

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
        """What came twice to this version, and, where it tells of the model, how much came to all its versions."""
        self.rests = False
        repeated = self.repeats.close(closed, self._alpha(settings, "duplicates"))
        found, same, traffic = [] if repeated is None else [repeated], self._same(others), self.traffic
        teller = next((other for other in same if other.key.version == traffic.teller and not other.rests), None)
        rows, of_teller = self.rows(closed.index), None if teller is None else teller.rows(closed.index)
        total = rows + sum(other.rows(closed.index) for other in same)
        # Told already; or only what was sent afterwards; or a clock that went back.
        if not traffic.tells(self.key.version, rows, of_teller) or closed.index <= traffic.last or total <= 0:
            return found
        event_time, alpha = settings.time == "event", self._alpha(settings, "volume", versions=1)
        traffic.lend(self.series.reference)
        seconds = 0.0 if event_time and traffic.last < 0 else self._covered(closed.index, same, event_time)
        for index in traffic.unseen(closed.index):  # told by nobody: of others, or by event time silence that is over
            held = sum(watch.rows(index) for watch in (self, *same))
            traffic.close(Counted(index, max(held, 0), self._covered(index, same, event_time)), alpha)
        volume = traffic.close(Counted(closed.index, total, seconds), alpha)
        return [*found, explained(volume, repeated, rows, seconds)]

    def judge_silence(self, settings: Settings, now_ns: int, others: Sequence[Watch]) -> list[Finding]:
        """What to say of windows that are over, in which no version had a record, by arrival time."""
        if self.retired or self.rests or self.traffic.teller != self.key.version:
            return []
        self.traffic.lend(self.series.reference)
        same, alpha = self._same(others), self._alpha(settings, "volume", versions=1)
        held = lambda index: sum(watch.rows(index) for watch in (self, *same))  # noqa: E731
        covered = lambda index: self._covered(index, same, False)  # noqa: E731
        return list(self.traffic.silent(now_ns // self.series.window_ns, held, covered, alpha))

    def rows(self, index: int) -> int:
        """Records of one window, as far as it is still held; those sent afterwards do not count."""
        series = self.series
        held = series.open.get(index) or next((closed for closed in series.recent if closed.index == index), None)
        return 0 if held is None else held.rows - held.backlog

    def _same(self, others: Sequence[Watch]) -> list[Watch]:
        """The other versions whose traffic is counted together with this one's."""
        return [other for other in others if other.traffic is self.traffic and not other.retired]

    def _covered(self, index: int, same: Sequence[Watch], event_time: bool) -> float:
        """Seconds in which the agent watched the model: as long as it did any version. By event time all of them."""
        if event_time:
            return self.series.window_ns / 1e9
        return max(watch.series.covered_seconds(index) for watch in (self, *same))

    def _alpha(self, settings: Settings, check: str, versions: int = 0) -> float:
        """What one test of the whole model's window may use. versions: that make such a test; 0: all in use."""
        dial = Dial(settings.false_alarms_per_day, settings.replicas, versions or self.versions)
        return Ledger.of(dial, Layout(()), self.series.window_ns / 1e9).alpha(check, 0)


class Watching:
    """All watches by model version. Owned by the pipeline."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigurationError for a schema file that cannot be used."""
        self._settings = settings
        try:
            self._schemas = Schemas.at(settings.schema)
        except UnusableReferenceError as error:
            raise ConfigurationError("SIDELIGHT_SCHEMA", settings.schema, f"a schema file ({error})") from None
        self._budget = Budget(settings.cells_max)
        self._all: dict[ModelKey, Watch] = {}
        self._traffic: dict[tuple[ModelKey, int], Traffic] = {}
        self.shared: dict[str, Followers] = {}  # by the model's name
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
        """With the traffic of the other versions, as long as any is remembered."""
        self._all[watch.key] = watch
        watch.shared = self.shared.setdefault(watch.key.name, watch.shared)
        watch.traffic = self._traffic.setdefault(_whole(watch), watch.traffic)

    def traffic(self) -> dict[tuple[ModelKey, int], Traffic]:
        """Of every model and length of windows; the key's version is empty."""
        return self._traffic

    def know(self, whole: tuple[ModelKey, int], traffic: Traffic) -> None:
        """What a checkpoint holds of a model."""
        self._traffic[whole] = traffic
        for watch in self._all.values():
            if _whole(watch) == whole:
                watch.traffic = traffic

    def others(self, watch: Watch) -> list[Watch]:
        """The other versions of the same model."""
        return [other for other in self if other.key.name == watch.key.name and other is not watch]

    def window_ns(self, key: ModelKey) -> int:
        """The length of this model's windows, as far as known."""
        watch = self._all.get(key)
        if watch is not None:
            return watch.series.window_ns
        return int(self._window_seconds(key, None) * 1e9)

    def _window_seconds(self, key: ModelKey, reference: Reference | None) -> float:
        own = reference.layout.window_seconds if reference else self._schemas.of(key.name).window_seconds
        return self._settings.window_seconds or own or DEFAULT_WINDOW_SECONDS

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
            series.adopt(*self._as_said(watch.key, reference, note))
            await self.prepare(watch)

    async def prepare(self, watch: Watch) -> None:
        """Makes the judge ready, in a thread."""
        reference = watch.series.reference
        watch.versions = 1 + sum(not other.retired for other in self.others(watch))
        if reference is not None:
            dial = Dial(self._settings.false_alarms_per_day, self._settings.replicas, watch.versions)
            rule, seconds = self._settings.drift_rule, watch.series.window_ns / 1e9
            watch.judge = await asyncio.to_thread(Judge, reference, dial, seconds, rule, self._further(watch))
        self.tell(watch)

    def tell(self, watch: Watch) -> None:
        """Tells the followers what is known of their version now."""
        series, settings = watch.series, self._settings
        dial = Dial(settings.false_alarms_per_day, settings.replicas, watch.versions)
        checks = (*RUNNING, *self._further(watch))
        own = Ledger.of(dial, Layout(()), series.window_ns / 1e9, checks)
        others = tuple(other.key for other in self.others(watch) if not other.retired)
        about = About(
            series.key, settings, own if watch.judge is None else watch.judge.ledger, series.window_ns,
            series.reference, series.task, series.positive_label, series.threshold, series.trained_at_ns, others,
        )  # fmt: skip
        watch.followers.prepare(about)
        watch.shared.prepare(about)

    def _further(self, watch: Watch) -> tuple[str, ...]:
        """Checks that not every version has, by what it is given."""
        reference = watch.series.reference
        estimated = reference is not None and any(reference.section(key) for key in ESTIMATED_FROM)
        fairness = FAIRNESS if self._settings.fairness else ()
        return (*(LABELLED if watch.labelled else ()), *(ESTIMATED if estimated else ()), *fairness)

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
        if gone:
            left = {_whole(watch) for watch in self._all.values()}
            self._traffic = {whole: traffic for whole, traffic in self._traffic.items() if whole in left}
            self.shared = {name: one for name, one in self.shared.items() if name in {key.name for key in self._all}}
        return gone

    def make(self, key: ModelKey, reference: Reference | None, note: str) -> Series:
        """An empty series; with a learner where there is no reference."""
        settings, schema, learner = self._settings, self._schemas.of(key.name), None
        seconds = self._window_seconds(key, reference)
        if reference is None:
            made_by = f"sidelight-agent {VERSION}"
            head = blank(key.name, key.version, seconds, made_by, schema.task, schema.positive_label)
            head = replace(head, protected=schema.protected)
            learner = Learner(head, settings.learn_rows, settings.learn_windows, settings.segments, schema)
        else:
            reference, note = self._as_said(key, reference, note)
        series = Series(key, int(seconds * 1e9), reference, learner, settings.segments, budget=self._budget)
        series.reference_note = note
        if learner is not None:  # what is known before the first label
            series.task, series.positive_label = Task(schema.task), schema.positive_label
        return series

    def _as_said(self, key: ModelKey, reference: Reference, note: str) -> tuple[Reference, str]:
        """With the user's schema over it, and a word where not all of that was possible."""
        found, refused = applied(reference, self._schemas.of(key.name))
        for one in refused:
            log.warning("schema_not_applied model=%r version=%r %s", key.name, key.version, one)
        plain = note.partition(NOT_APPLIED)[0]
        return found, f"{plain}{NOT_APPLIED}{refused[0]}" if refused else plain

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


def _whole(watch: Watch) -> tuple[ModelKey, int]:
    """The model with all its versions whose windows are as long."""
    return replace(watch.key, version=""), watch.series.window_ns
