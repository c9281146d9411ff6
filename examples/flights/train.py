"""Trains the model on January to June and writes what the other parts need into the demo's folder."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import joblib  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from examples.flights import data

MODEL, VERSION = "flight-delay", "2013.06"
LATE, ON_TIME = "late", "on time"
THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Files:
    """What lies in the demo's folder."""

    folder: Path

    @property
    def model(self) -> Path:
        # A pickle is only for the version that wrote it, a model only for the features it learned.
        features = zlib.crc32(" ".join((*data.FEATURES, "truth")).encode())
        return self.folder / f"model-{sklearn.__version__}-{features:08x}.joblib"

    @property
    def training(self) -> Path:
        return self.folder / "training.parquet"

    @property
    def replay(self) -> Path:
        return self.folder / "replay.parquet"

    @property
    def reference(self) -> Path:
        return self.folder / "flight-delay.sidelight"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def trained(self) -> bool:
        return self.model.exists() and self.training.exists() and self.replay.exists()


@dataclass(frozen=True, slots=True)
class Trained:
    """rows it learned from; auc: area under the ROC curve on months it had not seen (0.5 chance, 1 perfect)."""

    rows: int
    auc: float


def pipeline() -> Pipeline:
    """Gradient boosting. A category it has not seen is a missing value to it: a broken feed breaks nothing loudly."""
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = ColumnTransformer([("codes", codes, list(data.TEXTS))], remainder="passthrough")
    boosting = HistGradientBoostingClassifier(
        categorical_features=list(range(len(data.TEXTS))), early_stopping=False, random_state=0
    )
    return make_pipeline(columns, boosting)


def answers(scores: np.ndarray) -> np.ndarray:
    """The label for each score."""
    return np.where(scores > THRESHOLD, LATE, ON_TIME)


def train(files: Files) -> Trained:
    """Writes the model, the training rows with the model's answers, and the rows to replay. About 10 s on two cores."""
    rows = data.load()
    past = data.train_rows(rows)
    late = past["late"].astype(bool)
    features = past[list(data.FEATURES)]
    # The reference wants scores as they will be in service: each month's come from a model that never saw that month.
    # Scores on rows a boosted model was fitted to are sharper than it will ever be again, and would look like drift.
    scores = cross_val_predict(
        pipeline(), features, late, groups=past["time"].dt.month, cv=LeaveOneGroupOut(), method="predict_proba"
    )[:, 1]
    files.folder.mkdir(parents=True, exist_ok=True)
    asked = past[["time", *data.FEATURES]]
    truth = np.where(late, LATE, ON_TIME)
    write_training(asked.assign(prediction=answers(scores), score=scores, truth=truth), files.training)
    data.replay_rows(rows).to_parquet(files.replay, index=False)
    model = pipeline().fit(features, late)
    whole = files.model.with_suffix(".part")
    joblib.dump(model, whole)
    os.replace(whole, files.model)  # last: its presence says that the rest is there
    return Trained(len(past), float(roc_auc_score(late, scores)))


def write_training(rows: pd.DataFrame, path: Path) -> None:
    """Parquet in which NaN stays NaN, as the server will send it: pandas itself would write null, another thing."""
    pyarrow.parquet.write_table(pa.table({name: rows[name].to_numpy() for name in rows}), path)
