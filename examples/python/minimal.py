"""The Python client in twenty lines: `pip install sidelight`, then run this beside an agent."""

from __future__ import annotations

import random
import sys

from sidelight import Recorder

recorder = Recorder("example-python", version="7")
recorder.loaded(task="binary", positive_label="leaves", threshold=0.5)

for _ in range(100):
    tenure = random.randint(0, 72)
    features = {"tenure_months": tenure, "plan": random.choice(["basic", "plus"]), "has_app": True}
    score = 1.0 / (1.0 + tenure)  # here your model predicts
    answer = "leaves" if score >= 0.5 else "stays"
    # About a microsecond: a thread sends it later. Without an agent, records wait; the oldest are dropped and counted.
    prediction_id = recorder.record(features, answer, score=score, latency=0.004)

recorder.label(prediction_id, "leaves")  # the truth, when it is known
recorder.close()  # sends what still waits

stats = recorder.stats()
print(f"example-python: {stats.accepted} accepted of {stats.recorded}{stats.last_error and ', ' + stats.last_error}")
sys.exit(0 if stats.accepted == stats.recorded else 1)
