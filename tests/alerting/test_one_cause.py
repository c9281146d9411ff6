"""One cause, one alert: rows are made of features and outputs, a new name stands for an old one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.alerting.book import AlertBook, WindowContext
from agent.alerting.machine import advance
from agent.alerting.wording import FIRING
from agent.records import Finding, ModelKey, Source, Verdict

KEY = ModelKey("m", "1")
ROW = (Source.ROW, "row")


def fault(check: str, subject: str, reason: str = "gone") -> Finding:
    return Finding(check, subject, Source.FEATURE, Verdict.ALARM, effect=1.0, current=1.0, reason=reason)


def row_drift() -> Finding:
    newest = {"newest_p": 1e-9, "newest_effect": 0.3}
    return Finding("drift", "row", Source.ROW, Verdict.ALARM, 1e-9, 1e-6, 0.3, distances=newest)


class Story:
    """A book, turned window by window. events: (event, alert, body); forgotten: by the newest close."""

    def __init__(self) -> None:
        self.book, self.window = AlertBook(), 0
        self.events: list[tuple[str, str, str]] = []
        self.forgotten: set[tuple[Source, str]] = set()

    def close(self, *findings: Finding) -> list[str]:
        """What was said, as "firing data_drift"."""
        context = WindowContext(KEY, self.window, self.window, self.window + 1, 100)
        self.book, changes = advance(self.book, findings, context)
        self.window += 1
        self.forgotten = {watched for change in changes for watched in change.forget}
        new = [(c.event.name.rpartition(".")[2], c.alert, c.event.body) for c in changes if c.event is not None]
        self.events += new
        return [f"{name} {alert}" for name, alert, _ in new]


def test_rows_that_move_with_a_broken_feature_are_no_alert() -> None:
    """Nor an update, nor a word of predictions; and their windows are forgotten with the fault's."""
    story = Story()
    broken = fault("absent", "stock")
    assert story.close(broken, row_drift()) == ["firing broken_pipeline"]
    assert "predictions moved" not in story.events[0][2]
    assert story.close(broken) == []
    assert story.close(broken, row_drift()) == []
    assert story.close(row_drift()) == []
    assert story.close(row_drift()) == ["resolved broken_pipeline"]
    assert ROW in story.forgotten


def test_rows_that_move_later_than_the_fault_join_silently() -> None:
    """The relation needs two windows to be seen: by then the alert has been said."""
    story = Story()
    broken = fault("absent", "stock")
    story.close(broken)
    assert story.close(broken, row_drift()) == []
    assert [s.watched for s in story.book.of(KEY)["broken_pipeline"].consequences] == [ROW]


def test_a_fault_hides_no_relation_that_it_has_no_part_in() -> None:
    """The id is broken for weeks. What of a row is made of it moves with it; the pair that broke is told."""
    broken = fault("new_category", "id")
    moved = replace(row_drift(), made_of=(frozenset({"id", "age"}),))
    story = Story()
    assert story.close(broken, moved) == ["firing broken_pipeline"]
    assert story.close(broken, replace(moved, made_of=(*moved.made_of, frozenset({"age", "income"})))) == [
        "firing data_drift"
    ]


@pytest.mark.parametrize("source", [Source.PREDICTION, Source.SCORE])
def test_rows_are_made_of_outputs_too(source: Source) -> None:
    """A score in per cent moves every direction it is a part of, be its weight there ever so small."""
    story = Story()
    broken = Finding("out_of_range", "score", source, Verdict.ALARM, effect=1.0, current=1.0, distances={"limit": 0.0})
    assert story.close(broken, row_drift()) == ["firing broken_pipeline"]
    assert "predictions moved" not in story.events[0][2]


def test_a_drift_that_is_over_is_not_told_again_by_whole_rows() -> None:
    """They remember it over their longest horizon, though it was an echo while it lasted: forgotten with the value,
    unless they have an alert of their own."""
    drifting = Finding("drift", "score", Source.SCORE, Verdict.ALARM, 1e-9, 1e-6, 0.3)
    echo = replace(row_drift(), verdict=Verdict.MUTED)
    for own, forgotten in (echo, True), (row_drift(), False):
        story = Story()
        story.close(drifting, own)
        story.close(own)
        assert "resolved prediction_drift" in story.close(own)
        assert (ROW in story.forgotten) == forgotten


def test_rows_that_drifted_before_the_fault_keep_their_alert() -> None:
    """It is another cause."""
    story = Story()
    assert story.close(row_drift()) == ["firing data_drift"]
    assert story.close(fault("absent", "stock"), row_drift()) == ["firing broken_pipeline"]
    assert story.book.of(KEY)["broken_pipeline"].consequences == ()
    assert "data_drift" in story.book.of(KEY)


def test_a_new_name_is_told_once() -> None:
    """With the feature that is absent; a feature that is merely new is told by itself."""
    story = Story()
    gone = fault("absent", "stock", "absent in all rows; new in its place: 'stock_count'")
    assert story.close(gone, fault("new_feature", "stock_count")) == ["firing broken_pipeline"]
    assert story.close(gone, fault("new_feature", "colour")) == ["firing new_feature"]


def test_a_sentence_that_asks_ends_with_its_question() -> None:
    """No full stop behind it."""
    story = Story()
    story.close(fault("constant", "w", "all values fall in one bin: stuck?"))
    (name, _, body), *_ = story.events
    assert FIRING.endswith(name)
    assert "stuck? Look at" in body


@pytest.mark.parametrize(("ids", "said"), [(0.0, ["firing broken_pipeline"]),
                                           (0.5, ["firing broken_pipeline", "firing duplicates"])])  # fmt: skip
def test_rows_without_values_are_alike_and_no_duplicates(ids: float, said: list[str]) -> None:
    """Unless their ids came before too; and a category that is new makes no rows alike."""
    shares = {"share_rows": 0.5, "share_ids": ids}
    repeated = Finding("duplicates", "duplicates", Source.ROW, Verdict.ALARM, effect=0.5, current=0.5, distances=shares)
    assert Story().close(fault("not_finite", "x"), repeated) == said
    assert Story().close(fault("new_category", "x"), repeated) == ["firing broken_pipeline", "firing duplicates"]


def test_what_stands_beside_a_drift_is_the_wholes() -> None:
    """Not what one segment shows of the same value."""
    story = Story()
    drift = Finding("drift", "x", Source.FEATURE, Verdict.ALARM, effect=0.3)
    part = Finding("out_of_range", "x", Source.FEATURE, Verdict.ALARM, effect=0.1, reason="8 % of 75 values",
                   segment="region=r1", distances={"inside_change": 0.5})  # fmt: skip
    story.close(drift, part)
    assert "of 75 values" not in story.events[0][2]


def worse(check: str) -> Finding:
    newest = {"newest_p": 1e-9, "newest_effect": 0.6}
    return Finding(check, "", Source.PREDICTION, Verdict.ALARM, 1e-9, 1e-6, 0.6, distances=newest, reason="worse")


def test_a_concept_that_changed_is_not_told_again_as_performance() -> None:
    """Both judge the same wrong predictions; the concept's alert says since when and which way, too."""
    story = Story()
    assert story.close(worse("concept_drift"), worse("performance")) == ["firing concept_drift"]
    assert story.close(worse("concept_drift"), worse("performance")) == []


def test_a_concept_found_later_than_the_drop_adds_what_it_knows() -> None:
    """A drop against the reference that was told first stays, and ends by its own windows."""
    story = Story()
    assert story.close(worse("performance")) == ["firing performance_drop"]
    assert story.close(worse("concept_drift"), worse("performance")) == ["firing concept_drift"]
    assert [story.close(worse("concept_drift")) for _ in range(2)][-1] == []
    assert set(story.book.of(KEY)) == {"concept_drift", "performance_drop"}
