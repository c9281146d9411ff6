"""What a checkpoint keeps of the alerts."""

from __future__ import annotations

import json

from hypothesis import given, settings

from agent.alerting.book import AlertBook
from agent.pipeline.saving import packed
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
