"""Values to cells: the exact counts everything is judged on.

A layout gives every watched value a run of cells in one flat array: its bins, then seven special cells. A batch becomes
a matrix of cell numbers, and one `bincount` counts all features at once. Counts add up over windows and replicas.

    numbers   [below, bin 0 … bin k-1, above]          then the specials
    texts     [category 0 … k-1, other, never seen]    then the specials; of rare values several cells each
    flags     [false, true]                             then the specials
    vectors   [present]                                 then the specials
    specials  [null, absent, nan, +inf, -inf, mismatch, fractional]

"other" are categories seen in the reference that have no bin of their own; "never seen" are the rest. Where a reference
has many rare categories, both have eight cells, and a text is in the one that its hash says: a rare category that
swells moves its cell (docs/decisions/0141). People are told of "other" and "never seen" as one each. `fractional` is
counted beside a value's own bin (only for features whose reference was integral), so it is not part of the total.

What is computed from a whole vector or row (`projections`) has features and cells of its own, after all others. They
count only the rows they were computed of: a sample where traffic is high.

    feature.py   one value, its bins and rules
    placing.py   its values to cells
    layout.py    all of them, and the hot path
"""

from agent.bins.feature import (
    ABSENT_CELL,
    FRACTIONAL_CELL,
    INF_CELL,
    MISMATCH_CELL,
    NAN_CELL,
    NEGATIVE_INF_CELL,
    NO_RULES,
    NULL_CELL,
    OTHER_SEEN_MAX,
    RARE_CELLS_MAX,
    SPECIALS,
    Feature,
    Rules,
    text_cells,
    text_hash,
)
from agent.bins.layout import TABLES_MAX, Layout
from agent.bins.placing import EVERY_ROW, Placed, Taken

__all__ = [
    "ABSENT_CELL", "EVERY_ROW", "FRACTIONAL_CELL", "INF_CELL", "MISMATCH_CELL", "NAN_CELL", "NEGATIVE_INF_CELL",
    "NO_RULES", "NULL_CELL", "OTHER_SEEN_MAX", "RARE_CELLS_MAX", "SPECIALS", "TABLES_MAX", "Feature", "Layout",
    "Placed", "Rules", "Taken", "text_cells", "text_hash",
]  # fmt: skip
