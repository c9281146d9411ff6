"""How good the model probably is, before labels come: from its own scores, or from how large its errors were elsewhere.

    classification   scores' counts by predicted class  ─> calibrated on the reference ─> expected confusion, metrics
    regression       rows' cells (of an even sample)    ─> boosted trees of the loss   ─> expected MAE, RMSE, MAPE

It holds as long as inputs move and what they mean does not (covariate shift). It cannot see concept drift: that takes
labels. So each estimate says whether to believe it (`validity.py`).
"""

SECTIONS = ("calibration", "loss")  # of a reference file; either is enough
