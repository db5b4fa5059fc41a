"""Speaker verification: scores, their normalisation and calibration, errors; nearest neighbours."""

from keras_resnets.metrics.calibration import ScoreCalibrator
from keras_resnets.metrics.det_plot import plot_det
from keras_resnets.metrics.keras_metrics import EqualErrorRate, MinDCF
from keras_resnets.metrics.knn import KNNScore, knn_evaluate
from keras_resnets.metrics.normalization import as_norm, s_norm
from keras_resnets.metrics.scores import (
    average_embeddings,
    cohort_scores,
    cosine_scores,
    five_crop_scores,
)
from keras_resnets.metrics.verification import (
    DETCurve,
    act_dcf,
    bayes_threshold,
    det_curve,
    equal_error_rate,
    min_dcf,
)

__all__ = [
    "DETCurve",
    "EqualErrorRate",
    "KNNScore",
    "MinDCF",
    "ScoreCalibrator",
    "act_dcf",
    "as_norm",
    "average_embeddings",
    "bayes_threshold",
    "cohort_scores",
    "cosine_scores",
    "det_curve",
    "equal_error_rate",
    "five_crop_scores",
    "knn_evaluate",
    "min_dcf",
    "plot_det",
    "s_norm",
]
