"""Texts the reference never held, and yet knows: spelled otherwise since a feed changed, or words for nothing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

MOST = 0.5  # of the values whose texts are held
NOTHING = frozenset({"", "nan", "none", "null", "nil", "n/a", "<na>", "nat", "undefined"})
_WHOLE = re.compile(r"(-?)0*(\d+)(?:\.0+)?")


def otherwise(counts: Mapping[str, int], known: Sequence[str]) -> str:
    """What most of the new texts are, in words that name none; empty: new.

    counts: how often each came; known: the reference's categories.

    >>> otherwise({"BERLIN": 8, "Ulm": 2}, ("Berlin",))
    'mostly known ones in another spelling (case, blanks, zeros or Unicode)'
    >>> otherwise({"MÃ¼nchen": 8}, ("München",))
    'mostly known ones read in a wrong encoding'
    >>> otherwise({"nan": 8}, ("Berlin",))
    'mostly an empty text or a word for nothing, such as "null"'
    >>> otherwise({"Ulm": 8}, ("Berlin",))
    ''
    """
    total, folded, exact = sum(counts.values()), {_folded(text) for text in known}, frozenset(known)
    said: dict[str, Callable[[str], bool]] = {
        'an empty text or a word for nothing, such as "null"': lambda text: text.strip().casefold() in NOTHING,
        "known ones in another spelling (case, blanks, zeros or Unicode)": lambda text: _folded(text) in folded,
        "known ones read in a wrong encoding": lambda text: _decoded(text) in exact - {text},
    }
    for words, fits in said.items():
        if total and sum(count for text, count in counts.items() if fits(text)) >= MOST * total:
            return f"mostly {words}"
    return ""


def _folded(text: str) -> str:
    """What spellings of one text have in common.

    >>> _folded(" New  York"), _folded("007"), _folded("7.0"), _folded("1.50")
    ('newyork', '7', '7', '1.50')
    """
    plain = "".join(unicodedata.normalize("NFKC", text).casefold().split())
    number = _WHOLE.fullmatch(plain)
    return f"{number[1]}{number[2]}" if number else plain


def _decoded(text: str) -> str | None:
    """UTF-8 that was read as Western European; None: it cannot have been."""
    for wrong in ("cp1252", "latin-1"):
        try:
            return text.encode(wrong).decode()
        except UnicodeError:
            continue
    return None
