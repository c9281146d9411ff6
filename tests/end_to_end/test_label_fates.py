"""Labels late by days, before their prediction, twice, never, for nobody, in no order: each counted for what it is.

Fifteen days by turned event time, through an agent that is killed in the middle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from agent.wire import lifecycle_pb2 as lifecycle
from tests.end_to_end import fates_world as world
from tests.end_to_end.backends import serving
from tests.end_to_end.fates_world import ASKED, FIRST_NS, NOBODY, ROWS, WINDOW_NS, WINDOWS, Account
from tests.end_to_end.figure_worlds import loaded
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.points import Points
from tests.end_to_end.traffic import model_of, sending

MODEL = {"model.name": "loan"}
KINDS = ("joined", "early", "repeated", "changed", "unknown", "unsampled")


@dataclass(frozen=True)
class Scene:
    """What should be; the status and the backend's points when all was sent, and after nothing waits any more."""

    account: Account
    sent: int
    status: dict[str, Any]
    points: Points
    later: dict[str, Any]
    points_later: Points


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    options = {"SIDELIGHT_TIME": "event", "SIDELIGHT_WINDOW_SECONDS": str(world.WINDOW_SECONDS)}
    account = Account()
    with serving("http/protobuf") as (backend, url):
        options |= {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
        with AgentProcess(tmp_path_factory.mktemp("fates"), **options) as agent:
            agent.record(loaded("loan", "3", lifecycle.TASK_BINARY, "yes"))
            sent = _play(agent, account, range(ASKED // 2))
            agent.kill()
            agent.start()
            sent += _play(agent, account, range(ASKED // 2, WINDOWS))
            agent.wait_counted()
            status = agent.wait_for(lambda s: _settled(s) == sent)
            assert agent.stop() == 0
            points = Points(backend)
            agent.environment |= {"SIDELIGHT_LABEL_SECONDS": "1", "SIDELIGHT_LABEL_EARLY_SECONDS": "1"}
            agent.start()
            agent.wait_for(lambda s: not s["models"][0]["label_join"]["waiting_predictions"])
            too_late = world.Truth("p-6", 0, FIRST_NS + WINDOWS * WINDOW_NS, WINDOWS)  # whose fate was "never"
            assert agent.record(world.labels([too_late])).accepted == 1
            later = agent.wait_for(lambda s: s["models"][0]["label_join"]["unknown"] > NOBODY)
            assert agent.stop() == 0
        yield Scene(account, sent, status, points, later, Points(backend))


def _play(agent: AgentProcess, account: Account, windows: range) -> int:
    """Sends these windows, and writes down what should become of them; how many labels there were."""
    told, truths = 0, world.truths()
    with sending(agent) as send:
        for window in windows:
            own = [truth for truth in truths if truth.sent == window]
            assert not send(world.predictions(window)).refusals
            account.predictions(window)
            if own:
                assert send(world.labels(own)).accepted == len(own)
            for truth in own:
                account.label(truth)
            told += len(own)
    return told


def _settled(status: dict[str, Any]) -> int:
    """Labels of which something has become, those of nobody with them."""
    join = model_of(status)["label_join"]
    return sum(int(join[kind]) for kind in KINDS) + (NOBODY if join["waiting_labels"] == NOBODY else 0)


def test_each_label_is_counted_by_what_became_of_it(scene: Scene) -> None:
    """In the status and at the backend: as the plain account of what was sent has it, and of every kind some."""
    expected = {kind: scene.account.kinds[kind] for kind in KINDS}
    assert all(expected[kind] for kind in ("joined", "early", "repeated", "changed"))
    join = model_of(scene.status)["label_join"]
    assert {kind: join[kind] for kind in KINDS} == expected
    assert scene.points.by("sidelight.label.settled", "outcome", MODEL) == expected
    assert join["received"] == scene.sent == sum(expected.values()) + NOBODY
    own = MODEL | {"model.version": "3"}
    assert scene.points.by("sidelight.labels", "outcome", own) == {"kept": scene.sent, "refused": 0}


def test_what_waits_is_counted(scene: Scene) -> None:
    """Labels of nobody, and predictions whose truth never came, while there is still hope."""
    join, never = model_of(scene.status)["label_join"], _never(scene)
    assert (join["waiting_labels"], join["waiting_predictions"], join["never"]) == (NOBODY, never, 0)
    names = ("sidelight.label.waiting", "sidelight.prediction.waiting", "sidelight.prediction.unlabelled")
    found = [scene.points.number(name, MODEL) for name in names]
    assert found == [NOBODY, never, 0]


def test_coverage_says_how_many_predictions_have_their_truth(scene: Scene) -> None:
    """Of all, and of each of the newest windows."""
    share = len(scene.account.first) / (ASKED * ROWS)
    join = model_of(scene.status)["label_join"]
    assert join["coverage"] == pytest.approx(share)
    assert scene.points.number("sidelight.label.coverage", MODEL) == pytest.approx(share)
    first = FIRST_NS // WINDOW_NS
    by_window = {index - first: found for index, found in join["coverage_by_window"]}
    assert by_window == {w: pytest.approx(scene.account.labelled[w] / ROWS) for w in range(ASKED - 24, ASKED)}


def test_the_histogram_says_how_late_truths_came(scene: Scene) -> None:
    """Every delay in its bucket, those before their prediction at zero; the sum is exact."""
    point = scene.points.point("sidelight.label.delay", MODEL)
    delays = np.array(scene.account.delays)
    later = delays[delays > 0]
    assert (point.count, point.zero_count) == (len(delays), len(delays) - len(later))
    assert point.sum == pytest.approx(later.sum(), rel=1e-9)
    buckets = np.ceil(np.log2(later) * 2.0**point.scale).astype(int) - 1
    told = Counter({point.positive.offset + i: n for i, n in enumerate(point.positive.bucket_counts) if n})
    assert told == Counter(buckets.tolist())
    quantiles = model_of(scene.status)["label_join"]["delay_seconds"]
    assert quantiles["p50"] == pytest.approx(float(np.median(delays)), rel=0.2)


def test_the_first_truth_stands(scene: Scene) -> None:
    """Accuracy is by the first label of each prediction, whichever came again."""
    shown = model_of(scene.status)["followed"]["performance"]["horizons"]["total"]
    assert shown["labels"] == len(scene.account.right)
    assert shown["accuracy"] == pytest.approx(np.mean(scene.account.right))


def test_what_waited_too_long_is_given_up(scene: Scene) -> None:
    """After the time of both: never, and unknown; a label that comes then finds nobody. All else stays as it was."""
    join, never = model_of(scene.later)["label_join"], _never(scene)
    expected = {kind: scene.account.kinds[kind] for kind in KINDS} | {"unknown": NOBODY + 1}
    assert {kind: join[kind] for kind in KINDS} == expected
    assert (join["waiting_labels"], join["waiting_predictions"], join["never"]) == (0, 0, never)
    assert scene.points_later.by("sidelight.label.settled", "outcome", MODEL) == expected
    assert scene.points_later.number("sidelight.prediction.unlabelled", MODEL) == never


def _never(scene: Scene) -> int:
    return ASKED * ROWS - len(scene.account.first)
