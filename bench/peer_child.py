"""whylogs on the same kind of records. Runs in the peer's own environment: knows nothing of this project.

A command a line, `frame TIMES` or `row TIMES`; answers CPU microseconds a record, as JSON.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pandas as pd
from whylogs.core import DatasetProfile  # type: ignore[import-not-found,unused-ignore]

ROWS = 500


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    columns = {f"number_{i}": rng.normal(size=ROWS) for i in range(16)}
    for i, size in enumerate((4, 8, 16, 32)):
        columns[f"text_{i}"] = np.array([f"category_{c:02d}" for c in range(size)])[rng.integers(0, size, ROWS)].astype(
            object
        )
    columns["prediction"] = np.array(["no", "yes"])[rng.integers(0, 2, ROWS)].astype(object)
    columns["score"], columns["latency"] = rng.uniform(size=ROWS), rng.lognormal(-4, 0.3, ROWS)
    return pd.DataFrame(columns)


def main() -> None:
    data, profile = frame(), DatasetProfile()
    rows = data.to_dict("records")
    print(json.dumps(0.0), flush=True)
    for line in sys.stdin:
        kind, times = line.split()
        began = time.process_time()
        for i in range(int(times)):
            if kind == "frame":
                profile.track(data)
            else:
                profile.track(row=rows[i % ROWS])
        spent = time.process_time() - began
        print(json.dumps(spent / (int(times) * (ROWS if kind == "frame" else 1)) * 1e6), flush=True)


if __name__ == "__main__":
    main()
