"""What a checkpoint keeps of the alerts."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given, settings

from agent.alerting.book import Alert, AlertBook, Subject
from agent.pipeline.saving import packed
from agent.records import AlertState, ModelKey, Source
from tests.alerting.test_laws import Script, closes, play


@given(closes)
@settings(max_examples=40, deadline=None)
def test_packed_alerts_are_the_book_again(script: Script) -> None:
    """Whatever was alarmed about: the blob is what the book itself would write, read back as it was, and the same book
    gives the same bytes."""
    book, _ = play(script)
    assert json.loads(packed(book)) == json.loads(book.to_json())
    assert AlertBook.from_json(packed(book).decode()) == book
    assert packed(book) == packed(AlertBook.from_json(book.to_json()))


def test_numbers_of_numpy_are_numbers() -> None:
    """A check's figures may be numpy's: an alert of them is stored like any other, and ends no agent."""
    figure = np.float64(0.25)
    subject = Subject("performance", Source.PREDICTION, "accuracy", "fell", 0, figure, figure, figure, 1, 200, 400)
    alert = Alert("performance_drop", ModelKey("loan"), AlertState.FIRING, "ERROR", 7, 0, 1, (subject,))
    told = packed(AlertBook((alert,)))
    assert told == packed(AlertBook.from_json(told.decode()))
    assert AlertBook.from_json(told.decode()).alerts[0].subjects[0].effect == 0.25
    assert json.loads(told)["alerts"][0]["subjects"][0]["phi"] == 0.25
