"""Every task's performance through a real agent, in the status and at a backend, reckoned again from what was sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from agent.wire import lifecycle_pb2 as lifecycle
from tests.end_to_end import figure_worlds as worlds
from tests.end_to_end.backends import serving
from tests.end_to_end.figure_worlds import CLASSES, REGIONS, ROWS, SHOWN, WINDOWS
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.points import Points
from tests.end_to_end.traffic import at, model_of, said, sending

LABELLED = range(WINDOWS)
VERSIONS, RANKINGS = ("3", "4"), ("shop", "search", "feed")
LOADED = (
    ("eta", "1", lifecycle.TASK_REGRESSION, ""), ("mode", "1", lifecycle.TASK_MULTICLASS, ""),
    *((model, "1", lifecycle.TASK_RANKING, "") for model in RANKINGS),
    ("loan", "3", lifecycle.TASK_BINARY, "yes"), ("loan", "4", lifecycle.TASK_BINARY, "yes"),
)  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """The agent's last status, and what the backend was told in the end."""

    status: dict[str, Any]
    points: Points

    def shown(self, model: str, version: str = "1") -> dict[str, Any]:
        found: dict[str, Any] = model_of(self.status, model, version)["followed"]["performance"]
        return found

    def told(self, model: str, horizon: str, version: str = "1", **more: str) -> dict[str, float]:
        """metric -> value, as the backend has it."""
        about = {"model.name": model, "model.version": version, "horizon": horizon, "statistic": "value", **more}
        return self.points.by("sidelight.performance", "performance.metric", about)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Seven windows of every model; the truth of the first six comes a window later each."""
    options = {"SIDELIGHT_TIME": "event", "SIDELIGHT_WINDOW_SECONDS": "60", "SIDELIGHT_SEGMENTS": "region"}
    with serving("http/protobuf") as (backend, url):
        options |= {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
        with AgentProcess(tmp_path_factory.mktemp("figures"), **options) as agent:
            status = _play(agent)
            assert agent.stop() == 0
        yield Scene(status, Points(backend))


def _play(agent: AgentProcess) -> dict[str, Any]:
    with sending(agent) as send:
        for request in (worlds.loaded(*each) for each in LOADED):
            send(request)
        for index in range(WINDOWS + 2):
            for request in _window(index):
                answer = send(request)
                assert not answer.refusals
    return agent.wait_counted()


def _window(index: int) -> Iterator[Any]:
    """What is asked in a window, and what becomes known of the one before."""
    yield worlds.rides_asked(index)
    yield worlds.trips_asked(index)
    yield from (worlds.lists_asked(index, model) for model in RANKINGS)
    yield from (worlds.answers_asked(index, version) for version in VERSIONS)
    if index - 1 in LABELLED:
        yield worlds.rides_known(index - 1, index)
        yield worlds.trips_known(index - 1, index)
        yield from (worlds.clicks_known(index - 1, index, model) for model in RANKINGS)
        yield from (worlds.answers_known(index - 1, index, v, by_request=index % 2 == 0) for v in VERSIONS)


def _exactly(expected: Mapping[str, float]) -> Any:
    return pytest.approx(dict(expected), rel=1e-9, abs=1e-12)


def _same(found: Mapping[str, float], expected: Mapping[str, float]) -> None:
    """Every figure expected is there, and is that."""
    assert {name: found.get(name) for name in expected} == _exactly(expected)


# ── regression ──


def _of_rides(windows: range) -> dict[str, float]:
    some = [worlds.rides(index) for index in windows]
    predicted, true, w = (np.concatenate([getattr(s, name) for s in some]) for name in ("predicted", "true", "weight"))
    error = predicted - true
    found = {
        "mae": np.average(np.abs(error), weights=w), "rmse": np.sqrt(np.average(error**2, weights=w)),
        "bias": np.average(error, weights=w), "mape": np.average(np.abs(error / true), weights=w),
        "r2": sklearn_metrics.r2_score(true, predicted, sample_weight=w),
    }  # fmt: skip
    for q in (0.1, 0.5, 0.9):
        loss = sklearn_metrics.mean_pinball_loss(true, predicted, alpha=q, sample_weight=w)
        found[f"quantile_loss_{q}"] = loss
    return {name: float(value) for name, value in found.items()}


@pytest.mark.parametrize(("horizon", "windows"), [("total", LABELLED), ("1", LABELLED[-1:]), ("4", LABELLED[-4:])])
def test_a_regressions_figures_are_those_of_what_was_sent(scene: Scene, horizon: str, windows: range) -> None:
    """MAE, RMSE, bias, MAPE, R² and quantile losses with the labels' weights: by horizon, in both places."""
    expected = _of_rides(windows)
    _same(scene.told("eta", horizon), expected)
    _same(scene.shown("eta")["horizons"][horizon], expected | {"labels": ROWS * len(windows)})


def test_a_bias_of_the_truth_is_found_and_which_way(tmp_path: Path) -> None:
    """Rides begin to take three minutes more: said within three windows, as too low; the bias shown is that."""
    options = {"SIDELIGHT_TIME": "event", "SIDELIGHT_WINDOW_SECONDS": "60"}
    quiet, late = 24, 3.0
    with AgentProcess(tmp_path, **options) as agent, sending(agent) as send:
        send(worlds.loaded(*LOADED[0]))
        for index in range(quiet + 7):
            send(worlds.rides_asked(index))
            if index:
                send(worlds.rides_known(index - 1, index, late if index > quiet else 0.0))
        status = agent.wait_counted()
    fired = [(name, at(of), of) for what, name, of in said(status, "eta", "1") if what == "firing"]
    assert [name for name, _, _ in fired] == ["concept_drift"]
    assert all(quiet < when <= quiet + 3 for _, when, _ in fired)
    assert "mostly predicted too low" in str(fired[-1])
    shown = model_of(status, "eta", "1")["followed"]["performance"]
    newest = worlds.rides(quiet + 4, late)
    bias = next(line for line in shown["lines"] if line["name"] == "bias")
    assert bias["value"] == pytest.approx(float(np.average(newest.predicted - newest.true, weights=newest.weight)))
    assert bias["high"] < -3.0


# ── several classes ──


def test_figures_of_several_classes_are_scikit_learns(scene: Scene) -> None:
    """Macro, micro, weighted and by class; one class is never said. Classes go out by number, for none is public."""
    some = [worlds.trips(index) for index in LABELLED]
    said, true = (np.concatenate([getattr(s, name) for s in some]) for name in ("said", "true"))
    expected = {"accuracy": sklearn_metrics.accuracy_score(true, said)}
    for average in ("macro", "micro", "weighted"):
        values = sklearn_metrics.precision_recall_fscore_support(true, said, average=average, zero_division=0.0)
        expected |= {f"{name}_{average}": v for name, v in zip(("precision", "recall", "f1"), values, strict=False)}
    _same(scene.told("mode", "total"), expected)
    _same(scene.shown("mode")["horizons"]["total"], expected)
    each = sklearn_metrics.precision_recall_fscore_support(true, said, labels=range(4), zero_division=0.0)
    own = {"model.name": "mode", "model.version": "1"}
    told = [
        scene.points.by("sidelight.performance.class", "performance.class", own | {"performance.metric": name})
        for name in ("precision", "recall", "f1")
    ]
    assert all(each.keys() == {"0", "1", "2", "3"} for each in told)
    by_number = sorted(tuple(values[number] for values in told) for number in told[0])
    assert np.array(by_number) == pytest.approx(np.array(sorted(zip(*each[:3], strict=True))))


def test_the_newest_windows_classes_are_shown_by_name(scene: Scene) -> None:
    """The page is the pod's own: it has names."""
    some = worlds.trips(LABELLED[-1])
    each = sklearn_metrics.precision_recall_fscore_support(some.true, some.said, labels=range(4), zero_division=0.0)
    shown = scene.shown("mode")["classes"]
    for place, name in enumerate(CLASSES):
        _same(shown[name], {m: float(each[k][place]) for k, m in enumerate(("precision", "recall", "f1"))})
    confusion = sklearn_metrics.confusion_matrix(some.true, some.said, labels=range(4))
    told = {(CLASSES.index(true), CLASSES.index(said)): n for true, said, n in scene.shown("mode")["confusion"]}
    assert told == {(i, j): confusion[i, j] for i in range(4) for j in range(4) if confusion[i, j]}


def test_of_several_classes_it_is_said_that_there_is_no_area(scene: Scene) -> None:
    """Who looks for the ROC AUC finds why it is not there."""
    assert "roc_auc: of one positive class alone are scores counted" in scene.shown("mode")["note"]
    assert "roc_auc" not in scene.shown("mode")["horizons"]["total"]


# ── ranking ──


def _of_lists() -> dict[str, float]:
    """Click-through and precision at k over all impressions; NDCG over the lists with a click (their gain is known)."""
    gain = np.concatenate([worlds.lists(index).gain for index in LABELLED]).astype(float)
    impressions = np.full(SHOWN, ROWS * (WINDOWS + 1.0))  # the window after the last was shown too
    found = {"ctr": (gain > 0).sum() / impressions.sum()}
    discount = 1.0 / np.log2(2.0 + np.arange(SHOWN))
    best = -np.sort(-gain, axis=1)
    clicked = best[:, 0] > 0
    for k in (1, 3, 5, 10):
        found[f"precision_{k}"] = (gain[:, :k] > 0).sum() / impressions[:k].sum()
        got, ideal = ((each[clicked, :k] * discount[:k]).sum(axis=1) for each in (gain, best))
        found[f"ndcg_{k}"] = float((got / ideal).mean())
    return {name: float(value) for name, value in found.items()}


@pytest.mark.parametrize("model", RANKINGS)
def test_a_rankings_figures_are_those_of_what_was_shown_and_clicked(scene: Scene, model: str) -> None:
    """CTR, precision and NDCG at 1, 3, 5, 10 by position and gain, whether lists go by their own id or a request's."""
    expected = _of_lists()
    _same(scene.told(model, "total"), expected)
    _same(scene.shown(model)["horizons"]["total"], expected)


# ── versions and segments ──


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_side_by_side_have_each_their_own_figures(scene: Scene, version: str) -> None:
    """Labels without a version, half of them by request: accuracy, precision, recall of each version and region."""
    some = [worlds.answers(index, version) for index in LABELLED]
    said, true, region = (np.concatenate([getattr(s, name) for s in some]) for name in ("said", "true", "region"))
    for place, segment in enumerate((None, *REGIONS)):
        own = np.ones(len(said), bool) if segment is None else region == place - 1
        expected = {
            "accuracy": float((said == true)[own].mean()),
            "precision": sklearn_metrics.precision_score(true[own], said[own]),
            "recall": sklearn_metrics.recall_score(true[own], said[own]),
        }
        where = {} if segment is None else {"segment": f"region={segment}"}
        _same(scene.told("loan", "24", version, **where), expected)
        shown = scene.shown("loan", version)
        held = shown["horizons"]["24"] if segment is None else shown["segments"][f"region={segment}"]
        _same(held, expected | {"labels": own.sum()})


def test_every_label_met_its_prediction_once(scene: Scene) -> None:
    """Of each version as many as it has rows in the six windows, though who sent them knew no version."""
    join = model_of(scene.status, "loan")["label_join"]
    assert (join["received"], join["joined"]) == (2 * ROWS * WINDOWS, 2 * ROWS * WINDOWS)
    for version in VERSIONS:
        assert scene.shown("loan", version)["horizons"]["total"]["labels"] == ROWS * WINDOWS
