"""Small references for these tests."""

from __future__ import annotations

import numpy as np

from agent.bins import Feature, Layout, Rules
from agent.records import Kind, Source
from agent.reference.profile import Reference
from agent.sketches.quantiles import Quantiles


def small_reference(model: str = "credit", version: str = "1", made_at_ns: int = 5) -> Reference:
    """Four kinds of values, three blocks, a sketch."""
    layout = Layout(
        (
            Feature("prediction", Source.PREDICTION, Kind.TEXT, categories=("no", "yes"), critical=True),
            Feature(
                "age",
                Source.FEATURE,
                Kind.NUMBER,
                edges=(0.0, 30.0, 60.0),
                integral=True,
                rules=Rules(required=True, whole=True, low=0.0, max_missing=0.0),
            ),
            Feature(
                "city", Source.FEATURE, Kind.TEXT, categories=("a", "β"), seen=frozenset({1, 2**64 - 1}), public=True
            ),
            Feature("member", Source.FEATURE, Kind.FLAG, ignored=True),
            Feature("embedding", Source.FEATURE, Kind.VECTOR, size=3),
        ),
        window_seconds=900.0,
    )
    sketch = Quantiles()
    sketch.update(np.arange(10.0))
    return Reference(
        model=model,
        version=version,
        layout=layout,
        blocks=np.random.default_rng(0).integers(0, 9, (3, layout.cells)).astype(np.int32),
        starts_ns=np.array([-900, 0, 900], dtype=np.int64) * 10**9,
        rows=np.array([4, 5, 6], dtype=np.int64),
        task=1,
        positive_label="yes",
        trained_at_ns=7,
        segments=("region",),
        protected=("sex",),
        classes=("no", "yes"),
        quantiles={(Source.FEATURE, "age"): sketch.to_bytes()},
        made_by="test",
        made_at_ns=made_at_ns,
        origin="data.csv",
    )
