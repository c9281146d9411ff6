"""Sends prediction records to the Sidelight agent beside this process. Never blocks, never raises, never grows.

>>> from sidelight import Recorder
>>> recorder = Recorder("churn", "3")                                   # doctest: +SKIP
>>> prediction_id = recorder.record({"age": 41.0}, "stays", score=0.2)  # doctest: +SKIP
>>> recorder.label(prediction_id, "left")                               # doctest: +SKIP
"""

from sidelight.blocks import Ids
from sidelight.recorder import Recorder
from sidelight.sender import VERSION, Stats
from sidelight.watch import Prediction

__all__ = ["VERSION", "Ids", "Prediction", "Recorder", "Stats"]
