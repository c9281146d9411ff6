"""The runner: deadlines, judgements, points, status; and the law that catalogue and collectors name the same metrics"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from agent.clock import TurnedClock
from agent.collecting import READINGS_MAX, Collecting
from agent.telemetry import CATALOGUE, Point, Shape
from collectors import COLLECTORS, Host, Reading, Unavailable, build
from tests.collectors.fakes import NODE, FakeNvml, device, serving

FULL = Host(NODE / "proc", NODE / "cgroup", watched=("tritonserver",), system=serving(), nvml=FakeNvml(device()))


class Scripted:
    """A collector that does what the next step says."""

    def __init__(self, name: str, *steps: Callable[[], list[Reading]]) -> None:
        self.name, self._steps = name, iter(steps)

    def collect(self) -> Iterator[Reading]:
        yield from next(self._steps)()


def power(value: float) -> Callable[[], list[Reading]]:
    return lambda: [Reading("hw.power", "W", "gauge", value)]


def raising(error: Exception) -> Callable[[], list[Reading]]:
    def step() -> list[Reading]:
        raise error

    return step


def runner(*collectors: Scripted, deadline_seconds: float = 5.0) -> Collecting:
    return Collecting(collectors, TurnedClock(), deadline_seconds=deadline_seconds)


def named(points: Iterator[Point], name: str) -> dict[str, object]:
    """collector's name -> value of one metric."""
    label = "sidelight.collector.name"
    return {str(point.attributes.get(label, "")): point.value for point in points if point.metric.name == name}


def test_catalogue_and_collectors_name_the_same_metrics() -> None:
    """A node that has everything emits what the catalogue lists for the machine: name, unit, shape, labels."""
    emitted: dict[str, set[str]] = {}
    for make in COLLECTORS.values():
        for reading in make(FULL).collect():
            metric = CATALOGUE[reading.name]
            assert (metric.unit, metric.shape is Shape.COUNTER) == (reading.unit, reading.kind == "counter")
            emitted.setdefault(reading.name, set()).update(reading.attributes)
    machine = "system.", "container.", "process.", "hw.", "sidelight.container.", "sidelight.watched.", "sidelight.gpu."
    assert set(emitted) == {name for name in CATALOGUE if name.startswith(machine)}
    assert {name: set(CATALOGUE[name].attributes) for name in emitted} == emitted


def test_names_are_opentelemetry_s() -> None:
    """Every metric not of our own prefix stands in the semantic conventions, with that unit."""
    from importlib import import_module

    import opentelemetry.semconv._incubating.metrics as conventions

    known: set[str] = set()
    for part in ("system", "container", "process", "hw"):
        module = import_module(f"{conventions.__name__}.{part}_metrics")
        known |= {value for key, value in vars(module).items() if key.isupper() and isinstance(value, str)}
    theirs = {name for name in CATALOGUE if name.split(".")[0] in {"system", "container", "process", "hw"}}
    assert theirs <= known


def test_the_table_s_names_are_the_collectors_own() -> None:
    """The word an option uses is the word status and metrics use."""
    assert {name: make(FULL).name for name, make in COLLECTORS.items()} == {name: name for name in COLLECTORS}


def test_collectors_are_built_by_name() -> None:
    """In the table's order, with `watched` wherever processes are named; an unknown name is refused with the list."""
    assert [collector.name for collector in build(["gpu", "cpu"], Host())] == ["cpu", "gpu"]
    assert [collector.name for collector in build(["cpu"], Host(watched=("triton",)))] == ["cpu", "watched"]
    with pytest.raises(ValueError, match="no collector disk; there are cpu"):
        build(["cpu", "disk"], Host())


async def test_readings_become_points_with_success_and_duration() -> None:
    """One good collector: its reading, its duration, success 1."""
    collecting = runner(Scripted("gpu", power(300.0)))
    await collecting.round()
    assert named(collecting.points(), "hw.power") == {"": 300.0}
    assert named(collecting.points(), "sidelight.collector.success") == {"gpu": 1}
    assert named(collecting.points(), "sidelight.collector.duration") == {"gpu": 0.0}


async def test_the_newest_readings_replace_the_older() -> None:
    """Two rounds: one point, the second's."""
    collecting = runner(Scripted("gpu", power(300.0), power(310.0)))
    await collecting.round()
    await collecting.round()
    assert [point.value for point in collecting.points() if point.metric.name == "hw.power"] == [310.0]


async def test_a_failure_is_said_and_its_old_readings_go() -> None:
    """A collector that breaks: success 0, no stale value, its neighbour untouched, the reason in status."""
    collecting = runner(
        Scripted("gpu", power(300.0), raising(OSError("bus error"))),
        Scripted("other", power(1.0), power(2.0)),
    )
    await collecting.round()
    await collecting.round()
    assert named(collecting.points(), "sidelight.collector.success") == {"gpu": 0, "other": 1}
    assert [point.value for point in collecting.points() if point.metric.name == "hw.power"] == [2.0]
    assert collecting.status()[0]["state"] == "failed"
    assert collecting.status()[0]["reason"] == "OSError: bus error"


async def test_unavailable_is_said_once_and_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """Three rounds without a GPU: one line at info, a state with its reason, neither success 0 nor a value."""
    steps = [raising(Unavailable(reason)) for reason in ("first reason", "no NVML library", "no NVML library")]
    collecting = runner(Scripted("gpu", *steps))
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            await collecting.round()
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "first reason" in caplog.text
    assert named(collecting.points(), "sidelight.collector.success") == {}
    assert collecting.status()[0] | {"duration_seconds": None} == {
        "name": "gpu", "state": "unavailable", "reason": "no NVML library", "duration_seconds": None, "skipped": 0,
    }  # fmt: skip


async def test_a_hung_collector_blocks_nobody_and_returns_when_it_does() -> None:
    """It is given up at its deadline, skipped and counted while its call is out, and read again afterwards."""
    release = threading.Event()

    def hang() -> list[Reading]:
        release.wait(30)
        return []

    gpu, cpu = Scripted("gpu", hang, *[power(5.0)] * 2010), Scripted("cpu", *[power(1.0)] * 2010)
    collecting, rounds = runner(gpu, cpu, deadline_seconds=0.1), 1
    await collecting.round()
    while rounds < 2 or (rounds < 100 and collecting.status()[1]["state"] != "ok"):  # a busy machine may be late once
        await collecting.round()
        rounds += 1
    assert named(collecting.points(), "sidelight.collector.success") == {"gpu": 0, "cpu": 1}
    assert collecting.status()[0]["state"] == "hung"
    assert collecting.status()[0]["skipped"] == rounds - 1
    release.set()
    for _ in range(2000):  # rounds until the call came back and a new one was made; the bound only ends a broken run
        if collecting.status()[0]["state"] == "ok":
            break
        await collecting.round()
        await asyncio.sleep(0)
    assert collecting.status()[0]["state"] == "ok"


async def test_a_thread_that_cannot_start_is_a_failure_of_that_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the pod's limit of pids the runner goes on, and reads again once there is room."""
    collecting = runner(Scripted("gpu", power(1.0)))

    def full(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", full)
        await collecting.round()
    assert collecting.status()[0]["reason"] == "no thread to run it in: can't start new thread"
    await collecting.round()
    assert collecting.status()[0]["state"] == "ok"


async def test_a_metric_outside_the_catalogue_is_a_failure_by_name() -> None:
    """Nothing is said that does not stand in the catalogue, and the author is told which name."""
    collecting = runner(Scripted("disk", lambda: [Reading("disk.io", "By", "counter", 1)]))
    await collecting.round()
    assert collecting.status()[0]["reason"] == "disk.io (counter, By) is not in the catalogue"
    assert named(collecting.points(), "disk.io") == {}


async def test_a_number_that_is_none_never_leaves() -> None:
    """NaN from a collector is a failure of that collector."""
    collecting = runner(Scripted("gpu", power(float("nan"))))
    await collecting.round()
    assert collecting.status()[0]["reason"] == "hw.power is not a finite number"


async def test_readings_are_bounded() -> None:
    """A collector that gives without end is refused as a whole."""
    collecting = runner(Scripted("gpu", lambda: [Reading("hw.power", "W", "gauge", 1.0)] * (READINGS_MAX + 1)))
    await collecting.round()
    assert collecting.status()[0]["state"] == "failed"


async def test_counters_start_at_the_host_s_boot_at_the_earliest() -> None:
    """A counter without a start of its own gets the boot's, never 0 and never the agent's; a gauge gets none."""
    clock = TurnedClock()
    steps = Scripted("gpu", lambda: [Reading("hw.energy", "J", "counter", 9e9), Reading("hw.power", "W", "gauge", 1.0)])
    collecting = Collecting([steps], clock)
    await collecting.round()
    starts = {point.metric.name: point.start_ns for point in collecting.points()}
    assert 0 < starts["hw.energy"] < clock.now_ns()
    assert starts["hw.power"] == 0


async def test_before_the_first_round_nothing_is_claimed() -> None:
    """State waiting; no success, no duration."""
    collecting = runner(Scripted("gpu"))
    assert list(collecting.points()) == []
    assert collecting.status()[0]["state"] == "waiting"


async def test_run_goes_on_after_failures_until_cancelled() -> None:
    """The loop itself makes rounds; a failing collector does not end it."""
    seen = asyncio.Event()
    loop = asyncio.get_running_loop()

    def second() -> list[Reading]:
        loop.call_soon_threadsafe(seen.set)
        return []

    steps = Scripted("gpu", raising(OSError("once")), second, *[list] * 50)
    task = asyncio.create_task(Collecting([steps], TurnedClock(), interval_seconds=0.0).run())
    await asyncio.wait_for(seen.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
